"""Training killed at random instants ends with the same bits; so does the whole recipe."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT, TINY

COMMAND = [
    sys.executable,
    "-m",
    "asrkit",
    "train",
    str(ROOT / "recipes/prompts"),
    *TINY,
    "train.max_steps=40",
    "train.epochs=3",
    "model.pyramid.dropout=0.2",
    "augment.speeds=[0.9,1.0,1.1]",
    "train.precision=fp32",
    "--stop-stage",
    "average",
]


def weights(exp: Path) -> str:
    path = exp / "prompts/default/checkpoints/averaged/model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_sigkill_five_times_changes_no_bit(tmp_path: Path) -> None:
    start = time.monotonic()
    subprocess.run([*COMMAND, "--exp", str(tmp_path / "whole")], check=True, capture_output=True)
    length = time.monotonic() - start
    chance, kills = random.Random(5), 0
    for _ in range(5):
        process = subprocess.Popen([*COMMAND, "--exp", str(tmp_path / "killed")], stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=chance.uniform(0.2, 0.8) * length)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    subprocess.run([*COMMAND, "--exp", str(tmp_path / "killed")], check=True, capture_output=True)
    assert kills >= 2
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
    whole, killed = (
        (tmp_path / name / "prompts/default/metrics.jsonl").read_text().splitlines()
        for name in ("whole", "killed")
    )
    assert len(whole) == len(killed), "no update is told of twice"
