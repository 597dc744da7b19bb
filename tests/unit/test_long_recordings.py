"""Recordings of any length: in pieces, by several threads, from a file or from memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SENTENCES

import asrkit
from asrkit.recognition.audio.pieces import cut_at_pauses
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.batching import whole_file
from asrkit.recognition.recognizer import Recognizer
from asrkit.recognition.transcript import Transcript, make_transcript
from asrkit.recognition.writers.transcripts import to_json

RATE = 16000
GOOD = SENTENCES / "sense-0870.flac"


@pytest.fixture(scope="module")
def recognizer(experiment: Path) -> Recognizer:
    loaded = Recognizer.load(experiment, device="cpu", threads=1)
    loaded.piece_seconds = 8.0
    return loaded


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five sentences, half a second apart: 30 s."""
    path = tmp_path_factory.mktemp("long") / "long.flac"
    gap = np.zeros(RATE // 2, np.float32)
    wave = np.concatenate([x for p in sorted(SENTENCES.glob("*.flac")) for x in (read_audio(p), gap)])
    soundfile.write(path, wave, RATE)
    return path


def alone(recognizer: Recognizer, wave: np.ndarray, path: Path, offset: float = 0.0) -> Transcript:
    """What the model says of samples that are a batch of their own."""
    [hypotheses] = recognizer.search(recognizer.encode([wave]))
    return make_transcript(path.stem, str(path), len(wave) / RATE, offset, hypotheses, recognizer.tokenizer)


def test_a_short_recording_is_decoded_as_one(recognizer: Recognizer) -> None:
    assert recognizer.transcribe(GOOD) == alone(recognizer, read_audio(GOOD), GOOD)
    assert recognizer.transcribe(GOOD).nbest


def test_a_long_recording_is_what_its_pieces_are(recognizer: Recognizer, long: Path) -> None:
    actual = recognizer.transcribe(long)
    parts, begin = [], 0.0
    for wave in cut_at_pauses([read_audio(long)], RATE, 8.0):
        parts.append(alone(recognizer, wave, long, begin))
        begin += len(wave) / RATE
    assert len(parts) >= 4
    assert actual.seconds == pytest.approx(len(read_audio(long)) / RATE, abs=0.01)
    assert actual.text == " ".join(part.text for part in parts if part.text)
    assert [w.text for w in actual.words] == [w.text for part in parts for w in part.words]
    assert [t.text for t in actual.tokens] == [t.text for part in parts for t in part.tokens]
    expected = [time for part in parts for token in part.tokens for time in (token.start, token.end)]
    times = [time for token in actual.tokens for time in (token.start, token.end)]
    assert times == pytest.approx(expected, abs=0.041)  # no later than its piece's end
    assert times == sorted(times)
    weights = [part.seconds for part in parts]
    mean = np.average([part.confidence for part in parts], weights=weights)
    assert actual.confidence == pytest.approx(mean, abs=2e-3)
    assert actual.nbest == []


def test_threads_change_nothing(recognizer: Recognizer, long: Path, experiment: Path) -> None:
    two = Recognizer.load(experiment, device="cpu", threads=2)
    two.piece_seconds = recognizer.piece_seconds
    written = []
    for each in (recognizer, two):
        each.settings = replace(each.settings, batch_seconds=9.0)
        results = each.transcribe_many([whole_file(GOOD), whole_file(long), whole_file(GOOD)])
        written.append([to_json(result) for result in results if isinstance(result, Transcript)])
    recognizer.settings = two.settings = recognizer.config.decode
    assert len(written[0]) == 3
    assert written[0] == written[1]


def test_an_error_in_the_middle_is_the_files(recognizer: Recognizer, long: Path, tmp_path: Path) -> None:
    wave = read_audio(long)
    wave[20 * RATE] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave, RATE, subtype="FLOAT")
    recognizer.settings = replace(recognizer.settings, batch_seconds=9.0)
    files = [GOOD, tmp_path / "nan.wav", tmp_path / "missing.wav", GOOD]
    first, damaged, missing, last = recognizer.transcribe_many(map(whole_file, files))
    recognizer.settings = recognizer.config.decode
    assert isinstance(damaged, asrkit.AsrkitError) and "20.000 s" in damaged.message
    assert isinstance(missing, asrkit.AsrkitError) and "missing.wav" in missing.message
    assert isinstance(first, Transcript) and first == last


def test_parts_of_files_are_never_cut(recognizer: Recognizer, long: Path) -> None:
    part = Utterance("part", str(long), 1.0, 20.0, "", "")
    [actual] = recognizer.transcribe_many([part])
    assert isinstance(actual, Transcript)
    assert actual.nbest and actual.seconds == 20.0
    assert actual.text == alone(recognizer, read_audio(long)[RATE : 21 * RATE], long).text


def test_no_more_is_read_than_is_about_to_be_decoded(recognizer: Recognizer) -> None:
    asked = 0

    def files() -> Iterator[Utterance]:
        nonlocal asked
        for _ in range(9):
            asked += 1
            yield whole_file(GOOD)

    progress: list[float] = []
    recognizer.settings = replace(recognizer.settings, batch_seconds=0.1)
    results = recognizer.transcribe_many(files(), progress.append)
    next(results)
    assert asked <= 3 and progress == [
        7.1
    ]  # one is decoded, one waits, one told the reader that a batch is full
    results.close()  # type: ignore[attr-defined]
    recognizer.settings = recognizer.config.decode


@pytest.mark.parametrize("rate", [16000, 22050])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_decoded_like_their_file(
    recognizer: Recognizer, tmp_path: Path, rate: int, channels: int
) -> None:
    import soxr

    wave = soxr.resample(read_audio(GOOD), RATE, rate)
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([wave, wave / 2], 1)[:, :channels], rate)
    expected = recognizer.transcribe(path)
    for kind in ("float32", "float64", "int16", "int32"):
        actual = recognizer.transcribe(soundfile.read(path, dtype=kind))
        assert actual == replace(expected, id="", audio="")


@pytest.mark.parametrize(
    "samples",
    [np.zeros(0), np.zeros((2, 9000)), np.zeros(9, complex), np.array([0.0, np.nan]), np.zeros((3, 1, 1))],
)
def test_what_are_no_samples(recognizer: Recognizer, samples: np.ndarray) -> None:
    with pytest.raises(asrkit.AsrkitError):
        recognizer.transcribe((samples, RATE))


def test_the_packaged_model_is_used_where_none_is_named(
    experiment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from asrkit.recognition import pretrained

    monkeypatch.setattr(pretrained, "ENGLISH", tmp_path / "none.asrkit")
    with pytest.raises(asrkit.AsrkitError, match="no model"):
        asrkit.load()
    monkeypatch.setattr(pretrained, "ENGLISH", experiment / "prompts.asrkit")
    named = asrkit.load(experiment / "prompts.asrkit", device="cpu")
    assert asrkit.load(device="cpu").transcribe(GOOD) == named.transcribe(GOOD)
