"""Decoding of frame classifiers: a label for each frame, then the sequence of labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.posteriors import IMPOSSIBLE, utterances


class Chain(NamedTuple):
    """States, each a label that lasts for some frames, and which of them may follow which.

    Attributes:
        labels: int64[S], the label of each state.
        first: int64[S + 1]; the arcs into state s are ``first[s]`` to ``first[s + 1]``.
        source: int64[E], where an arc comes from.
        weight: float64[E], log score of an arc.
        start: bool[S], states a path may begin in.
        final: bool[S], states a path may end in.
    """

    labels: np.ndarray
    first: np.ndarray
    source: np.ndarray
    weight: np.ndarray
    start: np.ndarray
    final: np.ndarray


@compiled
def best_segments(
    scores: np.ndarray,
    labels: np.ndarray,
    first: np.ndarray,
    source: np.ndarray,
    weight: np.ndarray,
    start: np.ndarray,
    final: np.ndarray,
    min_frames: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The best path through a :class:`Chain` in which every state lasts at least `min_frames` frames.

    Viterbi over states expanded into `min_frames` steps, the last of which may repeat (Rabiner, "A Tutorial
    on Hidden Markov Models", 1989, equations 32 to 35). Of equal paths, it takes the one that stays longer in
    a state.

    Args:
        scores: float32[T, C], log score of each label in each frame, finite; T >= `min_frames` >= 1.

    Returns:
        int64[N], the states; int64[N], the frame each begins in; and the score, -inf without a path.
    """
    frames, states = scores.shape[0], labels.size
    reached = np.full((states, min_frames), -np.inf)  # after d + 1 frames in the state; the last: or more
    ended = np.full(states, -np.inf)
    stays = np.zeros((frames, states), np.bool_)
    comes = np.full((frames, states), -1, np.int32)
    for t in range(frames):
        for s in range(states):
            ended[s] = reached[s, min_frames - 1]
        for s in range(states):
            enter = 0.0 if t == 0 and start[s] else -np.inf
            for arc in range(first[s], first[s + 1]):
                score = ended[source[arc]] + weight[arc]
                if score > enter:
                    enter = score
                    comes[t, s] = source[arc]
            score = scores[t, labels[s]]
            grown = reached[s, min_frames - 2] if min_frames > 1 else enter
            stays[t, s] = ended[s] >= grown
            reached[s, min_frames - 1] = max(ended[s], grown) + score
            for d in range(min_frames - 2, 0, -1):
                reached[s, d] = reached[s, d - 1] + score
            if min_frames > 1:
                reached[s, 0] = enter + score

    best, state = -np.inf, -1
    for s in range(states):
        if final[s] and reached[s, min_frames - 1] > best:
            best, state = reached[s, min_frames - 1], s
    path, begins = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
    count, t = 0, frames - 1
    while state >= 0:
        while stays[t, state]:
            t -= 1
        t -= min_frames - 1
        path[count], begins[count] = state, t
        count += 1
        state = comes[t, state]
        t -= 1
    return path[:count][::-1].copy(), begins[:count][::-1].copy(), best


def frame_viterbi_search(
    log_probs: np.ndarray,
    lens: np.ndarray,
    *,
    log_priors: np.ndarray,
    bigram: np.ndarray,
    token_ids: Sequence[int],
    frame_seconds: float,
    min_frames: int = 3,
    prior_weight: float = 0.5,
    bigram_weight: float = 1.0,
    silence: int = 0,
) -> list[list[Hypothesis]]:
    """The best sequence of labels, each lasting some frames: a hybrid recogniser with a bigram of labels.

    A frame counts ``log p(label | frame) - prior_weight * log p(label)``, in place of a likelihood (Hinton et
    al., "Deep Neural Networks for Acoustic Modeling in Speech Recognition", 2012, section "Interfacing a DNN
    with an HMM"), and each change of label `bigram_weight` times its log probability. Silence is a label of
    the bigram as any other. What has probability 0 in the bigram never happens at any weight. So a
    label follows itself only if the bigram's diagonal allows it; else another one, or silence, lies between.

    Args:
        log_probs: log posteriors f32[B, T, C].
        lens: int64[B], valid frames; what lies beyond them has no influence.
        log_priors: f32[C].
        bigram: log probabilities f32[C, C] of the next label (column) given this one (row).
        token_ids: token id of each class; that of silence is not used.
        frame_seconds: seconds per frame, for the times.
        min_frames: fewest frames a label lasts; in an utterance with fewer, one label lasts for all of it.
        prior_weight: weight of the log priors, which are subtracted.
        bigram_weight: weight of the bigram.
        silence: the class that is removed from the result.

    Returns:
        One hypothesis per utterance, each in a list of its own. ``parts`` are ``frame`` and ``bigram``. A
        token's confidence is the geometric mean of its posteriors, and the utterance's is that of all frames.

    Raises:
        DataError: a frame holds NaN or +inf, or gives no label a probability above zero.
    """
    classes = len(log_priors)
    with np.errstate(invalid="ignore"):
        arcs = np.where(np.isneginf(bigram), -np.inf, bigram_weight * np.asarray(bigram, np.float64))
    every, anywhere = np.arange(classes), np.ones(classes, np.bool_)
    first, source = np.arange(0, classes * classes + 1, classes), np.tile(every, classes)
    chain = Chain(every, first, source, weight=arcs.T.ravel(), start=anywhere, final=anywhere)
    results = []
    for frames, _, _ in utterances(log_probs, lens):
        scores = np.maximum(frames, IMPOSSIBLE) - np.float32(prior_weight) * log_priors
        shortest = max(1, min(min_frames, len(frames)))
        labels, begins, total = best_segments(scores.astype(np.float32), *chain, shortest)
        changes = float(arcs[labels[:-1], labels[1:]].sum())
        parts = {"frame": total - changes, "bigram": changes} if len(frames) else {}
        segments = (frames, labels, begins, total if parts else 0.0, parts)
        results.append([segment_hypothesis(*segments, token_ids, frame_seconds, silence)])
    return results


def frame_greedy_search(
    log_probs: np.ndarray,
    lens: np.ndarray,
    *,
    token_ids: Sequence[int],
    frame_seconds: float,
    silence: int = 0,
) -> list[list[Hypothesis]]:
    """The likeliest label of each frame, repeats merged, silence removed.

    Arguments, result and errors are those of :func:`frame_viterbi_search`.
    """
    results = []
    for frames, path, best in utterances(log_probs, lens):
        begins = np.flatnonzero(np.diff(path, prepend=-1))
        score = float(best.sum(dtype=np.float64))
        segments = (frames, path[begins], begins, score, {"frame": score})
        results.append([segment_hypothesis(*segments, token_ids, frame_seconds, silence)])
    return results


def segment_hypothesis(
    frames: np.ndarray,
    labels: np.ndarray,
    begins: np.ndarray,
    score: float,
    parts: dict[str, float],
    token_ids: Sequence[int],
    frame_seconds: float,
    silence: int,
) -> Hypothesis:
    """A hypothesis from segments: the label int[N] and first frame int[N] of each."""
    spans = np.stack([begins, np.append(begins[1:], len(frames))[: len(begins)]], axis=1)
    own = frames[np.arange(len(frames)), np.repeat(labels, spans[:, 1] - spans[:, 0])]
    sums = np.add.reduceat(own, begins) if len(begins) else own
    spoken = labels != silence
    return Hypothesis(
        tokens=tuple(token_ids[label] for label in labels[spoken]),
        score=score,
        parts=parts,
        times=(spans[spoken] * frame_seconds).astype(np.float32),
        token_confidence=np.exp(sums / (spans[:, 1] - spans[:, 0]))[spoken].astype(np.float32),
        confidence=float(np.exp(own.mean())) if len(own) else 1.0,
    )
