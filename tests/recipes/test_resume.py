"""Training killed at random instants ends with the same bits."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

from conftest import ROOT, TINY

COMMAND = [
    *[sys.executable, "-m", "asrkit", "train", str(ROOT / "recipes/prompts"), *TINY],
    *["train.max_steps=60", "train.epochs=4", "train.save_steps=4"],
    *["model.pyramid.dropout=0.2", "augment.speeds=[0.9,1.0,1.1]", "--stop-stage", "average"],
]


def weights(exp: Path) -> str:
    path = exp / "prompts/default/checkpoints/averaged/model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def last_step(exp: Path) -> int:
    steps = (exp / "prompts/default/checkpoints").glob("step-*")
    return max((int(p.name.removeprefix("step-")) for p in steps), default=0)


def test_sigkill_five_times_changes_no_bit(tmp_path: Path) -> None:
    subprocess.run([*COMMAND, "--exp", str(tmp_path / "whole")], check=True, capture_output=True)
    killed = tmp_path / "killed"
    chance, reached = random.Random(5), []
    for _ in range(5):
        begin = last_step(killed)
        process = subprocess.Popen([*COMMAND, "--exp", str(killed)], stderr=subprocess.DEVNULL)
        while last_step(killed) <= begin and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.0, 0.2))
        assert process.poll() is None, "killed while it trains"
        process.kill()
        process.wait()
        reached.append(last_step(killed))
    assert reached == sorted(set(reached)), "each run goes on from the last"
    subprocess.run([*COMMAND, "--exp", str(killed)], check=True, capture_output=True)
    assert weights(killed) == weights(tmp_path / "whole")
    lines = [
        (exp / "prompts/default/metrics.jsonl").read_text().count('"loss"')
        for exp in (tmp_path / "whole", killed)
    ]
    assert lines[0] == lines[1], "no update is told of twice"
