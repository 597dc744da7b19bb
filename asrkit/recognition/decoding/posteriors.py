"""What the CTC decoders share: splitting a batch into utterances, and making hypotheses."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np

from asrkit.errors import DataError
from asrkit.recognition.decoding.hypothesis import Hypothesis

IMPOSSIBLE = np.float32(-1e30)  # in place of -inf, so that a search always ends with something
R = TypeVar("R")


class FramePosteriors(NamedTuple):
    """Log posteriors f32[T, V] of valid frames; of each frame the best token int64[T] and its own f32[T]."""

    frames: np.ndarray
    path: np.ndarray
    best: np.ndarray


def utterances(log_probs: np.ndarray, lens: np.ndarray) -> list[FramePosteriors]:
    """Cut log posteriors f32[B, T, V] of int64[B] valid frames into utterances.

    Raises DataError if a frame holds NaN or +inf, or gives no token a probability above zero.
    """
    log_probs = np.asarray(log_probs, np.float32)
    cut = []
    for index, length in enumerate(lens):
        frames = np.ascontiguousarray(log_probs[index, :length])
        path = frames.argmax(axis=1)
        best = frames[np.arange(len(path)), path]
        if not np.isfinite(best).all():
            frame = int(np.argmin(np.isfinite(best)))
            raise DataError(
                f"utterance {index} of the batch: the posteriors of frame {frame} are not a distribution "
                f"(largest log posterior: {best[frame]})",
                "look for NaN in the audio or the model's weights",
            )
        cut.append(FramePosteriors(frames, path, best))
    return cut


def each(decode: Callable[[FramePosteriors], R], batch: Sequence[FramePosteriors], threads: int) -> list[R]:
    """The result of each utterance, `threads` of them at once."""
    if min(threads, len(batch)) <= 1:
        return [decode(utterance) for utterance in batch]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(decode, batch))


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Scores f32[…, V], normalised to log probabilities over the last axis."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    normalised: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalised


def stretches(blanks: np.ndarray, most: int, pause: int) -> list[slice]:
    """Cut an utterance in the middle of pauses, as evenly as they allow.

    Args:
        blanks: bool[T], whether blank is the best token of a frame.
        most: longest segment wanted, in frames. It ends in the longest pause of its second half; if there is
            none, in the next pause.
        pause: minimum number of consecutive blank frames of a pause.
    """
    silent = np.flatnonzero(np.diff(blanks, prepend=False, append=False))
    starts, ends = silent[::2], silent[1::2]
    long = ends - starts >= pause
    lengths, middles = (ends - starts)[long], ((starts + ends) // 2)[long]
    cuts = [0]
    while len(blanks) - cuts[-1] > most:
        within = (middles >= cuts[-1] + most // 2) & (middles <= cuts[-1] + most)
        after = middles[middles > cuts[-1] + most]
        if within.any():
            cuts.append(int(middles[within][np.argmax(lengths[within])]))
        elif len(after):
            cuts.append(int(after[0]))
        else:
            break
    return [slice(begin, end) for begin, end in zip(cuts, [*cuts[1:], len(blanks)], strict=True)]


def ctc_hypothesis(
    tokens: Sequence[int], score: float, spans: np.ndarray, peaks: np.ndarray, frame_seconds: float
) -> Hypothesis:
    """A hypothesis from CTC alone.

    Its utterance confidence is ``exp(score / U)``, the geometric mean over the tokens of the sequence's
    posterior; an empty one counts as one token.

    Args:
        spans: int[U, 2], each token's first frame and the one after its last.
        peaks: float32[U], each token's best log posterior in its frames.
    """
    return Hypothesis(
        tokens=tuple(tokens),
        score=score,
        parts={"ctc": score},
        times=(spans * frame_seconds).astype(np.float32),
        token_confidence=np.exp(peaks),
        confidence=math.exp(score / max(1, len(tokens))),
    )
