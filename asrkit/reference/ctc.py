"""Connectionist temporal classification: the loss and its gradient.

A *path* gives every one of T frames one symbol, a token or the blank. Collapsing a path (merge repeats,
then drop blanks) gives a token sequence, its *labels*. The network's T distributions make the probability of
a path a plain product; the probability of the labels is the sum over every path that collapses to them:

    p(l | x) = Σ_{π : B(π) = l}  Π_t  y_t(π_t)

There are exponentially many paths. The forward-backward recursion adds them up in O(T · len(l)).

Source: A. Graves, S. Fernández, F. Gomez, J. Schmidhuber, "Connectionist Temporal Classification", ICML 2006.
Equation numbers below are those of that paper. Everything is in the log domain, where the paper rescales
(its section 4.1): sums are `np.logaddexp`, products are `+`, impossible is −inf.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from asrkit.reference.notation import Array, Tokens
from asrkit.reference.softmax import log_softmax

BLANK = 0


def collapse(path: Iterable[int], blank: int = BLANK) -> Tokens:
    """The map B (section 3.1): merge repeated symbols, then drop blanks: ``a a - a b b -> a a b``."""
    tokens: list[int] = []
    previous = blank
    for symbol in path:
        if symbol not in (previous, blank):
            tokens.append(symbol)
        previous = symbol
    return tuple(tokens)


def with_blanks(labels: Sequence[int], blank: int = BLANK) -> list[int]:
    """The labels l' of length S = 2U + 1, a blank around every label: ``a b -> - a - b -`` (section 4.1).

    Raises:
        ValueError: the labels contain the blank.
    """
    if blank in labels:
        raise ValueError(f"labels {tuple(labels)} contain the blank {blank}")
    states = [blank]
    for label in labels:
        states += [label, blank]
    return states


def may_skip(states: Sequence[int], s: int, blank: int = BLANK) -> bool:
    """Whether a path may step from state s − 2 to s, over a blank that two different labels do not need."""
    return s >= 2 and states[s] != blank and states[s] != states[s - 2]


def shift(x: Array, steps: int) -> Array:
    """`x` moved up by 1 or 2 places, or down where negative; impossible (−inf) moves in."""
    gap = np.full(min(abs(steps), len(x)), -np.inf)
    return np.concatenate([gap, x[:-steps]] if steps > 0 else [x[-steps:], gap])


def forward_variables(log_probs: Array, labels: Sequence[int], blank: int = BLANK) -> Array:
    """log α_t(s), the probability of all path beginnings of t frames that end in state s (equations 5 to 7).

    Row 0 stands before the first frame, in the first blank; from there the recursion itself gives the
    paper's initial values.

    Args:
        log_probs: [T, V] log probabilities of each frame.
        labels: U token ids.

    Returns:
        [T + 1, 2U + 1] log probabilities.
    """
    states = with_blanks(labels, blank)
    skippable = np.array([may_skip(states, s, blank) for s in range(len(states))])
    alpha = np.full((len(log_probs) + 1, len(states)), -np.inf)
    alpha[0, 0] = 0.0
    for t, frame in enumerate(log_probs, start=1):
        stay = alpha[t - 1]
        step = shift(stay, 1)
        skip = np.where(skippable, shift(stay, 2), -np.inf)
        alpha[t] = np.logaddexp.reduce([stay, step, skip]) + frame[states]
    return alpha


def backward_variables(log_probs: Array, labels: Sequence[int], blank: int = BLANK) -> Array:
    """log β_t(s), the probability of all path endings after frame t given state s there (equations 9 to 11).

    Unlike the paper's β, frame t itself is *not* included, so α_t(s) · β_t(s) needs no division by y_t, which
    may be zero.

    Args:
        log_probs: [T, V] log probabilities of each frame.
        labels: U token ids.

    Returns:
        [T + 1, 2U + 1] log probabilities, rows as of `forward_variables`.
    """
    states = with_blanks(labels, blank)
    skippable = np.array([may_skip(states, s, blank) for s in range(len(states))])
    beta = np.full((len(log_probs) + 1, len(states)), -np.inf)
    beta[-1, -2:] = 0.0  # a path ends in the last label or in the blank after it
    for t in reversed(range(len(log_probs))):
        stay = beta[t + 1] + log_probs[t, states]  # row t of log_probs is frame t + 1
        step = shift(stay, -1)
        skip = shift(np.where(skippable, stay, -np.inf), -2)
        beta[t] = np.logaddexp.reduce([stay, step, skip])
    return beta


def ctc_log_probability(log_probs: Array, labels: Sequence[int], blank: int = BLANK) -> float:
    """log p(labels | x), equation 8; −inf if no path of T frames collapses to the labels.

    Args:
        log_probs: [T, V] log probabilities of each frame.
        labels: U token ids.
    """
    return float(np.logaddexp.reduce(forward_variables(log_probs, labels, blank)[-1, -2:]))


def ctc_loss(log_probs: Array, labels: Sequence[int], blank: int = BLANK) -> tuple[float, Array]:
    """−log p(labels | x) and its gradient with respect to the log probabilities.

    The gradient is minus the *occupation*: the probability, given the labels, that the path is at symbol k in
    frame t,  Σ_{s : l'_s = k} α_t(s) β_t(s) / p(l | x)  (from equation 15). Each frame's gradient sums to −1.

    Args:
        log_probs: [T, V] log probabilities of each frame.
        labels: U token ids.

    Returns:
        The loss and its gradient [T, V]. Labels that no path can give (too few frames, or a zero where it
        matters) have loss +inf and gradient zero.
    """
    alpha = forward_variables(log_probs, labels, blank)
    beta = backward_variables(log_probs, labels, blank)
    log_probability = float(np.logaddexp.reduce(alpha[-1, -2:]))
    gradient = np.zeros_like(log_probs)
    if log_probability > -np.inf:
        occupation = np.exp(alpha + beta - log_probability)[1:]
        for s, symbol in enumerate(with_blanks(labels, blank)):
            gradient[:, symbol] -= occupation[:, s]
    return -log_probability, gradient


def ctc_loss_from_logits(logits: Array, labels: Sequence[int], blank: int = BLANK) -> tuple[float, Array]:
    """−log p(labels | x) and its gradient with respect to the network's outputs before softmax.

    The gradient is  y_t(k) − occupation_t(k)  (equation 16): output less target.

    Args:
        logits: [T, V] real numbers.
        labels: U token ids.

    Returns:
        The loss and its gradient [T, V]; +inf and zero for impossible labels.
    """
    log_probs = log_softmax(logits)
    loss, gradient = ctc_loss(log_probs, labels, blank)
    if loss < np.inf:
        gradient = np.exp(log_probs) + gradient
    return loss, gradient


def ctc_loss_batch(
    logits: Array, lengths: Sequence[int], labels: Sequence[Sequence[int]], blank: int = BLANK
) -> tuple[Array, Array]:
    """`ctc_loss_from_logits` of every utterance of a padded batch.

    Args:
        logits: [B, T, V], utterance b padded beyond frame lengths[b].
        lengths: B numbers of frames.
        labels: B sequences of token ids.

    Returns:
        Losses [B] and gradient [B, T, V] of their sum, zero in the padding.
    """
    losses = np.zeros(len(labels))
    gradient = np.zeros_like(logits)
    for b, length in enumerate(lengths):
        losses[b], gradient[b, :length] = ctc_loss_from_logits(logits[b, :length], labels[b], blank)
    return losses, gradient
