"""The Python door."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import SENTENCES

import asrkit
from asrkit.recognition.recognizer import Recognizer


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
    from asrkit.recognition.transcript import Transcript

    recognizer = asrkit.load(experiment, device="cpu")
    files = [whole_file(path) for path in sorted(SENTENCES.glob("*.flac"))]
    together = [t.text for t in recognizer.transcribe_many(files) if isinstance(t, Transcript)]
    recognizer.settings = replace(recognizer.settings, batch_seconds=0.1)
    alone = [t.text for t in recognizer.transcribe_many(files) if isinstance(t, Transcript)]
    assert alone == together and len(alone) == len(files)


def test_settings_are_replaced_between_calls(experiment: Path) -> None:
    """Another decoder is used from the next call on; settings themselves never change."""
    recognizer = asrkit.load(experiment, device="cpu")
    path = SENTENCES / "sense-0870.flac"
    greedy, trained = recognizer.transcribe(path), recognizer.config.decode.decoder
    recognizer.settings = replace(recognizer.settings, decoder="ctc-beam", beam_size=3, nbest=3)
    assert len(recognizer.transcribe(path).nbest) == 3
    assert recognizer.config.decode.decoder == trained
    recognizer.settings = recognizer.config.decode
    assert recognizer.transcribe(path) == greedy


def test_a_generator_of_transcripts_leaves_the_threads_of_torch_alone(experiment: Path) -> None:
    from asrkit.recognition.batching import whole_file

    recognizer = asrkit.load(experiment, device="cpu")
    files = [whole_file(path) for path in sorted(SENTENCES.glob("*.flac"))]
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(1) as fresh:
            for number, _ in enumerate(recognizer.transcribe_many(files)):
                assert torch.get_num_threads() == 3, "between two items"
                if number == 1:
                    break  # abandoned
            assert torch.get_num_threads() == 3
            list(recognizer.transcribe_many(files))
            assert fresh.submit(torch.get_num_threads).result() == 3, "in a thread of the caller's"
    finally:
        torch.set_num_threads(before)


def test_searches_have_all_threads_where_the_encoder_is_not_on_the_cpu(
    experiment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = asrkit.load(experiment, device="cpu", threads=2)
    path = SENTENCES / "sense-0870.flac"
    expected = recognizer.transcribe(path)
    monkeypatch.setattr(recognizer.acoustics, "on_cpu", False)
    assert recognizer.transcribe(path) == expected
    elsewhere = Recognizer(recognizer.components, recognizer.acoustics.threads)
    assert elsewhere.threads == recognizer.acoustics.threads == 2
