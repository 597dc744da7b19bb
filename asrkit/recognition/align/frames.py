"""From alignments to labels: the class of each feature frame.

CTC posteriors are peaky: a token is emitted in one or two output frames near its beginning, and blank fills
the rest, be it the token's own sound or silence. :func:`extend` gives that time to tokens or to silence.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrkit.recognition.align.ctc import ctc_align
from asrkit.recognition.text.tokenizer import SPACE, Tokenizer

BEFORE, AFTER = 0.06, 0.16  # seconds; benchmarks/alignment.py measures what they do to word boundaries


class AlignedText(NamedTuple):
    """The forced alignment of a text with feature frames. The space between words is no token here.

    Attributes:
        tokens: token ids, length U.
        words: each word and the range of its tokens: ``tokens[begin:end]``.
        spans: int64[U, 2], each token's first feature frame and the one after its last.
        confidence: float32[U], each token's best posterior where CTC emits it.
        score: log probability of the CTC path.
    """

    tokens: list[int]
    words: list[tuple[str, int, int]]
    spans: np.ndarray
    confidence: np.ndarray
    score: float


def align_text(
    log_probs: np.ndarray,
    text: str,
    tokenizer: Tokenizer,
    frames: int,
    *,
    frames_per_output: float,
    frame_seconds: float = 0.01,
) -> AlignedText:
    """Align normalised text by CTC, and extend its tokens.

    Args:
        log_probs: CTC log posteriors f32[T'', V] of one utterance.
        text: the transcript; words that the tokenizer cannot express are aligned as ``<unk>``.
        tokenizer: the model's.
        frames: feature frames T.
        frames_per_output: feature frames to one CTC output frame.
        frame_seconds: seconds to one feature frame.

    Raises:
        DataError: too few frames for the text.
    """
    ids, ranges = word_tokens(tokenizer, text)
    spans, score = ctc_align(log_probs, ids)
    spoken, words = without_separators(ranges)
    tokens = [ids[u] for u in spoken]
    peaks = [
        log_probs[begin:end, token].max() for token, (begin, end) in zip(tokens, spans[spoken], strict=True)
    ]
    times = extend(spans[spoken] * (frames_per_output * frame_seconds), frames * frame_seconds)
    extended = np.rint(times / frame_seconds).astype(np.int64)
    return AlignedText(tokens, words, extended, np.exp(np.array(peaks, np.float32)), score)


def word_tokens(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[tuple[str, int, int]]]:
    """Token ids of a normalised text, and the range of each word: ``ids[begin:end]``.

    A character tokenizer's space belongs to no word.
    """
    between = [tokenizer.ids[SPACE]] if SPACE in tokenizer.ids else []
    ids: list[int] = []
    words = []
    for word in text.split():
        ids += between if ids else []
        begin = len(ids)
        ids += tokenizer.encode(word)
        words.append((word, begin, len(ids)))
    return ids, words


def without_separators(
    ranges: Sequence[tuple[str, int, int]],
) -> tuple[list[int], list[tuple[str, int, int]]]:
    """The positions of the tokens that belong to words, and each word's range among these.

    Args:
        ranges: words and their tokens, from :func:`word_tokens`.
    """
    spoken: list[int] = []
    words = []
    for word, begin, end in ranges:
        words.append((word, len(spoken), len(spoken) + end - begin))
        spoken += range(begin, end)
    return spoken, words


def extend(times: np.ndarray, seconds: float, *, before: float = BEFORE, after: float = AFTER) -> np.ndarray:
    """Extend CTC's short tokens over the blank frames around them.

    A token may reach `before` seconds to the left and `after` to the right. Two tokens that would touch
    meet in the middle of their gap; the rest is silence. Against the word boundaries of a hidden Markov model
    this was as accurate as rules that use the posteriors in the gap.

    Args:
        times: [U, 2], start and end of each token in seconds, in order.
        seconds: duration of the utterance.
        before: reach to the left in seconds.
        after: reach to the right in seconds.

    Returns:
        float64[U, 2], in seconds, within 0..`seconds`.
    """
    if not len(times):
        return np.zeros((0, 2))
    starts, ends = np.asarray(times, np.float64).T
    meets = starts[1:] - ends[:-1] < before + after + 1e-6
    middle = (ends[:-1] + starts[1:]) / 2
    begin = np.append(starts[0] - before, np.where(meets, middle, starts[1:] - before))
    end = np.append(np.where(meets, middle, ends[:-1] + after), ends[-1] + after)
    result: np.ndarray = np.clip(np.stack([begin, end], axis=1), 0, seconds)
    return result


def frame_labels(spans: np.ndarray, labels: Sequence[int], frames: int, *, silence: int = 0) -> np.ndarray:
    """The label of each frame, int16[T].

    Args:
        spans: int[U, 2] in feature frames, from :func:`align_text` or :func:`.hmm_align`.
        labels: class of each span.
        frames: feature frames T.
        silence: class of the frames outside all spans.
    """
    path = np.full(frames, silence, np.int16)
    for label, (begin, end) in zip(labels, spans, strict=True):
        path[begin:end] = label
    return path


def perturbed(labels: np.ndarray, frames: int) -> np.ndarray:
    """Labels [T] of an utterance played at another speed, so that it has `frames` frames: the nearest."""
    if not len(labels):
        return np.zeros(frames, labels.dtype)
    return labels[((np.arange(frames) + 0.5) * len(labels) / max(1, frames)).astype(np.int64)]
