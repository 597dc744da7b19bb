"""CTC best-path decoding."""

import numpy as np

from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.posteriors import ctc_hypothesis, utterances


def ctc_greedy_search(
    log_probs: np.ndarray, lens: np.ndarray, *, frame_seconds: float, blank: int = 0
) -> list[list[Hypothesis]]:
    """The likeliest token of each frame, repeats merged, blanks removed (Graves et al. 2006, section 3.2).

    Args:
        log_probs: log posteriors f32[B, T, V].
        lens: int64[B], valid frames; what lies beyond them has no influence.
        frame_seconds: seconds per frame, for the times.
        blank: id of blank.

    Returns:
        One hypothesis per utterance, each in a list of its own. ``score`` is the log probability of the best
        path, and a token's confidence is its highest posterior within its run of frames.

    Raises:
        DataError: a frame holds NaN or +inf, or gives no token a probability above zero.
    """
    results = []
    for _, path, best in utterances(log_probs, lens):
        starts = np.flatnonzero(np.diff(path, prepend=-1))
        ends = np.append(starts[1:], len(path))[: len(starts)]
        spoken = path[starts] != blank
        peaks = np.maximum.reduceat(best, starts) if len(starts) else best
        spans, score = np.stack([starts, ends], axis=1)[spoken], float(best.sum(dtype=np.float64))
        tokens = path[starts][spoken].tolist()
        results.append([ctc_hypothesis(tokens, score, spans, peaks[spoken], frame_seconds)])
    return results
