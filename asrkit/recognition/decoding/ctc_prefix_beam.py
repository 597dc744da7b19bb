"""CTC prefix beam search."""

import math

import numpy as np

from asrkit.errors import UsageError
from asrkit.recognition.decoding.ctc_kernels import align, prefix_beam
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.posteriors import FramePosteriors, ctc_hypothesis, each, utterances


def ctc_prefix_beam_search(
    log_probs: np.ndarray,
    lens: np.ndarray,
    *,
    frame_seconds: float,
    beam_size: int = 10,
    nbest: int = 1,
    threads: int = 1,
    blank: int = 0,
    token_min_logp: float = -math.inf,
) -> list[list[Hypothesis]]:
    """Prefix beam search in the log domain (Graves 2012, section 7.5; Hannun et al. 2014, algorithm 1).

    Nothing but the beam is pruned unless `token_min_logp` says so: with a beam wide enough the scores are the
    exact log probabilities of the token sequences.

    Args:
        log_probs: log posteriors f32[B, T, V].
        lens: int64[B], valid frames; what lies beyond them has no influence.
        frame_seconds: seconds per frame, for the times.
        beam_size: prefixes kept after each frame.
        nbest: hypotheses returned for each utterance, at most `beam_size`.
        threads: utterances decoded at once.
        blank: id of blank.
        token_min_logp: in each frame, tokens (blank too) with a lower log posterior count as impossible, the
            likeliest one excepted. -5 loses next to nothing on a trained model.

    Returns:
        The n-best list of each utterance, best first. ``score`` is the log probability of the token sequence,
        summed over the paths kept; times and token confidence (a token's highest posterior) are those of the
        sequence's likeliest path.

    Raises:
        DataError: a frame holds NaN or +inf, or gives no token a probability above zero.
        UsageError: `beam_size` or `nbest` is below 1, or `blank` is no token.
    """
    if beam_size < 1 or nbest < 1:
        raise UsageError(f"beam size {beam_size} and n-best {nbest}", "both must be at least 1")
    if not 0 <= blank < log_probs.shape[2]:
        raise UsageError(f"blank is token {blank} of {log_probs.shape[2]}", "tokens count from 0")

    def decode(utterance: FramePosteriors) -> list[Hypothesis]:
        frames, _, best = utterance
        floor = np.minimum(best, np.float32(token_min_logp))
        hypotheses = []
        for row, length, score in zip(*prefix_beam(frames, floor, beam_size, nbest, blank), strict=True):
            tokens = row[len(row) - length :]
            spans, peaks = align(frames, best, tokens, blank)
            hypotheses.append(ctc_hypothesis(tokens.tolist(), float(score), spans, peaks, frame_seconds))
        return hypotheses

    return each(decode, utterances(log_probs, lens), threads)
