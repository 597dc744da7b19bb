"""CTC forced alignment: the frames of each token of a known text."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.ctc_kernels import align
from asrkit.recognition.decoding.posteriors import IMPOSSIBLE, utterances


class CtcAlignment(NamedTuple):
    """The likeliest path of known tokens.

    Attributes:
        spans: int64[U, 2], each token's first frame and the one after its last.
        score: log probability of the path.
    """

    spans: np.ndarray
    score: float


def ctc_align(log_probs: np.ndarray, tokens: Sequence[int], *, blank: int = 0) -> CtcAlignment:
    """Align tokens to frames by Viterbi over the CTC lattice (Graves et al. 2006, section 4.1).

    Args:
        log_probs: log posteriors f32[T', V].
        tokens: token ids, length U, without blanks.
        blank: id of blank.

    Raises:
        UsageError: a token is blank or outside the vocabulary.
        DataError: no path of T' frames gives the tokens, or a frame is not a distribution.
    """
    sequence = np.asarray(tokens, np.int32)
    if not all(0 <= token < log_probs.shape[1] and token != blank for token in sequence):
        raise UsageError(f"cannot align the tokens {[*tokens]}", "give token ids of the model, without blank")
    frames, _, best = utterances(log_probs[None], np.array([len(log_probs)]))[0]
    needed = len(sequence) + sum(int(a == b) for a, b in pairwise(sequence))
    score = -np.inf
    if needed <= len(frames):
        spans, _ = align(np.maximum(frames, IMPOSSIBLE), best, sequence, blank)
        path = np.full(len(frames), blank)
        for token, (first, after) in zip(sequence, spans, strict=True):
            path[first:after] = token
        score = float(frames[np.arange(len(frames)), path].sum(dtype=np.float64))
    if score == -np.inf:
        raise DataError(
            f"no path of {len(frames)} frames gives these {len(sequence)} tokens",
            "is this the text of this recording?",
        )
    return CtcAlignment(spans, score)
