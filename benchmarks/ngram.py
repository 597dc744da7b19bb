"""Estimating an n-gram model beside KenLM's lmplz: time, peak memory, and the perplexity of another text.

    python benchmarks/ngram.py --text TEXT --dev TEXT [--lmplz PATH] [--order 3] [-- OPTIONS OF BOTH]

TEXT is UTF-8, a sentence a line, plain, .gz or .xz; both programs read it unpacked and write an ARPA file.
lmplz is built from https://github.com/kpu/kenlm; without it only asrkit is measured. Where KenLM's `query`
lies beside it, that measures both ARPA files, else asrkit does. What follows `--` (`--prune 0,0,1`) goes to
asrkit, and with blanks for commas to lmplz.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from asrkit.recognition.ngram.model import read_ngram, read_texts


class Cost(NamedTuple):
    """Seconds of wall and of processor time, and the peak memory in MiB."""

    wall: float
    processor: float
    memory: float


def measure(command: list[str]) -> Cost:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(command)} failed")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def unpacked(source: Path, target: Path) -> Path:
    """The text as plain lines, which lmplz can read too."""
    with target.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in read_texts(source, "none"))
    return target


def perplexity(arpa: Path, dev: Path, query: Path) -> float:
    """Of all words, unknown ones too."""
    if not query.is_file():
        return read_ngram(arpa).perplexity(line.split() for line in read_texts(dev, "none")).including_oov
    with dev.open() as lines:
        command = [str(query), "-v", "summary", str(arpa)]
        said = subprocess.run(command, stdin=lines, capture_output=True, text=True, check=True)
    actual = re.search(r"Perplexity including OOVs:\s*([\d.]+)", said.stdout + said.stderr)
    assert actual, said
    return float(actual[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--lmplz", type=Path, default=Path("lmplz"))
    parser.add_argument("--order", type=int, default=3)
    parser.add_argument("--memory", default="4G", help="lmplz's -S; with its default it claims 80 %% of all")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text, dev = unpacked(args.text, Path(folder) / "text"), unpacked(args.dev, Path(folder) / "dev")
        computed, theirs = Path(folder) / "ours.arpa", Path(folder) / "theirs.arpa"
        order = ["--order", str(args.order), *args.options]
        commands = {computed: [sys.executable, "-m", "asrkit", "lm", str(text), "-o", str(computed), *order]}
        if args.lmplz.is_file():
            order = ["-o", *" ".join(order[1:]).replace(",", " ").split(), "-T", folder, "-S", args.memory]
            commands[theirs] = [str(args.lmplz), *order, "--text", str(text), "--arpa", str(theirs)]
        else:
            print(f"no lmplz at {args.lmplz}: give --lmplz", file=sys.stderr)
        costs = {arpa: measure(command) for arpa, command in commands.items()}
        query = args.lmplz.with_name("query")
        print("| system | wall s | processor s | peak MiB | perplexity |\n|---|---:|---:|---:|---:|")
        for arpa, name in ((computed, "asrkit"), (theirs, "lmplz")):
            if cost := costs.get(arpa):
                numbers = f"{cost.wall:.1f} | {cost.processor:.1f} | {cost.memory:.0f}"
                print(f"| {name} | {numbers} | {perplexity(arpa, dev, query):.2f} |", flush=True)
        if theirs in costs:
            ratios = " | ".join(f"{a / b:.2f}" for a, b in zip(costs[computed], costs[theirs], strict=True))
            print(f"| ratio | {ratios} | |")


if __name__ == "__main__":
    main()
