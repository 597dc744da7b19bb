"""CTC as a scorer of the next token: prefix probabilities carried along from prefix to prefix."""

import numpy as np

from asrkit.compiled import compiled
from asrkit.recognition.decoding.posteriors import utterances
from asrkit.recognition.decoding.prefix_kernels import log_add
from asrkit.recognition.decoding.scorers import Scorer

LOWEST = -1e300  # in place of -inf where it is subtracted
TINY = 1e-200  # a sum at least this large has lost nothing to underflow


@compiled
def grow(
    log_probs: np.ndarray, forward: np.ndarray, prefixes: np.ndarray, blank: int
) -> tuple[np.ndarray, np.ndarray]:
    """The forward variables of prefixes from those without the last token (algorithm 2, lines 8 to 13).

    From float64[T, V], float64[K, 2, T + 1] and int64[K, U], U >= 1, it makes float64[K, 2, T + 1], and
    float64[K], the log probability that the output begins with the prefix.
    """
    frames, length = len(log_probs), prefixes.shape[1]
    grown = np.full(forward.shape, -np.inf)
    begins = np.full(len(prefixes), -np.inf)
    for k in range(len(prefixes)):
        last = prefixes[k, length - 1]
        repeated = length > 1 and last == prefixes[k, length - 2]
        for t in range(frames):
            # The token begins in this frame: after a blank, or after another token.
            ready = forward[k, 1, t]
            if not repeated:
                ready = log_add(ready, forward[k, 0, t])
            begins[k] = log_add(begins[k], ready + log_probs[t, last])
            grown[k, 0, t + 1] = log_add(grown[k, 0, t], ready) + log_probs[t, last]
            grown[k, 1, t + 1] = log_add(grown[k, 0, t], grown[k, 1, t]) + log_probs[t, blank]
    return grown, begins


@compiled
def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64[K, T] times float64[T, V], by one thread: BLAS takes all, also those of other utterances."""
    result = np.zeros((a.shape[0], b.shape[1]))
    for k in range(a.shape[0]):
        for t in range(a.shape[1]):
            share = a[k, t]
            if share != 0.0:
                for v in range(b.shape[1]):
                    result[k, v] += share * b[t, v]
    return result


class CtcPrefixScorer(Scorer):
    """log p(prefix + token, … | x) - log p(prefix, … | x) by CTC, for all prefixes and tokens at once.

    The scores of the tokens add up to the probability that the output begins with the prefix, whatever
    follows; the end token makes it that of the output being the prefix. Blank is never a next token.

    Watanabe, Hori, Kim, Hershey, Hayashi, "Hybrid CTC/Attention Architecture for End-to-End Speech
    Recognition", 2017, algorithm 2. What it sums over frames, Ψ(g·c) = Σ_t φ_{t-1}(g) y_t(c), is a matrix
    product over all g and c; only prefixes that are kept have their own forward variables computed.

    The state is float64[K, 2, T' + 1], the log probability that the first t frames give the prefix and end in
    its last token, in blank.

    Args:
        log_probs: log posteriors [T', V] of one utterance, T' >= 0.

    Raises:
        DataError: a frame holds NaN or +inf, or gives no token a probability above zero.
    """

    def __init__(self, log_probs: np.ndarray, *, eos: int, blank: int = 0) -> None:
        array = np.ascontiguousarray(log_probs, np.float64)
        utterances(array[None], np.array([len(array)]))  # for what it refuses
        self.log_probs, self.eos, self.blank = array, eos, blank
        self.peaks = array.max(axis=0, initial=LOWEST)
        self.shares = np.exp(array - self.peaks)

    def start(self, count: int) -> np.ndarray:
        forward = np.full((count, 2, len(self.log_probs) + 1), -np.inf)
        forward[:, 1, 0] = 0.0
        forward[:, 1, 1:] = self.log_probs[:, self.blank].cumsum()
        return forward

    def score(self, prefixes: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        forward, begins = state, np.zeros(len(prefixes))
        if prefixes.shape[1] > 0:
            forward, begins = grow(self.log_probs, state, prefixes, self.blank)
        scores = self._begin(np.logaddexp(forward[:, 0, :-1], forward[:, 1, :-1]))
        if prefixes.shape[1] > 0:
            last = prefixes[:, -1]
            after_blank = forward[:, 1, :-1] + self.log_probs[:, last].T
            scores[np.arange(len(last)), last] = np.logaddexp.reduce(after_blank, axis=1)
        scores[:, self.eos] = np.logaddexp(forward[:, 0, -1], forward[:, 1, -1])
        scores[:, self.blank] = -np.inf
        return scores - begins.clip(LOWEST)[:, None], forward

    def _begin(self, ready: np.ndarray) -> np.ndarray:
        """log Σ_t exp(ready[K, t] + log_probs[t, V]), float64[K, V]."""
        peaks = ready.max(axis=1, initial=LOWEST)[:, None]
        sums = product(np.exp(ready - peaks), self.shares)
        with np.errstate(divide="ignore"):
            scores: np.ndarray = np.log(sums) + peaks + self.peaks
        k, v = np.nonzero(sums < TINY)
        scores[k, v] = np.logaddexp.reduce(ready[k] + self.log_probs.T[v], axis=1)
        return scores
