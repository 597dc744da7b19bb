"""Forced alignment: the frames of each token of a known text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrkit.reference.ctc import BLANK, may_skip, with_blanks
from asrkit.reference.notation import Array, Tokens


class Alignment(NamedTuple):
    """The best path of known labels.

    Attributes:
        path: one symbol a frame, blanks included.
        spans: for each token its first frame and the frame after its last.
        score: log probability of the path.
    """

    path: Tokens
    spans: list[tuple[int, int]]
    score: float


def forced_alignment(log_probs: Array, labels: Sequence[int], blank: int = BLANK) -> Alignment:
    """The most probable path that collapses to the labels, by the Viterbi algorithm.

    The recursion of the CTC forward variables with a maximum in place of the sum, remembering where each
    maximum came from (Viterbi 1967; Rabiner, "A Tutorial on Hidden Markov Models", 1989, equations 32 to 35).

    Args:
        log_probs: [T, V] log probabilities of each frame.
        labels: U token ids.

    Raises:
        ValueError: no path of T frames collapses to the labels.
    """
    states = with_blanks(labels, blank)
    frames = len(log_probs)
    best = np.full((frames + 1, len(states)), -np.inf)  # row t: after t frames
    came_from = np.zeros((frames + 1, len(states)), np.int64)
    best[0, 0] = 0.0
    for t in range(1, frames + 1):
        for s, symbol in enumerate(states):
            sources = [s]
            if s >= 1:
                sources.append(s - 1)
            if may_skip(states, s, blank):
                sources.append(s - 2)
            came_from[t, s] = max(sources, key=lambda source: best[t - 1, source])
            best[t, s] = best[t - 1, came_from[t, s]] + log_probs[t - 1, symbol]

    last = len(states) - 1
    state = last - 1 if last > 0 and best[frames, last - 1] > best[frames, last] else last
    score = float(best[frames, state])
    if score == -np.inf:
        raise ValueError(f"no path of {frames} frames gives the labels {tuple(labels)}")

    visited = [state]  # one state a frame, from the last to the first
    for t in range(frames, 1, -1):
        visited.append(int(came_from[t, visited[-1]]))
    visited = visited[::-1][:frames]
    spans = []
    for u in range(len(labels)):
        at = [t for t, s in enumerate(visited) if s == 2 * u + 1]
        spans.append((at[0], at[-1] + 1))
    return Alignment(tuple(states[s] for s in visited), spans, score)
