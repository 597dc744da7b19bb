"""Shared by all tests: one thread, the command line in this process, and a recogniser trained for seconds."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("ASRKIT_DATA", None)
os.environ.pop("ASRKIT_MODEL", None)

import pytest

ROOT = Path(__file__).parent.parent
PROMPTS = ROOT / "recipes" / "prompts" / "data" / "audio"
SENTENCES = ROOT / "tests" / "audio"

# A model and a training small enough for tests; every kind of part is still there.
TINY = [
    "model.pyramid.hidden=24",
    "model.pyramid.embed_channels=24",
    "features.mel_bins=24",
    "augment.speeds=[1.0]",
    "train.epochs=2",
    "train.max_steps=12",
    "train.save_steps=5",
    "train.log_steps=2",
    "check.max_seconds=8",
]


class Outcome(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def asrkit(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process: ``asrkit("decode", path)`` -> exit code, stdout, stderr."""
    from asrkit.cli import main

    def run(*words: object) -> Outcome:
        import torch

        monkeypatch.setattr(sys, "argv", ["asrkit", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        torch.set_flush_denormal(False)
        torch.set_num_threads(1)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def at_terminal(*command: str, columns: int = 80) -> str:
    """What a command shows on a terminal, on stdout and stderr."""
    import subprocess

    actual, theirs = os.openpty()
    shown = b""
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "COLUMNS": str(columns)}):
        os.close(theirs)
        with contextlib.suppress(OSError):  # Linux says so when the command has ended
            while more := os.read(actual, 4096):
                shown += more
    os.close(actual)
    return shown.decode()


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of recipes/prompts run from start to end with a tiny model."""
    import subprocess

    exp = tmp_path_factory.mktemp("exp")
    command = [
        sys.executable,
        "-m",
        "asrkit",
        "train",
        str(ROOT / "recipes/prompts"),
        "--exp",
        str(exp),
        *TINY,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return exp / "prompts" / "default"
