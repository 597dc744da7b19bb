"""The one result type of every decoder."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One decoded token sequence of one utterance.

    Attributes:
        tokens: token ids, without blanks, length U.
        score: total log score by which an n-best list is ordered (natural logarithm).
        parts: log score of each scorer, by its name (for example ``{"ctc": -1.2}``).
        times: float32[U, 2], start and end of each token in seconds from the utterance's start.
        token_confidence: float32[U], posterior of each token in 0..1.
        confidence: one number in 0..1 for the whole utterance.
        words: each word and where its tokens are, ``tokens[begin:end]``, from decoders that know words; None:
            the tokenizer finds them.
    """

    tokens: tuple[int, ...]
    score: float
    parts: dict[str, float] = field(default_factory=dict)
    times: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    token_confidence: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    confidence: float = 1.0
    words: tuple[tuple[str, int, int], ...] | None = None
