"""Confidence intervals by bootstrap over utterances (Bisani and Ney, ICASSP 2004)."""

from collections.abc import Iterator, Sequence

import numpy as np


def confidence_interval(
    errors: Sequence[int], references: Sequence[int], samples: int = 1000, seed: int = 0, level: float = 0.95
) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the error rate ``sum(errors) / sum(references)``.

    Args:
        errors: errors of each utterance.
        references: reference tokens of each utterance.
        samples: bootstrap samples, each of as many utterances as there are.
        seed: the same seed gives the same interval.
        level: probability that the interval is meant to cover.

    Returns:
        Lower and upper end of the rate as a fraction, or None without reference tokens.
    """
    if not sum(references):
        return None
    table = np.array([errors, references])
    totals = np.array([table[:, draw].sum(axis=1) for draw in _draws(len(errors), samples, seed)])
    wrong, length = totals[totals[:, 1] > 0].T
    low, high = np.quantile(wrong / length, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def probability_of_improvement(
    errors: Sequence[int], new_errors: Sequence[int], samples: int = 1000, seed: int = 0
) -> float:
    """Share of bootstrap samples in which a new system makes fewer errors than the old one.

    Args:
        errors, new_errors: errors of each utterance, in the same order, of the old and the new system.
    """
    gain = np.array(errors) - np.array(new_errors)
    return float(np.mean([gain[draw].sum() > 0 for draw in _draws(len(gain), samples, seed)]))


def _draws(size: int, samples: int, seed: int) -> Iterator[np.ndarray]:
    generator = np.random.default_rng(seed)
    return (generator.integers(size, size=size) for _ in range(samples))
