"""What a recipe does with data that is not as it should be, and with rarer settings."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from conftest import PROMPTS, TINY, Run

SMALL = [
    *TINY,
    "corpus.name=folder",
    "corpus.train=[train]",
    "corpus.dev=[train]",
    "corpus.test=[train]",
    "train.max_steps=2",
]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """A folder of eight good recordings and some that would hurt."""
    folder = tmp_path / "mine" / "train"
    folder.mkdir(parents=True)
    for number, path in enumerate(sorted(PROMPTS.glob("*.opus"))[:8]):
        shutil.copy(path, folder / f"good{number}.opus")
        (folder / f"good{number}.txt").write_text("please hold the line")
    shutil.copy(PROMPTS / "activated.opus", folder / "long-text.opus")
    (folder / "long-text.txt").write_text("far too much text for so little sound " * 9)
    shutil.copy(PROMPTS / "activated.opus", folder / "no-text.opus")
    (folder / "no-text.txt").write_text("")
    (folder / "broken.wav").write_bytes(b"RIFF....")
    (folder / "broken.txt").write_text("nothing to hear")
    return tmp_path / "mine"


def test_bad_utterances_are_named_and_left_out(recordings: Path, tmp_path: Path, asrkit: Run) -> None:
    words = ["train", "prompts", *SMALL, f"corpus.path={recordings}", "--exp", tmp_path / "exp"]
    done = asrkit(*words)
    assert done.code == 0, done.err
    for name in ("broken", "long-text", "no-text"):
        assert name in done.err
    problems = (tmp_path / "exp/prompts/default/check/train.problems.jsonl").read_text()
    kinds = {
        json.loads(line)["id"].split("-", 1)[-1]: json.loads(line)["kind"] for line in problems.splitlines()
    }
    assert "ctc-too-long" in kinds.values()
    stopped = asrkit(*words, "check.policy=stop", "--tag", "strict")
    assert stopped.code == 1
    assert "long-text" in stopped.err


def test_a_folder_without_the_subset_names_the_nearest(recordings: Path, tmp_path: Path, asrkit: Run) -> None:
    done = asrkit(
        "train", "prompts", *SMALL, f"corpus.path={recordings}", "corpus.dev=[trian]", "--exp", tmp_path / "e"
    )
    assert done.code == 1
    assert "trian" in done.err and "train" in done.err
    assert "Traceback" not in done.err


def test_missing_licensed_or_own_data_says_where_to_put_it(tmp_path: Path, asrkit: Run) -> None:
    done = asrkit("train", "prompts", *SMALL, f"corpus.path={tmp_path / 'absent'}", "--exp", tmp_path / "e")
    assert done.code == 1
    assert "corpus.path" in done.err


def test_tensorboard_is_an_extra(experiment: Path, tmp_path: Path, asrkit: Run) -> None:
    done = asrkit(
        "train",
        "prompts",
        *TINY,
        "train.tensorboard=true",
        "--exp",
        experiment.parents[1],
        "--tag",
        "board",
        "--stop-stage",
        "train",
    )
    if importlib.util.find_spec("tensorboard"):
        assert list((experiment.parent / "board" / "tensorboard").glob("events*"))
    else:
        assert done.code == 1
        assert "asrkit[tensorboard]" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ["features.kind=mel", "features.cmvn=utterance"],
        ["features.kind=mfcc", "features.cmvn=none", "train.optimizer=sgd", "train.schedule=noam"],
        ["text.tokenizer=bpe", "text.vocab_size=40", "train.schedule=plateau", "train.precision=fp32"],
        [
            "model.pyramid.embed_channels=0",
            "train.accumulate=2",
            "augment.time_masks=0",
            "train.early_stop=1",
        ],
    ],
)
def test_settings_work_from_features_to_transcript(words: list[str], tmp_path: Path, asrkit: Run) -> None:
    done = asrkit(
        "train", "prompts", *TINY, *words, "train.max_steps=3", "--exp", tmp_path, "--stop-stage", "average"
    )
    assert done.code == 0, done.err
    assert asrkit("decode", "--model", tmp_path / "prompts/default", PROMPTS / "activated.opus").code == 0


def test_a_loss_that_is_not_finite_names_its_utterances(tmp_path: Path, asrkit: Run) -> None:
    done = asrkit(
        "train",
        "prompts",
        *TINY,
        "train.lr=1e20",
        "train.warmup_steps=0",
        "train.nan_patience=2",
        "train.clip=0",
        "train.max_steps=30",
        "--exp",
        tmp_path,
    )
    assert done.code == 1
    assert "not finite" in done.err and "utterances: " in done.err
    assert "train.lr" in done.err
