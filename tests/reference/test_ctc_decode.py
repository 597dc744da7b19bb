"""CTC decoding: the reference against exhaustive search, the fast decoders against the reference."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from reference.posteriors import KINDS, log_posteriors

from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search
from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from asrkit.reference import brute_force
from asrkit.reference.align import forced_alignment
from asrkit.reference.ctc import collapse, ctc_log_probability
from asrkit.reference.ctc_decode import greedy, prefix_beam_search
from asrkit.reference.notation import ScoredTokens
from asrkit.reference.softmax import log_softmax

EVERYTHING = 10_000


def assert_same_nbest(result: list[ScoredTokens], expected: list[ScoredTokens], tolerance: float) -> None:
    assert [hypothesis.tokens for hypothesis in result] == [hypothesis.tokens for hypothesis in expected]
    actual, reference = ([hypothesis.score for hypothesis in nbest] for nbest in (result, expected))
    np.testing.assert_allclose(actual, reference, rtol=0, atol=tolerance)


def test_the_best_string_may_not_be_that_of_the_best_path() -> None:
    log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert greedy(log_probs) == ((), pytest.approx(np.log(0.36)))
    assert prefix_beam_search(log_probs, beam_size=2)[0] == ((1,), pytest.approx(np.log(0.64)))


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_takes_the_best_path(kind: str) -> None:
    rng = np.random.default_rng(6)
    for _ in range(20):
        log_probs = log_posteriors(rng, int(rng.integers(0, 6)), 3, kind)
        paths = list(brute_force.every_path(*log_probs.shape))
        score, best = max((brute_force.path_log_probability(log_probs, path), path) for path in paths)
        assert greedy(log_probs).score == pytest.approx(score, abs=1e-12)
        if kind in ("flat", "peaky"):  # no ties
            assert greedy(log_probs).tokens == collapse(best)


def test_wide_prefix_beam_is_exhaustive_search() -> None:
    rng = np.random.default_rng(7)
    for _ in range(500):
        frames, vocabulary = int(rng.integers(1, 7)), int(rng.integers(2, 5))
        log_probs = log_posteriors(rng, frames, vocabulary, str(rng.choice(["flat", "peaky", "with zeros"])))
        exact = brute_force.ranked_strings(log_probs)
        result = prefix_beam_search(log_probs, EVERYTHING, nbest=EVERYTHING)
        assert result[0].tokens == exact[0].tokens
        assert_same_nbest(result, exact, 1e-10)


@pytest.mark.parametrize("kind", ["uniform", "one-hot"])
def test_wide_prefix_beam_with_ties(kind: str) -> None:
    rng = np.random.default_rng(8)
    for frames in range(6):
        log_probs = log_posteriors(rng, frames, 3, kind)
        exact = dict(brute_force.ranked_strings(log_probs))
        result = dict(prefix_beam_search(log_probs, EVERYTHING, nbest=EVERYTHING))
        assert result == pytest.approx(exact, abs=1e-10)


def test_narrow_prefix_beam_never_promises_too_much() -> None:
    rng = np.random.default_rng(9)
    for _ in range(30):
        log_probs = log_posteriors(rng, 12, 5, "flat")
        for hypothesis in prefix_beam_search(log_probs, beam_size=3, nbest=3):
            assert hypothesis.score <= ctc_log_probability(log_probs, hypothesis.tokens) + 1e-12


def random_batch(rng: np.random.Generator, longest: int, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """float32[4, T, V] log posteriors, with nonsense in the padding, and lengths int64[4]."""
    lens = rng.integers(1, longest + 1, size=4)
    log_probs = log_softmax(rng.normal(scale=rng.choice([1.0, 4.0]), size=(4, longest, vocabulary)))
    for b, length in enumerate(lens):
        log_probs[b, length:] = rng.normal(size=(longest - length, vocabulary))
    return log_probs.astype(np.float32), lens


def assert_fast_decoder_agrees(log_probs: np.ndarray, lens: np.ndarray, beam_size: int, nbest: int) -> None:
    decoded = ctc_prefix_beam_search(log_probs, lens, frame_seconds=0.04, beam_size=beam_size, nbest=nbest)
    assert len(decoded) == len(lens)
    for hypotheses, frames, length in zip(decoded, log_probs, lens, strict=True):
        expected = prefix_beam_search(frames[:length].astype(np.float64), beam_size, nbest)
        assert_same_nbest([ScoredTokens(h.tokens, h.score) for h in hypotheses], expected, 1e-5)


def test_fast_decoder_is_the_reference_with_a_wide_beam() -> None:
    rng = np.random.default_rng(10)
    for _ in range(125):
        log_probs, lens = random_batch(rng, int(rng.integers(1, 6)), int(rng.integers(2, 5)))
        assert_fast_decoder_agrees(log_probs, lens, beam_size=500, nbest=500)


def test_fast_decoder_is_the_reference_with_a_narrow_beam() -> None:
    rng = np.random.default_rng(11)
    for _ in range(40):
        log_probs, lens = random_batch(rng, int(rng.integers(1, 20)), int(rng.integers(2, 9)))
        beam_size = int(rng.integers(1, 9))
        assert_fast_decoder_agrees(log_probs, lens, beam_size, nbest=beam_size)


def test_fast_decoder_is_exhaustive_search_on_degenerate_posteriors() -> None:
    rng = np.random.default_rng(12)
    for kind in KINDS:
        for frames in range(1, 5):
            log_probs = log_posteriors(rng, frames, 3, kind)
            (result,) = ctc_prefix_beam_search(
                log_probs[None].astype(np.float32),
                np.array([frames]),
                frame_seconds=0.04,
                beam_size=200,
                nbest=200,
            )
            exact = dict(brute_force.ranked_strings(log_probs))
            assert {h.tokens: h.score for h in result} == pytest.approx(exact, abs=1e-5)


def test_fast_decoder_times_are_those_of_the_forced_alignment() -> None:
    rng = np.random.default_rng(13)
    tokens = repeats = 0
    for _ in range(40):
        log_probs, lens = random_batch(rng, 12, int(rng.integers(2, 6)))
        decoded = ctc_prefix_beam_search(log_probs, lens, frame_seconds=0.5, beam_size=8, nbest=8)
        for hypotheses, frames, length in zip(decoded, log_probs, lens, strict=True):
            for hypothesis in hypotheses:
                spans = forced_alignment(frames[:length].astype(np.float64), hypothesis.tokens).spans
                np.testing.assert_array_equal(hypothesis.times / 0.5, np.array(spans).reshape(-1, 2))
                tokens += len(spans)
                repeats += sum(a == b for a, b in pairwise(hypothesis.tokens))
    assert tokens > 500 and repeats > 100


def test_fast_greedy_is_the_reference() -> None:
    rng = np.random.default_rng(14)
    for _ in range(50):
        log_probs, lens = random_batch(rng, 12, 5)
        decoded = ctc_greedy_search(log_probs, lens, frame_seconds=0.04)
        for hypotheses, frames, length in zip(decoded, log_probs, lens, strict=True):
            result = [ScoredTokens(h.tokens, h.score) for h in hypotheses]
            assert_same_nbest(result, [greedy(frames[:length].astype(np.float64))], 1e-5)
