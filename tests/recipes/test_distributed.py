"""Two processes under torchrun train as one process does at the same global batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, TINY

BASE = [
    "train",
    str(ROOT / "recipes/prompts"),
    *TINY,
    "train.max_steps=6",
    "train.log_steps=1",
    "model.pyramid.dropout=0.0",
    "train.precision=fp32",
    "train.accumulate=2",
    "train.batch_seconds=4",
]


def losses(exp: Path) -> list[float]:
    lines = [json.loads(line) for line in (exp / "prompts/default/metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_two_processes_have_the_loss_of_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run(
        [sys.executable, "-m", "asrkit", *BASE, "--exp", str(one), "--stop-stage", "train"],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [sys.executable, "-m", "asrkit", *BASE, "--exp", str(two), "--stop-stage", "check"],
        check=True,
        capture_output=True,
    )
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "asrkit",
    ]
    refused = subprocess.run(
        [*torchrun, *BASE, "--exp", str(two)], capture_output=True, text=True, check=False
    )
    assert "torchrun can run only the train stage" in refused.stderr
    subprocess.run(
        [*torchrun, *BASE, "--exp", str(two), "--stage", "train", "--stop-stage", "train"],
        check=True,
        capture_output=True,
    )
    assert len(losses(one)) == 6
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
