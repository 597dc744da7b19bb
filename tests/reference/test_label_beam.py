"""Label-synchronous beam search against enumeration of every string and the reference's beam search."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from reference.posteriors import KINDS, log_posteriors

from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.ctc_prefix_score import CtcPrefixScorer
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.label_beam import label_beam_search
from asrkit.recognition.decoding.scorers import LengthBonus, Scorer
from asrkit.reference import brute_force
from asrkit.reference.ctc import ctc_log_probability
from asrkit.reference.joint import joint_beam_search, joint_score
from asrkit.reference.notation import Step, Tokens
from asrkit.reference.softmax import log_softmax

EVERYTHING = 10_000


def random_model(seed: int, vocabulary: int) -> Step:
    """A model whose distribution after each prefix is random, but always the same."""

    def step(prefix: Tokens) -> np.ndarray:
        return log_softmax(2.0 * np.random.default_rng([seed, *prefix]).normal(size=vocabulary))

    return step


class StepScorer:
    """Any step function as a scorer. Its state is the prefixes, so a wrong one shows at once."""

    highest = 0.0

    def __init__(self, step: Step, dtype: type = np.float64) -> None:
        self.step, self.dtype, self.calls = step, dtype, 0

    def start(self, count: int) -> list[Tokens]:
        return [()] * count

    def score(self, prefixes: np.ndarray, state: list[Tokens]) -> tuple[np.ndarray, list[Tokens]]:
        self.calls += 1
        now = [tuple(prefix) for prefix in prefixes.tolist()]
        assert state == [prefix[:-1] for prefix in now]
        return np.array([self.step(prefix) for prefix in now], self.dtype), now

    def select(self, state: list[Tokens], index: np.ndarray) -> list[Tokens]:
        return [state[k] for k in index.tolist()]


def search(
    log_probs: np.ndarray,
    step: Step | None = None,
    *,
    ctc_weight: float = 1.0,
    length_bonus: float = 0.0,
    dtype: type = np.float64,
    **options: Any,
) -> list[Hypothesis]:
    """Joint decoding with the last token as end token, of at most T tokens unless `options` say otherwise."""
    vocabulary = log_probs.shape[1]
    scorers: dict[str, Scorer] = {
        "ctc": CtcPrefixScorer(log_probs, eos=vocabulary - 1),
        "length": LengthBonus(vocabulary, vocabulary - 1),
    }
    if step is not None:
        scorers["attention"] = StepScorer(step, dtype)
    settings: dict[str, Any] = {"eos": vocabulary - 1, "max_length": len(log_probs), **options}
    weights = {"ctc": ctc_weight, "attention": 1.0 - ctc_weight, "length": length_bonus}
    return label_beam_search(scorers, weights, **settings)


def assert_same(actual: Sequence[Hypothesis], expected: Sequence[tuple[Tokens, float]]) -> None:
    assert [hypothesis.tokens for hypothesis in actual] == [tokens for tokens, _ in expected]
    np.testing.assert_allclose(
        [hypothesis.score for hypothesis in actual], [score for _, score in expected], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_ctc_alone_finds_what_enumeration_finds(kind: str) -> None:
    rng = np.random.default_rng(20)
    for frames in [0, 1, 2, 3, 4, 5] * 3:
        log_probs = log_posteriors(rng, frames, 4, kind)
        exact = {tokens: score for tokens, score in brute_force.ranked_strings(log_probs) if 3 not in tokens}
        actual = search(log_probs, beam_size=EVERYTHING, nbest=EVERYTHING)
        assert {h.tokens: h.score for h in actual} == pytest.approx(exact, abs=1e-9)
        assert all(a.score >= b.score for a, b in pairwise(actual))
        best = search(log_probs, beam_size=EVERYTHING)
        assert [h.score for h in best] == [h.score for h in actual[:1]]


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("length_bonus", [0.0, 0.7])
def test_wide_joint_beam_is_exhaustive_search(ctc_weight: float, length_bonus: float) -> None:
    rng = np.random.default_rng(21)
    searches = 0
    for seed in range(20):
        step = random_model(seed, 4)
        log_probs = log_posteriors(rng, 4, 4, ("flat", "peaky", "with zeros")[seed % 3])
        weights: dict[str, Any] = {"ctc_weight": ctc_weight, "length_bonus": length_bonus}
        scores = {
            tokens: joint_score(log_probs, step, tokens, end=3, **weights)
            for tokens in brute_force.every_string(4, (1, 2))
        }
        ranked = sorted(scores.items(), key=lambda item: -item[1])
        possible = [(tokens, score) for tokens, score in ranked if score > -np.inf]
        for nbest in (1, 3, EVERYTHING):
            actual = search(log_probs, step, beam_size=EVERYTHING, nbest=nbest, **weights)
            assert_same(actual, possible[:nbest])
        searches += len(possible) > 1
    assert searches >= 15


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["flat", "peaky", "with zeros"])
def test_narrow_joint_beam_is_the_reference_beam(kind: str, dtype: type) -> None:
    rng = np.random.default_rng(22)
    for seed in range(40):
        vocabulary = int(rng.integers(3, 6))
        step = random_model(seed, vocabulary)
        log_probs = log_posteriors(rng, int(rng.integers(0, 8)), vocabulary, kind)
        beam_size, nbest, max_length = (int(n) for n in rng.integers([1, 1, 0], [6, 6, 9]))
        weights: dict[str, Any] = {
            "ctc_weight": float(rng.choice([0.0, 0.3, 0.5, 1.0])),
            "length_bonus": float(rng.choice([0.0, 0.2, 1.5])),
        }
        options = {"beam_size": beam_size, "nbest": nbest, "max_length": max_length}
        expected = joint_beam_search(log_probs, step, end=vocabulary - 1, **options, **weights)
        actual = search(log_probs, step, dtype=dtype, end_margin=np.inf, **options, **weights)
        assert_same(actual, expected)


def test_parts_are_the_scores_before_weighing() -> None:
    log_probs, step = log_posteriors(np.random.default_rng(23), 6, 5, "flat"), random_model(0, 5)
    for actual in search(log_probs, step, ctc_weight=0.3, length_bonus=0.5, beam_size=8, nbest=5):
        parts = actual.parts
        assert actual.score == pytest.approx(
            0.3 * parts["ctc"] + 0.7 * parts["attention"] + 0.5 * parts["length"]
        )
        assert parts["length"] == len(actual.tokens)
        assert parts["ctc"] == pytest.approx(ctc_log_probability(log_probs, actual.tokens))
        emitted = (*actual.tokens, 4)
        attention = sum(step(emitted[:u])[token] for u, token in enumerate(emitted))
        assert parts["attention"] == pytest.approx(attention)


def test_the_search_ends_when_nothing_better_can_come() -> None:
    """Over at once after the last token where nothing is added; a bonus is waited for within the margin."""
    rng = np.random.default_rng(24)
    path = np.zeros(60, int)
    path[5:50:5] = rng.integers(1, 5, size=9)
    log_probs = log_softmax(rng.normal(size=(60, 6)) + 12.0 * np.eye(6)[path])

    def count(length_bonus: float, end_margin: float) -> tuple[int, tuple[int, ...]]:
        counter = StepScorer(lambda prefix: np.zeros(6))
        scorers: dict[str, Scorer] = {
            "ctc": CtcPrefixScorer(log_probs, eos=5),
            "length": LengthBonus(6, 5),
            "calls": counter,
        }
        (best,) = label_beam_search(
            scorers,
            {"ctc": 1.0, "length": length_bonus, "calls": 1.0},
            eos=5,
            beam_size=5,
            max_length=60,
            end_margin=end_margin,
        )
        return counter.calls, best.tokens

    calls, best = count(length_bonus=0.0, end_margin=10.0)
    assert best == tuple(path[path > 0]) and calls == 10
    guessed, best_guessed = count(length_bonus=0.5, end_margin=10.0)
    waited, best_waited = count(length_bonus=0.5, end_margin=np.inf)
    assert best == best_guessed == best_waited
    assert 10 < guessed < waited < 61


def test_a_model_that_never_ends_is_stopped() -> None:
    loop = StepScorer(lambda prefix: np.log([1e-9, 0.9, 0.099, 0.001]))
    (best,) = label_beam_search(
        {"attention": loop, "length": LengthBonus(4, 3)},
        {"attention": 1.0, "length": 1.0},
        eos=3,
        beam_size=3,
        max_length=25,
    )
    assert best.tokens == (1,) * 25 and loop.calls == 26


def test_what_no_length_allows_is_not_found() -> None:
    token_in_the_middle = np.where(np.eye(3)[[0, 1, 0]] > 0, 0.0, -np.inf)
    assert search(token_in_the_middle, beam_size=4, max_length=0) == []
    (only,) = search(token_in_the_middle, beam_size=4, nbest=4)
    assert only.tokens == (1,) and only.score == 0.0


def test_no_frames_give_the_empty_sequence() -> None:
    (only,) = search(np.zeros((0, 4)), beam_size=4, nbest=4)
    assert (only.tokens, only.score, only.parts) == ((), 0.0, {"ctc": 0.0})


def test_a_scorer_without_weight_is_not_asked() -> None:
    scorers = {"a": StepScorer(random_model(1, 4)), "b": StepScorer(random_model(2, 4))}
    options = {"eos": 3, "beam_size": 3, "max_length": 4}
    (best,) = label_beam_search(scorers, {"a": 1.0, "b": 0.0}, **options)
    assert list(best.parts) == ["a"] and scorers["b"].calls == 0


@pytest.mark.parametrize("weight", [0.0, -0.5])
def test_weights_must_mean_something(weight: float) -> None:
    scorer = StepScorer(random_model(1, 4))
    with pytest.raises(UsageError, match="weights"):
        label_beam_search({"a": scorer}, {"a": weight}, eos=3, beam_size=3, max_length=4)


@pytest.mark.parametrize("wrong", [{"beam_size": 0}, {"nbest": 0}, {"max_length": -1}])
def test_sizes_must_be_possible(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="at least"):
        search(np.zeros((1, 4)), **{"beam_size": 3, **wrong})


def test_nan_is_not_decoded() -> None:
    with pytest.raises(DataError, match="NaN"):
        label_beam_search(
            {"a": StepScorer(lambda prefix: np.full(4, np.nan))}, {"a": 1.0}, eos=3, beam_size=3, max_length=4
        )
