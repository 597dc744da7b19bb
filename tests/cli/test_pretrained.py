"""The recogniser that comes with the package: what it says, how large it is, and that the recipe makes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, SENTENCES, Run

import asrkit as door
from asrkit.config import load_config, parse_config
from asrkit.recognition import pretrained
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.bundle import Bundle
from asrkit.recognition.scoring.formats import read_transcripts
from asrkit.recognition.scoring.score import score_texts
from asrkit.recognition.text.normalize import english

TEXTS = {name: english(text) for name, text in read_transcripts(SENTENCES / "transcripts.txt").items()}
RATE = 16000


def test_five_sentences(asrkit: Run, tmp_path: Path) -> None:
    done = asrkit("decode", *sorted(SENTENCES.glob("*.flac")), "-f", "trn")
    assert done.code == 0 and done.err == ""
    actual = {
        line.rpartition("(")[2].rstrip(")"): line.rpartition("(")[0].strip() for line in done.out.splitlines()
    }
    assert score_texts(TEXTS, actual).total.rate <= 0.25


def test_the_python_door(asrkit: Run, tmp_path: Path) -> None:
    path = SENTENCES / "sense-0880.flac"
    transcript = door.load().transcribe(path)
    assert transcript.text == asrkit("decode", path).out.strip()
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert times == sorted(times) and times[-1] <= transcript.seconds
    assert 0 < transcript.confidence <= 1 and all(0 < word.confidence <= 1 for word in transcript.words)
    assert len(transcript.words) == len(transcript.text.split())


def test_a_recording_in_pieces_says_what_its_parts_say(asrkit: Run, tmp_path: Path) -> None:
    gap = np.zeros(RATE, np.float32)
    waves = [x for path in sorted(SENTENCES.glob("*.flac")) for x in (read_audio(path), gap)]
    soundfile.write(tmp_path / "all.wav", np.concatenate(waves), RATE)
    whole = {"all": " ".join(TEXTS[name] for name in sorted(TEXTS))}
    for seconds in ("9", "1000"):
        done = asrkit("decode", tmp_path / "all.wav", "-f", "json", "--piece-seconds", seconds)
        record = json.loads(done.out)
        assert score_texts(whole, {"all": record["text"]}).total.rate <= 0.25


def test_the_bundle(tmp_path: Path, asrkit: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pretrained.packaged_model()
    assert path.stat().st_size <= 30e6
    card = Bundle.open(path).read("README.md").decode()
    for needed in ("CC BY 4.0", "LibriSpeech", "Carnegie Mellon", "dev-4spk", "word", "95 %", "Bad at"):
        assert needed in card, needed
    content = path.read_bytes()
    changed = (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 1])
        + content[len(content) // 2 + 1 :]
    )
    for name, bad in (("short", content[:-1000]), ("changed", changed), ("foreign", b"RIFF" + content)):
        copy = tmp_path / f"{name}.asrkit"
        copy.write_bytes(bad)
        monkeypatch.setattr(pretrained, "ENGLISH", copy)
        done = asrkit("decode", SENTENCES / "sense-0880.flac")
        assert done.code == 1 and done.out == "" and str(copy) in done.err and "hint: " in done.err


def test_the_recipe_makes_it() -> None:
    """What the bundle was trained and is decoded with is what the recipe says."""
    packed = parse_config(
        Bundle.open(pretrained.packaged_model()).read("config.yaml").decode(), "config.yaml"
    )
    recipe = load_config(ROOT / "recipes/librispeech/recipe.yaml", ("size=shipped",), ROOT / "conf")
    assert {*packed.lm.text} <= {name.removesuffix("?") for name in recipe.lm.text}
    recipe.lm.text = packed.lm.text
    packed.model.init = recipe.model.init  # where the first training's weights lay
    for section in ("features", "text", "model", "augment", "train", "lm", "decode", "seed"):
        computed, theirs = getattr(packed, section), getattr(recipe, section)
        assert computed == theirs, section
