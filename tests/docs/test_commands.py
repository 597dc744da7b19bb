"""Every command that the documents show works: most are run, those in ``CHECKED`` are only checked.

A command is a line of a ``console`` block after ``$``, or a line of an indented block that begins with a
program. The commands of a document run in order in one folder, which holds the files that they name. Commands
in running text are parsed only. The tutorials are run by test_tutorials.py.
"""

from __future__ import annotations

import lzma
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pytest
import soundfile
from conftest import PROMPTS, ROOT, SENTENCES, Run

from asrkit.recognition.pretrained import packaged_model

# Not run here: why not. What of it can be checked is: options, settings, scripts, targets of make.
CHECKED = {
    r"^git clone|^python -m pip|^cp exp/|^\. \.venv": "sets up or changes the checkout",
    r"^make (?!$)": "the targets themselves run tests or trainings; `make -n` reads them",
    r"^asrkit train recipes/(an4|librispeech|ljspeech|wsj|cmu11785)|/run\.sh ": "needs a corpus and hours",
    r"^asrkit train my-recipe model=": "minutes; tests/docs/test_tutorials.py trains from the packaged model",
    r"^asrkit (train|decode .*exp/prompts).*prompts": "minutes; tests/recipes trains on recipes/prompts",
    r"^torchrun": "needs several machines",
    r"^python -m pytest": "tests are run as tests",
    r"benchmarks/\S+\.py": "needs peer toolkits, models or large texts",
    r"--max-words 60000": "counts 26 million words",
    r"--attention": "needs AN4 and a trained attention model",
    r"^(head|grep) .*exp/": "reads the results of a training",
    r"^gzip .*/corpora": "needs WSJ's discs",
    r"^ffmpeg": "needs ffmpeg",
}
SLOW = r"^asrkit (verify|train)|^asrkit decode .*(nbest|mp3)"
PROGRAMS = re.compile(
    r"(\w+=\S+ )?(asrkit|make|python|git|ffmpeg|torchrun|gzip|grep|head|cat|cp|ls|\.|\S+/run\.sh)\s"
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/*.md", "recipes/*/README.md", "benchmarks/README.md")
    for path in ROOT.glob(pattern)
)


class Command(NamedTuple):
    """A command line, and the output that the document shows below it ("": none)."""

    line: str
    output: str


def commands(document: str) -> list[Command]:
    return [command for block in code_blocks(document) for command in block_commands(block)]


def code_blocks(document: str) -> Iterator[str]:
    """Console blocks and indented blocks, without their indentation."""
    text = (ROOT / document).read_text(encoding="utf-8")
    yield from (fence[2] for fence in FENCE.finditer(text) if fence[1] == "console")
    indented: list[str] = []
    for line in [*FENCE.sub("", text).splitlines(), "end"]:
        if line.startswith("    ") or (indented and not line.strip()):
            indented.append(line[4:])
        elif indented:
            yield "\n".join(indented) + "\n"
            indented = []


def block_commands(block: str) -> Iterator[Command]:
    """A command follows ``$``, its output the command; without any ``$``, lines of known programs."""
    block = re.sub(r" *\\\n\s*", " ", block)
    if block.startswith("$ "):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            line, _, output = part.partition("\n")
            yield Command(without_comment(line), output.strip("\n"))
    else:
        yield from (Command(without_comment(line), "") for line in block.splitlines() if PROGRAMS.match(line))


def without_comment(line: str) -> str:
    return re.sub(r"\s+# .*$", "", line).strip()


def inline_commands(document: str) -> list[str]:
    """``asrkit …`` in running text and tables."""
    text = FENCE.sub("", (ROOT / document).read_text(encoding="utf-8"))
    return [" ".join(span.split()) for span in re.findall(r"`(asrkit [a-z][^`]+)`", text)]


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the files that the documents name."""
    for name in ("recipes", "tests", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    sentence, rate = soundfile.read(SENTENCES / "sense-0880.flac", dtype="float32")
    for name in ("a.wav", "b.wav", "my.wav", "recording.wav", "lecture.mp3", "talks/day/one.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / name, sentence, rate)
    shutil.copy(PROMPTS / "activated.opus", tmp_path / "b.opus")
    (tmp_path / "a.txt").write_text("he was not an ill disposed young man\n")
    (tmp_path / "ref.trn").write_text("a b c (one)\nd e (two)\n")
    (tmp_path / "hyp.trn").write_text("a b d (one)\nd e (two)\n")
    texts = [line.split("\t") for line in (PROMPTS.parent / "transcripts.tsv").read_text().splitlines()]
    with lzma.open(tmp_path / "books.txt.xz", "wt") as books:
        books.write("".join(f"{text}\n" for _, _, text in texts))
    (tmp_path / "my-recordings").mkdir()
    for name, _, text in texts[:60]:
        shutil.copy(PROMPTS / f"{name}.opus", tmp_path / "my-recordings")
        (tmp_path / "my-recordings" / f"{name}.txt").write_text(text)
    for name in ("an4.asrkit", "english.asrkit"):
        (tmp_path / name).symlink_to(packaged_model())
    for name in ("an4/default", "wsj/default"):
        with zipfile.ZipFile(packaged_model()) as bundle:
            bundle.extractall(tmp_path / "exp" / name)
    shim = tmp_path / "bin" / "asrkit"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m asrkit "$@"\n')
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: Command, asrkit: Run) -> str:
    """What is wrong with a command: ""."""
    if any(re.search(pattern, command.line) for pattern in CHECKED):
        return check(command.line, asrkit)
    if re.match(r"asrkit [^|<>*&]*$", command.line):
        code, out, err = asrkit(*shlex.split(command.line)[1:])
    else:
        done = subprocess.run(["bash", "-c", command.line], capture_output=True, text=True, check=False)
        code, out, err = done.returncode, done.stdout, done.stderr
    if code:
        return f"{command.line}: exit code {code}\n{err[-800:]}"
    if command.output and "--model" not in command.line and out.strip("\n") != command.output:
        return f"{command.line} prints\n{out}, the document says\n{command.output}"
    return ""


def check(line: str, asrkit: Run) -> str:
    """What is wrong with a command, as far as can be told without running it: ""."""
    if script := re.search(r"benchmarks/\S+\.py", line):
        text = (ROOT / script[0]).read_text(encoding="utf-8")
        return "".join(
            f"{script[0]} has no {o}\n" for o in re.findall(r"\s(--[a-z-]+)", line) if o not in text
        )
    if line.startswith("make "):
        done = subprocess.run(
            ["make", "-n", "-C", str(ROOT), line.split()[1]], capture_output=True, text=True, check=False
        )
        return done.stderr
    words = line.partition("| ")[2] if line.startswith("ffmpeg") else line
    words = re.sub(r"^recipes/(\w+)/run\.sh", r"asrkit train recipes/\1", words)
    words = re.sub(r"^torchrun .* -m asrkit", "asrkit", words)
    return parse(words, asrkit) if words.startswith("asrkit ") else ""


def parse(line: str, asrkit: Run) -> str:
    """What is wrong with the options and settings of an asrkit command: ""."""
    from asrkit.cli import cli

    _, verb, *words = shlex.split(line)
    verb_command = cli.get_command(click.Context(cli), verb)
    if verb_command is None:
        return f"{line}: no command {verb}"
    try:
        context = verb_command.make_context(verb, words, resilient_parsing=True)
    except click.ClickException as error:
        return f"{line}: {error.message}"
    if verb == "train" and (recipe := context.params.get("recipe")) and Path(recipe).is_dir():
        code, _, err = asrkit("config", recipe, *(word for word in words if re.match(r"[\w.]+=", word)))
        return f"{line}: {err}" if code else ""
    return ""


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if commands(name)])
def test_fast_commands(document: str, sandbox: Path, asrkit: Run) -> None:
    shown = [
        command for command in commands(document) if not re.search(SLOW, command.line) or is_checked(command)
    ]
    assert not list(filter(None, (run(command, asrkit) for command in shown)))


def is_checked(command: Command) -> bool:
    return any(re.search(pattern, command.line) for pattern in CHECKED)


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [name for name in DOCUMENTS if any(re.search(SLOW, c.line) for c in commands(name))]
)
def test_all_commands_in_order(document: str, sandbox: Path, asrkit: Run) -> None:
    assert not list(filter(None, (run(command, asrkit) for command in commands(document))))


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if inline_commands(name)])
def test_commands_in_running_text(document: str, sandbox: Path, asrkit: Run) -> None:
    shown = [line for line in inline_commands(document) if "…" not in line]
    assert not list(filter(None, (parse(line, asrkit) for line in shown)))


def test_every_reason_is_needed() -> None:
    lines = [command.line for document in DOCUMENTS for command in commands(document)]
    assert not [pattern for pattern in CHECKED if not any(re.search(pattern, line) for line in lines)]


@pytest.mark.parametrize("document", ["README.md", "docs/api.md", "docs/decode.md", "docs/ctcdecode.md"])
def test_python(document: str, sandbox: Path) -> None:
    samples, rate = soundfile.read("a.wav", dtype="float32")
    posteriors = np.log(np.full((2, 5, 3), 1 / 3, np.float32))
    names = {
        "samples": samples[:rate],
        "paths": ["a.wav"],
        "LABELS": ["_", "a", "b"],
        "output": posteriors,
        "lengths": [5, 4],
    }
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = [fence[2] for fence in FENCE.finditer(text) if fence[1] == "python"]
    assert blocks
    for block in blocks:
        exec(block, names)
