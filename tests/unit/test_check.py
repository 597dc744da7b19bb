"""The check before training, on real recordings and on broken ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.config import CheckConfig, TextConfig
from asrkit.errors import DataError
from asrkit.learning.recipe.check import Problem, apply_policy, ctc_frames, find_problems, summary
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.tokenizer import build_tokenizer

AUDIO = Path(__file__).parents[1] / "audio"
GOOD = Utterance("good", str(AUDIO / "sense-0880.flac"), 0.0, 2.0, "HE WAS NOT AN ILL DISPOSED YOUNG MAN", "")
TOKENIZER = build_tokenizer(TextConfig(), [GOOD.text])


def frames_of(utterance: Utterance) -> np.ndarray:
    """f32[T, 160]: the samples in frames of 10 ms."""
    wave = read_audio(utterance.audio, 16000, utterance.start, utterance.duration or None)
    return wave[: len(wave) // 160 * 160].reshape(-1, 160)


def problems_of(
    *utterances: Utterance,
    ctc: bool = True,
    features: Callable[[Utterance], np.ndarray] = frames_of,
    subsampling: int = 4,
) -> list[Problem]:
    return find_problems(
        utterances,
        tokenizer=TOKENIZER,
        features=features,
        output_frames=lambda frames: frames // subsampling,
        config=CheckConfig(max_seconds=10.0, min_seconds=0.1),
        ctc=ctc,
    )


def kinds(*utterances: Utterance, **options: Any) -> dict[str, list[str]]:
    actual: dict[str, list[str]] = {}
    for problem in problems_of(*utterances, **options):
        actual.setdefault(problem.id, []).append(problem.kind)
    return actual


def test_a_good_utterance_has_no_problem() -> None:
    assert problems_of(GOOD) == []


def test_every_kind_is_named(tmp_path: Path) -> None:
    whole = Path(GOOD.audio).read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "text.wav").write_text("not audio")
    actual = kinds(
        GOOD,
        replace(GOOD, id="cut", audio=str(tmp_path / "cut.flac")),
        replace(GOOD, id="text", audio=str(tmp_path / "text.wav")),
        replace(GOOD, id="absent", audio=str(tmp_path / "absent.wav")),
        replace(GOOD, id="silent", text=" "),
        replace(GOOD, id="digits", text="HE WAS 2"),
        replace(GOOD, id="short", duration=0.05, text=""),
        replace(GOOD, id="nothing", audio=str(tmp_path / "absent.wav"), duration=0.0),
        replace(GOOD, id="nan", duration=float("nan"), audio=str(tmp_path / "absent.wav")),
        replace(GOOD, id="long", duration=10.01),
        replace(GOOD, id="dense", text=" ".join([GOOD.text] * 2)),
        replace(GOOD, id="twin"),
        replace(GOOD, id="twin"),
    )
    assert actual == {
        "cut": ["unreadable"],
        "text": ["unreadable"],
        "absent": ["unreadable"],
        "silent": ["empty-text"],
        "digits": ["unknown-characters"],
        "short": ["empty-text", "too-short"],
        "nothing": ["too-short", "unreadable"],
        "nan": ["too-short", "unreadable"],
        "long": ["too-long"],
        "dense": ["ctc-too-long"],
        "twin": ["duplicate-id"],
    }


def test_details_say_the_reason() -> None:
    assert problems_of(replace(GOOD, text="HE WAS 2½"))[0].detail == "2 ½"
    assert problems_of(replace(GOOD, duration=11.0))[0].detail == "11.00 s, more than check.max_seconds=10"
    (dense,) = problems_of(replace(GOOD, text="ILL " * 3 + "MAN"), subsampling=20)
    assert dense.detail == "15 tokens need 18 output frames, the encoder outputs 10"


def test_non_finite_features() -> None:
    for value in (np.nan, np.inf):
        feats = np.zeros((400, 80), np.float32)
        feats[7, 3] = value
        assert kinds(GOOD, features=lambda _, feats=feats: feats) == {"good": ["non-finite"]}


def test_only_ctc_needs_room() -> None:
    assert kinds(GOOD, subsampling=20) == {"good": ["ctc-too-long"]}
    assert kinds(GOOD, subsampling=20, ctc=False) == {}


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=8), st.integers(1, 14))
def test_room_for_ctc_is_where_its_loss_is_finite(tokens: list[int], frames: int) -> None:
    loss = torch.nn.functional.ctc_loss(
        torch.zeros(frames, 1, 4).log_softmax(-1),
        torch.tensor([tokens]),
        torch.tensor([frames]),
        torch.tensor([len(tokens)]),
        reduction="none",
    )
    assert bool(torch.isfinite(loss)) == (ctc_frames(tokens) <= frames)


def test_thousands_of_utterances_take_seconds() -> None:
    feats = np.zeros((300, 80), np.float32)
    many = [replace(GOOD, id=str(i)) for i in range(3000)]
    begin = time.perf_counter()
    assert problems_of(*many, features=lambda _: feats) == []
    assert time.perf_counter() - begin < 5


def test_summary_counts_and_names() -> None:
    problems = [Problem(f"u{i}", "empty-text", "") for i in range(7)] + [Problem("x", "too-long", "31 s")]
    assert summary(problems) == "empty-text: 7 (u0, u1, u2, u3, u4, …)\ntoo-long: 1 (x)"
    assert summary([]) == "no problem"


def test_policies() -> None:
    utterances = [replace(GOOD, id=name) for name in ("a", "b", "c", "c")]
    problems = [
        Problem("b", "empty-text", ""),
        Problem("b", "too-long", ""),
        Problem("c", "duplicate-id", ""),
    ]
    drop, stop = CheckConfig(policy="drop"), CheckConfig(policy="stop")
    assert [u.id for u in apply_policy(utterances, problems, drop)] == ["a"]
    assert apply_policy(utterances, [], stop) == utterances
    with pytest.raises(DataError, match=r"3 of 4 utterances cannot be trained on: b, c"):
        apply_policy(utterances, problems, stop)
    with pytest.raises(DataError, match="no utterance"):
        apply_policy(utterances[1:], problems, drop)
