"""Corpora kept as lhotse Shar, written by lhotse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import SENTENCES
from lhotse import CutSet, Recording, SupervisionSegment

from asrkit.errors import DataError
from asrkit.learning.data.corpora import CORPORA
from asrkit.learning.data.corpora.common import Skipped
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.audio.utterance import Utterance

FILES = sorted(SENTENCES.glob("*.flac"))


@pytest.fixture
def shar(tmp_path: Path) -> Path:
    """All sentences in shards of two; the first cut has two supervisions, the last none."""
    cuts = []
    for path in FILES:
        recording = Recording.from_file(path)
        cut = recording.to_cut()
        cut.supervisions = [
            SupervisionSegment(path.stem, recording.id, 0, recording.duration, text="some words", speaker="s")
        ]
        cuts.append(cut)
    first = cuts[0].supervisions[0]
    cuts[0].supervisions = [
        SupervisionSegment("one", first.recording_id, 0.0, 2.0, text="the first part"),
        SupervisionSegment("two", first.recording_id, 2.5, 1.5, text="the second"),
    ]
    cuts[-1].supervisions = []
    (tmp_path / "train").mkdir()
    CutSet.from_cuts(cuts).to_shar(tmp_path / "train", fields={"recording": "flac"}, shard_size=2)
    return tmp_path


def prepared(folder: Path, rate: int, skipped: list[Skipped]) -> list[Utterance]:
    return [*CORPORA["shar"].prepare(folder, "train", folder / "audio", rate, skipped)]


def test_every_supervision_is_an_utterance(shar: Path) -> None:
    skipped: list[Skipped] = []
    actual = prepared(shar, 16000, skipped)
    assert [u.id for u in actual] == ["one", "two", *(path.stem for path in FILES[1:-1])]
    assert [s.reason for s in skipped] == ["no supervision"]
    assert [u.text for u in actual[:2]] == ["the first part", "the second"] and actual[2].speaker == "s"
    for utterance, expected in (
        (actual[0], read_audio(FILES[0], 16000, 0.0, 2.0)),
        (actual[1], read_audio(FILES[0], 16000, 2.5, 1.5)),
        (actual[2], read_audio(FILES[1], 16000)),
    ):
        wave = read_audio(utterance.audio, 16000, utterance.start, utterance.duration)
        np.testing.assert_array_equal(wave, expected)
        assert utterance.duration == pytest.approx(len(expected) / 16000)
    assert not (shar / "audio").exists(), "the audio stays in its shards"


def test_other_rates_are_resampled(shar: Path) -> None:
    first = prepared(shar, 8000, [])[0]
    assert read_audio(first.audio, 8000, first.start, first.duration).shape == (16000,)


def test_parts_of_recordings(tmp_path: Path) -> None:
    """What lhotse itself reads from shards of cuts that begin within their recording."""
    cuts = []
    for path in FILES[:3]:
        cut = Recording.from_file(path).to_cut()
        text = SupervisionSegment(path.stem, cut.recording_id, 0, cut.duration, text="words")
        cut.supervisions = [text]
        cuts.append(cut.truncate(offset=0.5, duration=2.0))
    (tmp_path / "train").mkdir()
    CutSet.from_cuts(cuts).to_shar(tmp_path / "train", fields={"recording": "wav"}, shard_size=2)
    actual = prepared(tmp_path, 16000, [])
    for utterance, cut in zip(actual, CutSet.from_shar(in_dir=tmp_path / "train"), strict=True):
        assert utterance.duration == pytest.approx(cut.duration)
        computed = read_audio(utterance.audio, 16000, utterance.start, utterance.duration)
        np.testing.assert_allclose(computed, cut.load_audio()[0], atol=1e-4)


def test_damage_is_named(shar: Path) -> None:
    tar = shar / "train" / "recording.000001.tar"
    tar.write_bytes(tar.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"cannot read the Shar in .*train"):
        prepared(shar, 16000, [])
    tar.unlink()
    (shar / "train" / "recording.000000.tar").unlink()
    (shar / "train" / "recording.000002.tar").unlink(missing_ok=True)
    with pytest.raises(DataError, match="no Shar in"):
        prepared(shar, 16000, [])
