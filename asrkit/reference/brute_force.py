"""The definitions themselves, by enumeration: ground truth for faster algorithms.

Nothing here uses a recursion over frames or prefixes. Every path and every string is written out, so the cost
is exponential: keep T at most 6 and V at most 4. A *string* is a sequence of tokens without blanks.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from asrkit.reference.ctc import BLANK, collapse
from asrkit.reference.notation import Array, ScoredTokens, Step, Tokens


def every_path(frames: int, vocabulary: int) -> Iterator[Tokens]:
    """All V^T paths, one symbol a frame."""
    return product(range(vocabulary), repeat=frames)


def every_string(longest: int, tokens: Sequence[int]) -> Iterator[Tokens]:
    """All strings over `tokens` of length 0 to `longest`, shortest first."""
    for length in range(longest + 1):
        yield from product(tokens, repeat=length)


def path_log_probability(log_probs: Array, path: Tokens) -> float:
    """Σ_t log y_t(π_t): frames are independent given the audio (Graves et al. 2006, equation 2)."""
    return float(sum(log_probs[t, symbol] for t, symbol in enumerate(path)))


def string_log_probabilities(log_probs: Array, blank: int = BLANK) -> dict[Tokens, float]:
    """The posterior over strings: for each that any path gives, the log of its paths' sum (equation 3)."""
    scores: dict[Tokens, list[float]] = {}
    for path in every_path(*log_probs.shape):
        scores.setdefault(collapse(path, blank), []).append(path_log_probability(log_probs, path))
    return {string: float(np.logaddexp.reduce(of_paths)) for string, of_paths in scores.items()}


def ranked_strings(log_probs: Array, blank: int = BLANK) -> list[ScoredTokens]:
    """Every possible string with its log probability, best first."""
    scores = string_log_probabilities(log_probs, blank)
    possible = [ScoredTokens(string, score) for string, score in scores.items() if score > -np.inf]
    return sorted(possible, key=lambda hypothesis: hypothesis.score, reverse=True)


def ctc_loss(log_probs: Array, labels: Sequence[int], blank: int = BLANK) -> tuple[float, Array]:
    """−log p(labels | x) and its gradient [T, V] with respect to the log probabilities.

    Since d p(π) / d log y_t(k) is p(π) where π_t = k and 0 elsewhere, the gradient is minus the share of the
    labels' probability whose paths are at k in frame t. Impossible labels: +inf and zero.
    """
    total = 0.0
    share = np.zeros_like(log_probs)
    for path in every_path(*log_probs.shape):
        if collapse(path, blank) == tuple(labels):
            probability = np.exp(path_log_probability(log_probs, path))
            total += probability
            share[np.arange(len(path)), list(path)] += probability
    if total == 0.0:
        return np.inf, np.zeros_like(log_probs)
    return float(-np.log(total)), -share / total


def prefix_log_probability(log_probs: Array, prefix: Tokens, blank: int = BLANK) -> float:
    """log of the summed probability of every string that begins with `prefix`."""
    strings = string_log_probabilities(log_probs, blank)
    scores = [score for string, score in strings.items() if string[: len(prefix)] == prefix]
    return float(np.logaddexp.reduce(scores)) if scores else -np.inf


def best_alignment(log_probs: Array, labels: Sequence[int], blank: int = BLANK) -> tuple[Tokens, float]:
    """The most probable path that collapses to the labels, and its log probability.

    Raises:
        ValueError: no path of this many frames collapses to the labels.
    """
    paths = [path for path in every_path(*log_probs.shape) if collapse(path, blank) == tuple(labels)]
    best = max(paths, key=lambda path: path_log_probability(log_probs, path))
    return best, path_log_probability(log_probs, best)


def ranked_sequences(
    step: Step, *, end: int, vocabulary: int, max_length: int, length_bonus: float = 0.0
) -> list[ScoredTokens]:
    """Every string of at most `max_length` tokens, scored by an autoregressive model with its end token."""
    hypotheses = []
    for string in every_string(max_length, [token for token in range(vocabulary) if token != end]):
        emitted = (*string, end)
        score = sum(float(step(emitted[:u])[token]) for u, token in enumerate(emitted))
        hypotheses.append(ScoredTokens(string, score + length_bonus * len(string)))
    return sorted(hypotheses, key=lambda hypothesis: hypothesis.score, reverse=True)
