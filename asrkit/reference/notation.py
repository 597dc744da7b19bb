"""The types every chapter of the reference uses."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Tokens = tuple[int, ...]

Step = Callable[[Tokens], Array]
"""A model of the next token: from a prefix to log probabilities [V], the end token among them."""


class ScoredTokens(NamedTuple):
    """One decoded token sequence.

    Attributes:
        tokens: token ids, without blanks and without the end token.
        score: its log probability, or the weighted sum of log probabilities the decoder ranks by.
    """

    tokens: Tokens
    score: float
