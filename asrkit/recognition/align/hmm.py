"""Forced alignment with a frame classifier, for labels better than those it was trained on."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.frame_viterbi import Chain, best_segments
from asrkit.recognition.decoding.posteriors import IMPOSSIBLE, utterances


class HmmAlignment(NamedTuple):
    """The best path of known labels.

    Attributes:
        labels: int16[T], the label of each frame.
        spans: int64[U, 2], first frame of each known label and the one after its last; silence lies between.
        score: its sum of ``log p(label | frame) - prior_weight * log p(label)``.
    """

    labels: np.ndarray
    spans: np.ndarray
    score: float


def hmm_align(
    log_probs: np.ndarray,
    labels: Sequence[int],
    *,
    breaks: Collection[int] | None = None,
    log_priors: np.ndarray | None = None,
    prior_weight: float = 1.0,
    min_frames: int = 3,
    silence: int = 0,
) -> HmmAlignment:
    """Align labels to frames by Viterbi over a left-to-right hidden Markov model with optional silence.

    Posteriors divided by priors stand for likelihoods (Hinton et al., "Deep Neural Networks for Acoustic
    Modeling in Speech Recognition", 2012, section "Interfacing a DNN with an HMM").

    Args:
        log_probs: log posteriors f32[T, C] of a frame classifier.
        labels: class of each token, length U, without silence.
        breaks: positions of optional silence: u after u labels. None: at the ends only. With silence between
            words it is ``{0, *(end for _, _, end in words)}``, `words` as in :class:`AlignedText`.
        log_priors: f32[C], log p(label) of the training data; None: posteriors are taken as they are.
        prior_weight: weight of the log priors, which are subtracted.
        min_frames: fewest frames a label or silence lasts; fewer if the utterance is too short.
        silence: class of silence.

    Raises:
        UsageError: a label is silence or not a class.
        DataError: fewer frames than labels, or a frame is not a distribution.
    """
    classes = log_probs.shape[1]
    if not all(0 <= label < classes and label != silence for label in labels):
        raise UsageError(f"cannot align the labels {[*labels]}", "give classes of the model, without silence")
    frames = utterances(log_probs[None], np.array([len(log_probs)]))[0].frames
    if len(frames) < len(labels):
        raise DataError(
            f"{len(frames)} frames cannot hold {len(labels)} labels", "is this the text of this recording?"
        )
    if not len(frames):
        return HmmAlignment(np.zeros(0, np.int16), np.zeros((0, 2), np.int64), 0.0)
    scores = np.maximum(frames, IMPOSSIBLE)
    if log_priors is not None:
        scores = (scores - prior_weight * log_priors).astype(np.float32)
    chain = _chain(labels, {0, len(labels)} if breaks is None else breaks, silence)
    shortest = max(1, min(min_frames, len(frames) // max(1, len(labels))))
    states, begins, score = best_segments(scores, *chain, shortest)
    ends = np.append(begins[1:], len(frames))
    own = chain.labels[states]
    spans = np.stack([begins, ends], axis=1)[own != silence]
    return HmmAlignment(np.repeat(own, ends - begins).astype(np.int16), spans, score)


def _chain(labels: Sequence[int], breaks: Collection[int], silence: int) -> Chain:
    """The labels in a row, with an optional silence at each break."""
    if not labels:
        breaks = {0}  # nothing but silence
    states: list[int] = []
    sources: list[list[int]] = []
    ends = [-1]  # states that the next label may come from; -1: the beginning
    for u in range(len(labels) + 1):
        if u in breaks:
            sources.append(ends)
            ends = [*ends, len(states)]
            states.append(silence)
        if u < len(labels):
            sources.append(ends)
            ends = [len(states)]
            states.append(labels[u])
    arcs = [[source for source in into if source >= 0] for into in sources]
    return Chain(
        labels=np.array(states, np.int64),
        first=np.cumsum([0, *map(len, arcs)]),
        source=np.array([source for into in arcs for source in into], np.int64),
        weight=np.zeros(sum(map(len, arcs))),
        start=np.array([-1 in into for into in sources]),
        final=np.isin(np.arange(len(states)), ends),
    )
