"""The Python door."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SENTENCES

import asrkit


def test_load_and_transcribe(experiment: Path) -> None:
    recognizer = asrkit.load(experiment / "prompts.asrkit", device="cpu")
    transcript = recognizer.transcribe(SENTENCES / "sense-0870.flac")
    assert transcript.text == " ".join(word.text for word in transcript.words)
    assert transcript.seconds == pytest.approx(4.9, abs=2.5)


def test_errors_are_of_one_kind(experiment: Path) -> None:
    with pytest.raises(asrkit.AsrkitError):
        asrkit.load("nowhere")
    with pytest.raises(asrkit.AsrkitError):
        asrkit.load(experiment).transcribe("nowhere.wav")


def test_score() -> None:
    assert asrkit.score({"a": "X Y"}, {"a": "X Z"}).total.rate == 0.5


def test_batching_never_changes_a_transcript(experiment: Path) -> None:
    from asrkit.recognition.batching import whole_file

    recognizer = asrkit.load(experiment, device="cpu")
    files = [whole_file(path) for path in sorted(SENTENCES.glob("*.flac"))]
    together = list(recognizer.transcribe_many(files))
    recognizer.settings.batch_seconds = 0.1
    assert [t.text for t in recognizer.transcribe_many(files)] == [t.text for t in together]
