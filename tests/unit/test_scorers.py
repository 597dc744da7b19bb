"""Scorers of the next token against the reference's prefix probabilities and torch's CTC loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference.posteriors import KINDS, log_posteriors

from asrkit.errors import DataError
from asrkit.recognition.decoding.ctc_prefix_score import CtcPrefixScorer
from asrkit.recognition.decoding.scorers import LengthBonus
from asrkit.reference.ctc import ctc_log_probability
from asrkit.reference.joint import ctc_prefix_log_probability


def log_probabilities(
    scorer: CtcPrefixScorer, longest: int, tokens: list[int]
) -> dict[tuple[int, ...], tuple[float, float]]:
    """What the scores of every prefix add up to: that it begins the output, and that it is the output."""
    state, prefixes, total = scorer.start(1), torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1)
    result = {}
    for length in range(longest + 1):
        scores, state = scorer.score(prefixes, state)
        assert not scores.isnan().any()
        totals = total[:, None] + scores
        for prefix, begins, ends in zip(prefixes.tolist(), total, totals[:, scorer.eos], strict=True):
            result[tuple(prefix)] = float(begins), float(ends)
        # All continuations of all prefixes, in an order of their own.
        order = torch.randperm(len(prefixes) * len(tokens), generator=torch.Generator().manual_seed(length))
        parents, grown = order // len(tokens), torch.tensor(tokens)[order % len(tokens)]
        state = scorer.select(state, parents)
        prefixes = torch.cat([prefixes[parents], grown[:, None]], dim=1)
        total = totals[parents, grown]
    return result


def assert_is_the_reference(log_probs: torch.Tensor, *, blank: int, eos: int, tolerance: float) -> None:
    exact = log_probs.double().numpy()
    tokens = [token for token in range(log_probs.shape[1]) if token not in (blank, eos)]
    for prefix, (begins, ends) in log_probabilities(
        CtcPrefixScorer(log_probs, eos=eos, blank=blank), 4, tokens
    ).items():
        assert begins == pytest.approx(ctc_prefix_log_probability(exact, prefix, blank), abs=tolerance)
        assert ends == pytest.approx(ctc_log_probability(exact, prefix, blank), abs=tolerance)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("kind", KINDS)
def test_ctc_prefix_scores_are_those_computed_anew(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    rng = np.random.default_rng(1)
    for frames in (0, 1, 2, 3, 5, 8):
        log_probs = torch.from_numpy(log_posteriors(rng, frames, 4, kind)).to(dtype)
        assert_is_the_reference(log_probs, blank=0, eos=3, tolerance=tolerance)
    assert_is_the_reference(log_probs, blank=2, eos=0, tolerance=tolerance)


def test_ctc_prefix_scores_survive_underflow() -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        log_probs = rng.choice([0.0, -1.0, -400.0, -900.0, -np.inf], (6, 4))
        log_probs[np.arange(6), rng.integers(4, size=6)] = 0.0
        assert_is_the_reference(torch.from_numpy(log_probs), blank=0, eos=3, tolerance=1e-9)


def test_ctc_prefix_scores_of_a_long_sequence_add_up_to_the_ctc_loss() -> None:
    torch.manual_seed(3)
    log_probs = (2.0 * torch.randn(120, 20, dtype=torch.float64)).log_softmax(-1)
    labels = torch.randint(1, 19, (40,)).repeat_interleave(torch.randint(1, 3, (40,)))[:50]
    assert (labels[1:] == labels[:-1]).sum() > 5
    scorer = CtcPrefixScorer(log_probs, eos=19)
    state, total = scorer.start(1), 0.0
    for length, token in enumerate([*labels.tolist(), 19]):
        scores, state = scorer.score(labels[None, :length], state)
        total += float(scores[0, token])
    loss = torch.nn.functional.ctc_loss(
        log_probs[:, None], labels[None], torch.tensor([120]), torch.tensor([len(labels)]), reduction="sum"
    )
    assert total == pytest.approx(-float(loss), abs=1e-9)


def test_ctc_prefix_scorer_leaves_states_alone_and_forbids_the_blank() -> None:
    scorer = CtcPrefixScorer(torch.randn(9, 5).log_softmax(-1), eos=4)
    prefixes = torch.tensor([[1], [2], [2]])
    _, state = scorer.score(prefixes[:, :0], scorer.start(3))
    first, _ = scorer.score(prefixes, state)
    again, _ = scorer.score(prefixes, state)
    assert torch.equal(first, again) and torch.equal(first[1], first[2])
    assert (first[:, 0] == -torch.inf).all()


def test_ctc_prefix_scorer_refuses_nan() -> None:
    with pytest.raises(DataError, match="frame 1"):
        CtcPrefixScorer(torch.tensor([[-0.7, -0.7], [torch.nan, -0.7]]), eos=1)


def test_length_bonus_counts_tokens_and_not_the_end() -> None:
    scorer = LengthBonus(vocab=4, eos=3)
    scores, state = scorer.score(torch.zeros(2, 5, dtype=torch.int64), scorer.start(2))
    assert scores.tolist() == [[1.0, 1.0, 1.0, 0.0]] * 2
    assert float(scores.max()) == scorer.highest
    scores, _ = scorer.score(
        torch.zeros(3, 6, dtype=torch.int64), scorer.select(state, torch.tensor([0, 1, 1]))
    )
    assert scores.shape == (3, 4)
