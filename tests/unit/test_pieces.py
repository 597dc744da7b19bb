"""Cutting long recordings: no sample lost, no piece too long, and cuts where nobody speaks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.recognition.audio.pieces import cut_at_pauses, quiet_place
from asrkit.recognition.audio.reading import read_audio, stream_audio

RATE = 16000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * 0.1).astype(np.float32)


def pieces(wave: np.ndarray, seconds: float, block: int = 7 * RATE, rate: int = RATE) -> list[np.ndarray]:
    blocks = (wave[i : i + block] for i in range(0, len(wave), block))
    return list(cut_at_pauses(blocks, rate, seconds))


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    samples=st.integers(1, 40_000),
    seconds=st.floats(0.01, 3.0),
    block=st.integers(500, 20_000),
    rate=st.sampled_from([8000, 11025, 16000]),
    loudness=st.lists(st.sampled_from([0.0, 1e-4, 0.1, 1.0]), min_size=1, max_size=6),
)
def test_every_sample_is_in_one_piece(
    samples: int, seconds: float, block: int, rate: int, loudness: list[float]
) -> None:
    wave = np.resize(noise(1), samples) * np.resize(np.repeat(loudness, 777), samples).astype(np.float32)
    actual = pieces(wave, seconds, block, rate)
    np.testing.assert_array_equal(np.concatenate(actual), wave)
    most = max(round(seconds * rate), round(0.02 * rate))
    assert all(0 < len(piece) <= most for piece in actual)
    assert all(len(piece) >= (most // round(0.01 * rate)) // 2 * round(0.01 * rate) for piece in actual[:-1])


def test_short_recordings_stay_whole_to_the_sample() -> None:
    wave = noise(3.0)
    assert [len(piece) for piece in pieces(wave, 3.0)] == [48000]
    assert [len(piece) for piece in pieces(noise(3.001), 3.0)] != [48016]


def test_the_longest_pause_of_the_second_half_is_cut_in_its_middle() -> None:
    wave = noise(40)
    for begin, end in ((5.0, 6.0), (18.0, 18.3), (22.0, 22.4), (27.0, 27.2)):
        wave[round(begin * RATE) : round(end * RATE)] *= 0.01
    first = pieces(wave, 30.0)[0]
    assert len(first) / RATE == pytest.approx(22.2, abs=0.02)


def test_without_a_pause_the_quietest_frame_is_cut() -> None:
    wave = noise(30)
    wave[round(19.5 * RATE) : round(19.51 * RATE)] *= 0.5
    assert quiet_place(wave, RATE) / RATE == pytest.approx(19.505, abs=0.001)


def test_blocks_do_not_matter() -> None:
    wave = noise(10) * np.repeat(np.random.default_rng(1).random(100) ** 4, RATE // 10).astype(np.float32)
    cuts = [[len(piece) for piece in pieces(wave, 2.0, block)] for block in (100, 5000, RATE * 10)]
    assert cuts[0] == cuts[1] == cuts[2]


def test_read_sentences_are_cut_between_them() -> None:
    silence = np.zeros(RATE, np.float32)
    wave = np.concatenate([x for p in sorted(SENTENCES.glob("*.flac")) for x in (read_audio(p), silence)])
    actual = pieces(wave, 12.0)
    cuts = np.cumsum([len(piece) for piece in actual])[:-1]
    assert len(cuts) >= 2
    assert all(not wave[cut - 1000 : cut + 1000].any() for cut in cuts)


def test_hours_are_cut_in_the_memory_of_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    minute = (np.random.default_rng(0).standard_normal(60 * 8000) * 1000).astype(np.int16)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(30):
            file.write(minute)
    tracemalloc.start()
    seconds = sum(map(len, cut_at_pauses(stream_audio(path, RATE), RATE, 30.0))) / RATE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds == pytest.approx(1800, abs=0.01)
    assert peak < 25e6  # half an hour is 115 MB; what levels are computed from is in double precision
