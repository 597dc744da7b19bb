"""Scorers of the next token against the reference's prefix probabilities and torch's CTC loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference.posteriors import KINDS, log_posteriors

from asrkit.errors import DataError
from asrkit.recognition.decoding.ctc_prefix_score import CtcPrefixScorer
from asrkit.recognition.decoding.scorers import LengthBonus, Scorer
from asrkit.reference.ctc import ctc_log_probability
from asrkit.reference.joint import ctc_prefix_log_probability


def log_probabilities(
    scorer: CtcPrefixScorer, longest: int, tokens: list[int]
) -> dict[tuple[int, ...], tuple[float, float]]:
    """What the scores of every prefix add up to: that it begins the output, and that it is the output."""
    state, prefixes, total = scorer.start(1), np.zeros((1, 0), np.int64), np.zeros(1)
    result = {}
    for length in range(longest + 1):
        scores, state = scorer.score(prefixes, state)
        assert not np.isnan(scores).any()
        totals = total[:, None] + scores
        for prefix, begins, ends in zip(prefixes.tolist(), total, totals[:, scorer.eos], strict=True):
            result[tuple(prefix)] = float(begins), float(ends)
        # All continuations of all prefixes, in an order of their own.
        order = np.random.default_rng(length).permutation(len(prefixes) * len(tokens))
        parents, grown = order // len(tokens), np.array(tokens)[order % len(tokens)]
        state = scorer.select(state, parents)
        prefixes = np.concatenate([prefixes[parents], grown[:, None]], axis=1)
        total = totals[parents, grown]
    return result


def assert_is_the_reference(log_probs: np.ndarray, *, blank: int, eos: int, tolerance: float) -> None:
    exact = log_probs.astype(np.float64)
    tokens = [token for token in range(log_probs.shape[1]) if token not in (blank, eos)]
    for prefix, (begins, ends) in log_probabilities(
        CtcPrefixScorer(log_probs, eos=eos, blank=blank), 4, tokens
    ).items():
        assert begins == pytest.approx(ctc_prefix_log_probability(exact, prefix, blank), abs=tolerance)
        assert ends == pytest.approx(ctc_log_probability(exact, prefix, blank), abs=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 1e-4)])
@pytest.mark.parametrize("kind", KINDS)
def test_ctc_prefix_scores_are_those_computed_anew(kind: str, dtype: type, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    for frames in (0, 1, 2, 3, 5, 8):
        log_probs: np.ndarray = log_posteriors(rng, frames, 4, kind).astype(dtype)
        assert_is_the_reference(log_probs, blank=0, eos=3, tolerance=tolerance)
    assert_is_the_reference(log_probs, blank=2, eos=0, tolerance=tolerance)


def test_ctc_prefix_scores_survive_underflow() -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        log_probs = rng.choice([0.0, -1.0, -400.0, -900.0, -np.inf], (6, 4))
        log_probs[np.arange(6), rng.integers(4, size=6)] = 0.0
        assert_is_the_reference(log_probs, blank=0, eos=3, tolerance=1e-9)


def test_ctc_prefix_scores_of_a_long_sequence_add_up_to_the_ctc_loss() -> None:
    torch.manual_seed(3)
    log_probs = (2.0 * torch.randn(120, 20, dtype=torch.float64)).log_softmax(-1)
    labels = torch.randint(1, 19, (40,)).repeat_interleave(torch.randint(1, 3, (40,)))[:50]
    assert (labels[1:] == labels[:-1]).sum() > 5
    scorer = CtcPrefixScorer(log_probs.numpy(), eos=19)
    state, total = scorer.start(1), 0.0
    for length, token in enumerate([*labels.tolist(), 19]):
        scores, state = scorer.score(labels[None, :length].numpy(), state)
        total += float(scores[0, token])
    loss = torch.nn.functional.ctc_loss(
        log_probs[:, None], labels[None], torch.tensor([120]), torch.tensor([len(labels)]), reduction="sum"
    )
    assert total == pytest.approx(-float(loss), abs=1e-9)


def test_ctc_prefix_scorer_leaves_states_alone_and_forbids_the_blank() -> None:
    scorer = CtcPrefixScorer(torch.randn(9, 5).log_softmax(-1).numpy(), eos=4)
    prefixes = np.array([[1], [2], [2]])
    _, state = scorer.score(prefixes[:, :0], scorer.start(3))
    first, _ = scorer.score(prefixes, state)
    again, _ = scorer.score(prefixes, state)
    assert np.array_equal(first, again) and np.array_equal(first[1], first[2])
    assert (first[:, 0] == -np.inf).all()


def test_ctc_prefix_scorer_refuses_nan() -> None:
    with pytest.raises(DataError, match="frame 1"):
        CtcPrefixScorer(np.array([[-0.7, -0.7], [np.nan, -0.7]]), eos=1)


def test_length_bonus_counts_tokens_and_not_the_end() -> None:
    scorer: Scorer = LengthBonus(vocab=4, eos=3)
    scores, state = scorer.score(np.zeros((2, 5), np.int64), scorer.start(2))
    assert scores.tolist() == [[1.0, 1.0, 1.0, 0.0]] * 2
    assert float(scores.max()) == scorer.highest
    scores, _ = scorer.score(np.zeros((3, 6), np.int64), scorer.select(state, np.array([0, 1, 1])))
    assert scores.shape == (3, 4)
