"""The corpus in the repository is whole, small and consistent."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from asrkit.recognition.audio.reading import audio_info, read_audio

DATA = Path(__file__).parents[2] / "recipes/prompts/data"
ROWS = [line.split("\t") for line in (DATA / "transcripts.tsv").read_text(encoding="utf-8").splitlines()]


def test_every_line_has_a_recording_and_every_recording_a_line() -> None:
    assert sorted(name for name, _, _ in ROWS) == sorted(path.stem for path in (DATA / "audio").iterdir())


def test_subsets_are_as_documented_and_share_no_text() -> None:
    assert Counter(subset for _, subset, _ in ROWS) == {"train": 467, "dev": 41, "test": 39}
    home: dict[str, str] = {}
    for _, subset, text in ROWS:
        assert home.setdefault(text, subset) == subset


def test_texts_are_spoken_words() -> None:
    assert all(re.fullmatch(r"[a-z']+( [a-z']+)*", text) for _, _, text in ROWS)


def test_folder_stays_small() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 3_500_000


@pytest.mark.parametrize("name", ["digits-7", "hello-world", "tt-weasels"])
def test_recordings_are_speech_at_16_khz(name: str) -> None:
    path = DATA / "audio" / f"{name}.opus"
    wave = read_audio(path)
    assert audio_info(path).sample_rate == 16000
    assert 0.3 < len(wave) / 16000 < 5
    assert 0.02 < float((wave**2).mean() ** 0.5) < 0.5
