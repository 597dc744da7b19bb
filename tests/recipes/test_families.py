"""Every family of models from audio to a packed recogniser; and killed on the way, to the same bits."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import PROMPTS, Run
from families import COUNTS, CTC, FAMILIES, QUICK, small_recipe

from asrkit.config.decoders import decoders_for
from asrkit.learning.training.checkpoint import read_state
from asrkit.recognition.parts import checkpoints
from asrkit.recognition.recognizer import Recognizer


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_recipe(tmp_path_factory.mktemp("recipes") / "small")


def train(recipe: Path, tag: str, asrkit: Run, *words: str) -> Path:
    """Run a family's recipe, all in one folder of experiments; what is done there already stays."""
    if tag == "mlp":
        train(recipe, "ctc", asrkit, "--stop-stage", "average")
    done = asrkit(*command(recipe, tag), *words)
    assert done.code == 0, done.err
    return recipe / "exp" / "small" / tag


def command(recipe: Path, family: str, tag: str = "") -> list[str]:
    settings = FAMILIES.get(family, CTC)
    return ["train", str(recipe), "--exp", str(recipe / "exp"), "--tag", tag or family, *QUICK, *settings]


@pytest.mark.parametrize("family", FAMILIES)
def test_from_audio_to_a_packed_recogniser(family: str, recipe: Path, asrkit: Run) -> None:
    heads = {"las": "ca", "transformer": "ca", "transformer-lstm": "ca", "mlp": "f"}.get(family, "c")
    decoders = decoders_for([{"c": "ctc", "a": "attention", "f": "frame"}[head] for head in heads])
    folder = train(recipe, family, asrkit, f"decode.also=[{','.join(decoders)}]")
    for decoder in decoders:
        for name in ("dev", "test"):
            lines = (folder / "decode" / decoder / name / "hyp.trn").read_text().splitlines()
            assert len(lines) == COUNTS[name]
    results = json.loads((folder / "results.json").read_text())
    assert {row["decoder"] for row in results["rows"]} >= set(decoders)
    if "a" in heads:
        pictures = [path.name for path in (folder / "plots" / "attention").rglob("*.png")]
        assert pictures == ["epoch-001.png"]
    if family == "crf":
        metrics = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        losses = [[line["step"], line["dev_loss"]] for line in metrics if "dev_loss" in line]
        assert read_state(checkpoints(folder / "checkpoints")[-1]).dev == losses, (
            "the best is that of least loss"
        )
    unpacked, packed = Recognizer.load(folder), Recognizer.load(folder / "small.asrkit")
    for decoder in decoders:
        for recognizer in (unpacked, packed):
            recognizer.settings = replace(recognizer.settings, decoder=decoder)
        transcript = unpacked.transcribe(PROMPTS / "digits-1.opus")
        assert transcript == packed.transcribe(PROMPTS / "digits-1.opus")
        assert transcript.nbest[0].score < 0


def weights(folder: Path) -> str:
    """Checksum of the averaged weights."""
    return hashlib.sha256((folder / "checkpoints/averaged/model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=[] if f in ("las", "mlp") else pytest.mark.slow) for f in FAMILIES]
)
def test_a_killed_training_ends_with_the_same_bits(family: str, recipe: Path, asrkit: Run) -> None:
    whole = train(recipe, family, asrkit, "--stop-stage", "average")
    killed = whole.with_name(f"{family}-killed")
    words = [*command(recipe, family, killed.name), "train.save_steps=2", "--stop-stage", "average"]
    process = subprocess.Popen([sys.executable, "-m", "asrkit", *words], stderr=subprocess.DEVNULL)
    while not (killed / "checkpoints" / "step-2" / "state.json").exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    assert process.wait() < 0, "killed while it trains"
    assert not (killed / "checkpoints" / "averaged").exists()
    done = asrkit(*words)
    assert done.code == 0, done.err
    assert weights(killed) == weights(whole)
