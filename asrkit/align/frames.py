"""From alignments to labels: what is said in each feature frame.

CTC posteriors are peaky: a token is emitted in one or two output frames near its beginning, and blank fills
the rest, be it the token's own sound or silence. :func:`extend` gives those frames to tokens or to silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from asrkit.align.ctc import ctc_align
from asrkit.text.tokenizer import SPACE, Tokenizer

BEFORE, AFTER = 0.06, 0.16  # seconds; benchmarks/alignment.py measures what they do to word boundaries


class AlignedText(NamedTuple):
    """Known text laid over the feature frames of an utterance. The blank between words is no token here.

    Attributes:
        tokens: token ids, length U.
        words: each word and where its tokens are: ``tokens[begin:end]``.
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
        text: what is said; words that the tokenizer cannot express are aligned as ``<unk>``.
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
    tokens = [ids[place] for place in spoken]
    peaks = [
        log_probs[begin:end, token].max() for token, (begin, end) in zip(tokens, spans[spoken], strict=True)
    ]
    extended = extend(spans[spoken], frames, frames_per_output=frames_per_output, frame_seconds=frame_seconds)
    return AlignedText(tokens, words, extended, np.exp(np.array(peaks, np.float32)), score)


def word_tokens(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[tuple[str, int, int]]]:
    """Token ids of a normalised text, and where each word has its own: ``ids[begin:end]``.

    A character tokenizer's blank between words belongs to no word.
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
    """The places of the tokens that belong to words, and where each word's are among these.

    Args:
        ranges: words and their tokens' places, as :func:`word_tokens` gives them.
    """
    spoken: list[int] = []
    words = []
    for word, begin, end in ranges:
        words.append((word, len(spoken), len(spoken) + end - begin))
        spoken += range(begin, end)
    return spoken, words


def extend(
    spans: np.ndarray,
    frames: int,
    *,
    frames_per_output: float,
    frame_seconds: float = 0.01,
    before: float = BEFORE,
    after: float = AFTER,
) -> np.ndarray:
    """Let CTC's short token spans reach over the blanks around them.

    A token may reach `before` seconds to the left and `after` to the right. Two tokens that come to touch so
    meet in the middle of the gap between them; what none reaches is silence. Against the word boundaries of a
    hidden Markov model this did as well as rules that look at the posteriors in the gap.

    Args:
        spans: int[U, 2], first output frame of each token and the one after its last, in order.
        frames: feature frames T of the utterance.
        frames_per_output: feature frames to one output frame.
        frame_seconds: seconds to one feature frame.
        before: reach to the left in seconds.
        after: reach to the right in seconds.

    Returns:
        int64[U, 2], in feature frames, within 0..T.
    """
    if not len(spans):
        return np.zeros((0, 2), np.int64)
    left, right = round(before / frame_seconds), round(after / frame_seconds)
    starts, ends = np.rint(np.asarray(spans) * frames_per_output).astype(np.int64).T
    gaps = starts[1:] - ends[:-1]
    meets = gaps <= left + right
    middle = ends[:-1] + gaps // 2
    begin = np.append(starts[0] - left, np.where(meets, middle, starts[1:] - left))
    end = np.append(np.where(meets, middle, ends[:-1] + right), ends[-1] + right)
    return np.clip(np.stack([begin, end], axis=1), 0, frames)


def frame_labels(spans: np.ndarray, labels: Sequence[int], frames: int, *, silence: int = 0) -> np.ndarray:
    """The label of each frame, int16[T].

    Args:
        spans: int[U, 2] in feature frames, from :func:`extend` or :func:`asrkit.align.hmm.hmm_align`.
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
