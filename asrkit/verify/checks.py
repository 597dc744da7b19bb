"""What a comparison yields, and the largest difference of two arrays or n-best lists."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.reference.notation import ScoredTokens
from asrkit.verify.subject import Subject

Finding = tuple[float, str]  # a difference, and its position
Compare = Callable[[Subject], Iterable[Finding]]


class Check(NamedTuple):
    """The result of a comparison.

    Attributes:
        name: what was compared.
        difference: the largest; infinite where the two sides are different in kind.
        tolerance: the largest difference that rounding explains.
        detail: the position of the largest difference.
    """

    name: str
    difference: float
    tolerance: float
    detail: str

    @property
    def agrees(self) -> bool:
        """Whether rounding explains the difference."""
        return self.difference <= self.tolerance


def judge(name: str, tolerance: float, compare: Compare, subject: Subject) -> Check:
    """The largest difference of a comparison; infinite where the comparison raises."""
    try:
        findings = [(math.inf if math.isnan(value) else value, where) for value, where in compare(subject)]
        difference, where = max(findings, default=(0.0, "nothing to compare"))
    except Exception as error:
        difference, where = math.inf, f"{type(error).__name__}: {error}"
    return Check(name, difference, tolerance, where)


def largest(actual: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """The largest absolute difference, infinite for NaN and other shapes; its index on the first axis."""
    if actual.shape != expected.shape:
        return math.inf, 0
    if actual.size == 0:
        return 0.0, 0
    with np.errstate(invalid="ignore"):
        difference = np.where(actual == expected, 0.0, np.abs(actual - expected))
    difference[np.isnan(difference)] = np.inf
    return float(difference.max()), int(np.unravel_index(difference.argmax(), difference.shape)[0])


def hypotheses_differ(name: str, actual: Sequence[Hypothesis], expected: Sequence[ScoredTokens]) -> Finding:
    """The largest difference of the scores of two n-best lists, infinite where a text is not in both.

    `expected` may be longer, so that the order of ties does not matter.
    """
    first = [h.score for h in expected[: len(actual)]]
    difference, rank = largest(np.array([h.score for h in actual]), np.array(first))
    scores = {h.tokens: h.score for h in expected}
    for i, hypothesis in enumerate(actual):
        other = abs(hypothesis.score - scores.get(hypothesis.tokens, math.inf))
        if other > difference:
            difference, rank = other, i
    return difference, f"{name}, hypothesis {rank + 1} of {len(actual)}"
