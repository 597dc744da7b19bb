"""Training on features that are computed whenever they are needed, in place of stored ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run
from families import CTC, QUICK, small_recipe

from asrkit.config import FeatureConfig
from asrkit.errors import DataError
from asrkit.learning.data.manifest import read_manifest
from asrkit.learning.features.store import FeatureStore, LiveFeatures

LIVE = "features.stored=false"


def test_live_features_are_the_stored_ones(asrkit: Run, tmp_path: Path) -> None:
    recipe, exp = small_recipe(tmp_path / "small"), tmp_path / "exp"
    command = ["train", recipe, "--exp", exp, *QUICK, *CTC, "augment.speeds=[0.9,1.0]"]
    assert asrkit(*command, "--stop-stage", "check").code == 0
    assert asrkit(*command, "--stop-stage", "check", "--tag", "live", LIVE).code == 0
    (folder,) = (path.parent.parent for path in exp.glob("**/train/features.f16"))
    stored = FeatureStore(folder / "train")
    utterances = list(read_manifest(next(exp.glob("**/prepare-*/train.jsonl.gz"))))
    live = LiveFeatures(FeatureConfig(mel_bins=stored.read(utterances[0].id).shape[1]), utterances)
    for utterance in utterances[:5]:
        for speed in (0.9, 1.0):
            actual, theirs = live.read(utterance.id, speed), stored.read(utterance.id, speed)
            np.testing.assert_allclose(actual, theirs, rtol=1e-3, atol=1e-3)
    (other,) = set(exp.glob("**/features-*")) - {folder}
    assert [path.name for path in other.iterdir()] == ["cmvn.json"]
    actual, theirs = (json.loads((path / "cmvn.json").read_text()) for path in (other, folder))
    for key in theirs:
        np.testing.assert_allclose(actual[key], theirs[key], rtol=1e-3, atol=1e-3)
    Path(utterances[0].audio).unlink()
    with pytest.raises(DataError, match="no such file"):
        live.read(utterances[0].id)


def test_training_without_a_store_and_with_loaders(asrkit: Run, tmp_path: Path) -> None:
    """However many threads make the batches, the weights are the same; a lost recording is named."""
    recipe, exp = small_recipe(tmp_path / "small"), tmp_path / "exp"
    command = ["train", recipe, "--exp", exp, *QUICK, *CTC, LIVE, "augment.speeds=[0.9,1.0]"]
    assert asrkit(*command, "--stop-stage", "prepare").code == 0
    lost = list(read_manifest(next(exp.glob("**/prepare-*/train.jsonl.gz"))))[3]
    Path(lost.audio).unlink()
    sums = []
    for loaders in (0, 3):
        tag = f"loaders-{loaders}"
        done = asrkit(*command, f"train.loaders={loaders}", "--tag", tag, "--stop-stage", "average")
        assert done.code == 0, done.err
        weights = exp / "small" / tag / "checkpoints" / "averaged" / "model.safetensors"
        sums.append(hashlib.sha256(weights.read_bytes()).hexdigest())
        problems = (exp / "small" / tag / "check" / "train.problems.jsonl").read_text()
        assert json.loads(problems)["id"] == lost.id and "no such file" in problems
    assert sums[0] == sums[1]
    assert not list(exp.glob("**/features.f16"))


def test_a_recording_lost_before_its_features_are_stored_stops_nothing(asrkit: Run, tmp_path: Path) -> None:
    recipe, exp = small_recipe(tmp_path / "small"), tmp_path / "exp"
    command = ["train", recipe, "--exp", exp, *QUICK, *CTC]
    assert asrkit(*command, "--stop-stage", "prepare").code == 0
    lost = list(read_manifest(next(exp.glob("**/prepare-*/train.jsonl.gz"))))[3]
    Path(lost.audio).unlink()
    done = asrkit(*command, "--stop-stage", "check")
    assert done.code == 0, done.err
    problems = (exp / "small" / "default" / "check" / "train.problems.jsonl").read_text()
    assert json.loads(problems)["id"] == lost.id and "no such file" in problems
