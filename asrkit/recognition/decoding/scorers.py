"""What label-synchronous decoders are made of: scorers of the next token, all behind one interface."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Scorer(Protocol):
    """Scores every continuation of the hypotheses of one utterance.

    A scorer of tokens ``y_1 … y_U`` gives each token a log score, given those before it, and the end token
    one that completes the sequence; their sum is the score of the hypothesis. -inf forbids a token. Prefixes
    hold no start token: a scorer that wants one puts it there itself.

    One search calls ``start`` once, then ``score`` and ``select`` in turn, so that a scorer may keep in its
    state what it computed for a prefix and need only add the last token. It never changes a state it was
    given. Prefixes and indices are on the CPU; scores may be on any device.

    Attributes:
        highest: the largest score a token can ever get: 0 for log probabilities. It tells a search when no
            hypothesis can become the best any more.
    """

    highest: float

    def start(self, count: int) -> Any:
        """The state before the first token, of `count` hypotheses."""

    def score(self, prefixes: Tensor, state: Any) -> tuple[Tensor, Any]:
        """What each next token adds to each hypothesis.

        Args:
            prefixes: int64[K, U], U >= 0; every call's are one token longer than the one's before.
            state: theirs without the last token (at U = 0, of ``start``).

        Returns:
            Scores f32 or f64[K, V], and the state of the prefixes.
        """

    def select(self, state: Any, index: Tensor) -> Any:
        """The state of the hypotheses int64[K'] `index`, each of which may occur several times."""


class LengthBonus:
    """Scores 1 for every token and 0 for the end: with a weight, a bonus that grows with the length.

    Against the liking of autoregressive models and of n-gram fusion for short sequences (Hannun et al.,
    "Deep Speech", 2014, section 2.2).

    Args:
        vocab: number of tokens V.
        eos: id of the end token.
    """

    highest = 1.0

    def __init__(self, vocab: int, eos: int) -> None:
        self.scores = torch.ones(1, vocab)
        self.scores[:, eos] = 0.0

    def start(self, count: int) -> None:
        return None

    def score(self, prefixes: Tensor, state: None) -> tuple[Tensor, None]:
        return self.scores.expand(len(prefixes), -1), None

    def select(self, state: None, index: Tensor) -> None:
        return None


class LoopGuard:
    """Forbids a token that would say the same thing once more: the cure for a decoder that repeats itself.

    A hypothesis may hold any sequence of up to `longest` tokens at most `times` times in a row. CTC needs no
    such guard, since its frames run out.

    Args:
        vocab: number of tokens V.
        times: repetitions in a row that are allowed.
        longest: longest sequence looked for, in tokens.
    """

    highest = 0.0

    def __init__(self, vocab: int, times: int = 4, longest: int = 8) -> None:
        self.vocab, self.times, self.longest = vocab, times, longest

    def start(self, count: int) -> None:
        return None

    def score(self, prefixes: Tensor, state: None) -> tuple[Tensor, None]:
        scores = torch.zeros(len(prefixes), self.vocab)
        length = prefixes.shape[1]
        for period in range(1, self.longest + 1):
            # What follows `times` whole repetitions may not complete one more.
            whole = self.times * period + period - 1
            if length < whole:
                break
            tail = prefixes[:, length - whole :]
            looping = (tail[:, period:] == tail[:, :-period]).all(dim=1)
            scores[looping, tail[looping, whole - period]] = -torch.inf
        return scores, None

    def select(self, state: None, index: Tensor) -> None:
        return None
