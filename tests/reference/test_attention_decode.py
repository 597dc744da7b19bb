"""Attention and joint CTC/attention decoding against exhaustive search."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from reference.posteriors import KINDS, log_posteriors

from asrkit.reference import brute_force
from asrkit.reference.attention_decode import beam_search
from asrkit.reference.ctc import ctc_log_probability
from asrkit.reference.joint import ctc_prefix_log_probability, joint_beam_search, joint_score
from asrkit.reference.notation import Step
from asrkit.reference.softmax import log_softmax

EVERYTHING = 10_000


def random_model(seed: int, vocabulary: int) -> Step:
    """A model whose distribution after each prefix is random, but always the same."""

    @cache
    def step(prefix: tuple[int, ...]) -> np.ndarray:
        return log_softmax(2.0 * np.random.default_rng([seed, *prefix]).normal(size=vocabulary))

    return step


@pytest.mark.parametrize("length_bonus", [0.0, 0.7])
def test_wide_beam_is_exhaustive_search(length_bonus: float) -> None:
    for seed in range(100):
        step = random_model(seed, vocabulary=4)
        exact = brute_force.ranked_sequences(
            step, end=3, vocabulary=4, max_length=4, length_bonus=length_bonus
        )
        actual = beam_search(
            step, end=3, beam_size=EVERYTHING, max_length=4, nbest=EVERYTHING, length_bonus=length_bonus
        )
        assert [h.tokens for h in actual] == [h.tokens for h in exact]
        np.testing.assert_allclose([h.score for h in actual], [h.score for h in exact], rtol=0, atol=1e-10)


def test_beam_of_one_takes_the_best_token_each_time() -> None:
    for seed in range(50):
        step = random_model(seed, vocabulary=5)
        actual = beam_search(step, end=4, beam_size=1, max_length=30)
        tokens: list[int] = []
        while (best := int(step(tuple(tokens)).argmax())) != 4 and len(tokens) < 30:
            tokens.append(best)
        assert actual[0].tokens == tuple(tokens)


def test_narrow_beam_scores_what_it_finds_exactly() -> None:
    for seed in range(30):
        step = random_model(seed, vocabulary=5)
        exact = dict(brute_force.ranked_sequences(step, end=4, vocabulary=5, max_length=4))
        actual = beam_search(step, end=4, beam_size=3, max_length=4, nbest=3)
        assert 1 <= len(actual) <= 3
        assert all(exact[tokens] == pytest.approx(score, abs=1e-12) for tokens, score in actual)


def test_impossible_tokens_are_never_taken() -> None:
    step = random_model(0, vocabulary=4)
    actual = beam_search(
        lambda prefix: np.where(np.arange(4) == 1, -np.inf, step(prefix)),
        end=3,
        beam_size=EVERYTHING,
        max_length=3,
        nbest=EVERYTHING,
    )
    assert len(actual) == 2**0 + 2**1 + 2**2 + 2**3
    assert all(1 not in hypothesis.tokens for hypothesis in actual)


def test_no_length_leaves_the_end_token() -> None:
    step = random_model(1, vocabulary=3)
    (only,) = beam_search(step, end=2, beam_size=5, max_length=0, nbest=5)
    assert only == ((), pytest.approx(step(())[2]))


@pytest.mark.parametrize("kind", KINDS)
def test_ctc_prefix_probability_is_the_sum_over_its_strings(kind: str) -> None:
    rng = np.random.default_rng(15)
    for frames in range(6):
        log_probs = log_posteriors(rng, frames, 3, kind)
        for prefix in brute_force.every_string(frames + 1, range(1, 3)):
            np.testing.assert_allclose(
                np.exp(ctc_prefix_log_probability(log_probs, prefix)),
                np.exp(brute_force.prefix_log_probability(log_probs, prefix)),
                rtol=0,
                atol=1e-12,
            )


def test_a_prefix_ends_or_goes_on() -> None:
    rng = np.random.default_rng(16)
    for _ in range(20):
        log_probs = log_posteriors(rng, 30, 6, "flat")
        prefix = rng.integers(1, 6, size=rng.integers(0, 12)).tolist()
        longer = [ctc_prefix_log_probability(log_probs, [*prefix, token]) for token in range(1, 6)]
        np.testing.assert_allclose(
            np.logaddexp.reduce([ctc_log_probability(log_probs, prefix), *longer]),
            ctc_prefix_log_probability(log_probs, prefix),
            rtol=0,
            atol=1e-10,
        )


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
def test_joint_score_weighs_the_two(ctc_weight: float) -> None:
    step = random_model(2, vocabulary=4)
    log_probs = log_posteriors(np.random.default_rng(17), 6, 4, "flat")
    tokens = (1, 2, 2)
    attention = step(())[1] + step((1,))[2] + step((1, 2))[2]
    for complete, ctc, said in (
        (True, ctc_log_probability(log_probs, tokens), attention + step(tokens)[3]),
        (False, ctc_prefix_log_probability(log_probs, tokens), attention),
    ):
        score = joint_score(
            log_probs, step, tokens, end=3, ctc_weight=ctc_weight, length_bonus=0.5, complete=complete
        )
        assert score == pytest.approx(ctc_weight * ctc + (1 - ctc_weight) * said + 1.5, abs=1e-12)


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
def test_wide_joint_beam_is_exhaustive_search(ctc_weight: float) -> None:
    rng = np.random.default_rng(18)
    searches = 0
    for seed in range(15):
        step = random_model(seed, vocabulary=4)
        log_probs = log_posteriors(rng, 4, 4, "with zeros" if seed % 3 == 0 else "flat")
        weights: dict[str, Any] = {"end": 3, "ctc_weight": ctc_weight, "length_bonus": 0.2}
        scores = {
            tokens: joint_score(log_probs, step, tokens, **weights)
            for tokens in brute_force.every_string(4, (1, 2))
        }
        possible = {tokens: score for tokens, score in scores.items() if score > -np.inf}
        actual = joint_beam_search(
            log_probs, step, beam_size=EVERYTHING, max_length=4, nbest=EVERYTHING, **weights
        )
        assert dict(actual) == pytest.approx(possible, abs=1e-10)
        assert np.all(np.diff([hypothesis.score for hypothesis in actual]) <= 0)
        if possible:
            assert actual[0].tokens == max(possible, key=possible.__getitem__)
            searches += 1
    assert searches >= 10
