"""Scorers of the next token: what label-synchronous searches combine, behind one interface."""

from typing import Any, Protocol

import numpy as np

from asrkit.recognition.acoustics import TokenModel


class Scorer(Protocol):
    """Scores every continuation of the hypotheses of one utterance.

    A scorer of tokens ``y_1 … y_U`` gives each token a log score, given those before it, and the end token
    one that completes the sequence; their sum is the score of the hypothesis. -inf forbids a token. Prefixes
    hold no start token: a scorer that needs one adds it.

    One search calls ``start`` once, then ``score`` and ``select`` in turn, so that a scorer may keep in its
    state what it computed for a prefix and need only add the last token. It never changes a state it was
    given.

    Attributes:
        highest: the largest score a token can ever get: 0 for log probabilities. It tells a search when no
            hypothesis can become the best any more.
    """

    highest: float = 0.0

    def start(self, count: int) -> Any:
        """The state before the first token, of `count` hypotheses; scorers without a state have None."""
        return None

    def score(self, prefixes: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """What each next token adds to each hypothesis.

        Args:
            prefixes: int64[K, U], U >= 0; one token longer at each call.
            state: that of the prefixes without their last token (at U = 0, of ``start``).

        Returns:
            Scores f32 or f64[K, V], and the state of the prefixes.
        """

    def select(self, state: Any, index: np.ndarray) -> Any:
        """The state of the hypotheses int64[K'] `index`, each of which may occur several times."""
        return None if state is None else state[index]


class TokenModelScorer(Scorer):
    """log p(token | prefix) by an attention head on one utterance, or by a neural language model."""

    def __init__(self, model: TokenModel) -> None:
        self.model = model

    def start(self, count: int) -> Any:
        return self.model.select(self.model.start(), np.zeros(count, np.int64))

    def score(self, prefixes: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        last = prefixes[:, -1].copy() if prefixes.shape[1] else np.full(len(prefixes), self.model.eos)
        return self.model.step(last, state)

    def select(self, state: Any, index: np.ndarray) -> Any:
        return self.model.select(state, index)


class LengthBonus(Scorer):
    """Scores 1 for every token and 0 for the end: with a weight, a bonus that grows with the length.

    It counters the preference of autoregressive models and of n-gram fusion for short sequences (Hannun et
    al., "Deep Speech", 2014, section 2.2).
    """

    highest = 1.0

    def __init__(self, vocab: int, eos: int) -> None:
        self.scores = np.ones((1, vocab), np.float32)
        self.scores[:, eos] = 0.0

    def score(self, prefixes: np.ndarray, state: Any) -> tuple[np.ndarray, None]:
        return self.scores.repeat(len(prefixes), axis=0), None


class LoopGuard(Scorer):
    """Forbids a token that would complete one repetition too many: attention decoders can loop.

    A hypothesis may hold any sequence of up to `longest` tokens at most `times` times in a row. CTC needs no
    such guard, since its frames run out.

    Args:
        times: repetitions in a row that are allowed.
        longest: longest repeated sequence that is detected, in tokens.
    """

    def __init__(self, vocab: int, times: int = 4, longest: int = 8) -> None:
        self.vocab, self.times, self.longest = vocab, times, longest

    def score(self, prefixes: np.ndarray, state: Any) -> tuple[np.ndarray, None]:
        scores = np.zeros((len(prefixes), self.vocab), np.float32)
        length = prefixes.shape[1]
        for period in range(1, self.longest + 1):
            # What follows `times` whole repetitions may not complete one more.
            whole = self.times * period + period - 1
            if length < whole:
                break
            tail = prefixes[:, length - whole :]
            looping = (tail[:, period:] == tail[:, :-period]).all(axis=1)
            scores[looping, tail[looping, whole - period]] = -np.inf
        return scores, None
