"""The tutorials of docs/tutorials as notebooks in examples/. The Markdown is the source.

    python tools/notebooks.py                     # write examples/*.ipynb
    python tools/notebooks.py --check             # exit code 1 if one of them is not current
    python tools/notebooks.py --execute [NAME…]   # run tutorials, insert what they print and draw, then write

A ``console`` block holds commands after ``$`` and below each what it prints; a ``python`` block is followed
by a ``text`` block if it prints anything. A picture saved as exp/tutorial/<tutorial>-*.png goes
to docs/pictures.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS, EXAMPLES, PICTURES = ROOT / "docs/tutorials", ROOT / "examples", ROOT / "docs/pictures"
OUTPUT = ROOT / "exp/tutorial"
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
SHOWN = 16  # lines at the beginning and end of a long output
AT_ROOT = """import os

if os.path.basename(os.getcwd()) == "examples":
    os.chdir("..")  # paths are relative to the root of the repository
os.makedirs("exp/tutorial", exist_ok=True)"""


class Cell(NamedTuple):
    """A piece of a tutorial: Markdown, or code of a language and what it printed."""

    language: str
    source: str
    output: str = ""


def cells(text: str) -> Iterator[Cell]:
    """A tutorial in pieces; each command of a console block is one."""
    end = 0
    for block in BLOCK.finditer(text):
        if between := text[end : block.start()].strip("\n"):
            yield Cell("markdown", between)
        if block[1] == "python":
            yield Cell("python", block[2].strip(), block[3] or "")
        else:
            for command in re.split(r"^\$ ", block[2], flags=re.MULTILINE)[1:]:
                line, _, output = command.partition("\n")
                yield Cell("console", line, output)
        end = block.end()
    if rest := text[end:].strip("\n"):
        yield Cell("markdown", rest)


def markdown(pieces: Sequence[Cell]) -> str:
    """The tutorial of these pieces: :func:`cells` backwards."""
    parts = []
    for number, cell in enumerate(pieces):
        if cell.language == "markdown":
            parts.append(cell.source)
        elif cell.language == "python":
            parts.append(f"```python\n{cell.source}\n```")
            if cell.output:
                parts.append(f"```text\n{cell.output}```")
        else:
            command = f"$ {cell.source}\n{cell.output}"
            if number and pieces[number - 1].language == "console":
                parts[-1] = parts[-1].removesuffix("```") + f"{command}```"
            else:
                parts.append(f"```console\n{command}```")
    return "\n\n".join(parts) + "\n"


def execute(pieces: Sequence[Cell]) -> Iterator[Cell]:
    """The pieces with what they print now; errors of a command or a block end everything."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    names: dict[str, object] = {}
    for cell in pieces:
        printed = ""
        if cell.language == "console":
            command = ["bash", "-c", cell.source]
            printed = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
            ).stdout
            lines = printed.splitlines(keepends=True)
            if len(lines) > 2 * SHOWN:
                printed = "".join([*lines[:SHOWN], "…\n", *lines[-SHOWN:]])
        elif cell.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as stream:
                exec(cell.source, names)
            printed = stream.getvalue()
        printed = printed.replace(f"{ROOT}/", "")
        yield cell._replace(output=re.sub(r"[ \t]+$", "", printed, flags=re.MULTILINE))


def notebook(pieces: Sequence[Cell], name: str) -> str:
    """The notebook as JSON; its cells' ids are their numbers, so equal tutorials give equal files."""
    written = [_code(AT_ROOT, "")]
    for cell in pieces:
        if cell.language == "markdown":
            written.append({"cell_type": "markdown", "metadata": {}, "source": _links(cell.source)})
        else:
            written.append(_code("!" * (cell.language == "console") + cell.source, cell.output))
    for number, item in enumerate(written):
        item["id"] = f"{name}-{number}"
        item["source"] = item["source"].splitlines(keepends=True)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    content = {
        "cells": written,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _code(source: str, output: str) -> dict[str, Any]:
    stream = {"name": "stdout", "output_type": "stream", "text": output.splitlines(keepends=True)}
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [stream] if output else [],
        "source": source,
    }


def _links(text: str) -> str:
    """Relative links of docs/tutorials, as seen from examples."""

    def moved(match: re.Match[str]) -> str:
        path, _, fragment = match[1].partition("#")
        if ":" in path or not path:
            return match[0]
        target = os.path.relpath(TUTORIALS / path, EXAMPLES)
        if (TUTORIALS / path).parent == TUTORIALS:
            target = f"{Path(path).stem}.ipynb"
        return f"]({target}{'#' * bool(fragment)}{fragment})"

    return re.sub(r"\]\(([^)\s]+)\)", moved, text)


def main(arguments: Sequence[str]) -> int:
    os.chdir(ROOT)
    stale = []
    chosen = [word for word in arguments if not word.startswith("-")]
    for path in sorted(TUTORIALS.glob("*.md")):
        if chosen and path.stem not in chosen:
            continue
        pieces = list(cells(path.read_text(encoding="utf-8")))
        if "--execute" in arguments:
            pieces = list(execute(pieces))
            path.write_text(markdown(pieces), encoding="utf-8")
            for picture in OUTPUT.glob(f"{path.stem}-*.png"):
                shutil.copy(picture, PICTURES)
        target, text = EXAMPLES / f"{path.stem}.ipynb", notebook(pieces, path.stem)
        if "--check" in arguments:
            if not target.exists() or target.read_text(encoding="utf-8") != text:
                stale.append(target.relative_to(ROOT))
        else:
            EXAMPLES.mkdir(exist_ok=True)
            target.write_text(text, encoding="utf-8")
    for target in stale:
        print(f"{target} is not current: run python tools/notebooks.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
