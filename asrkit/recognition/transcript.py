"""What a recogniser returns: text with words, times and confidences."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from asrkit.recognition.align.frames import extend, without_separators
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.text.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or a token, with its start and end in seconds and a confidence in 0..1."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """One entry of an n-best list."""

    text: str
    score: float
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of one utterance or recording.

    Attributes:
        id: utterance id, or the audio file's name without its suffix.
        audio: path of the audio.
        seconds: duration of what was decoded.
        text: the best hypothesis.
        confidence: 0..1.
        words: the best hypothesis word by word.
        tokens: the best hypothesis token by token, special ones by name.
        nbest: hypotheses by falling score; empty for a recording decoded in pieces.
    """

    id: str
    audio: str
    seconds: float
    text: str
    confidence: float
    words: list[Word]
    tokens: list[Word]
    nbest: list[Alternative]


def hypothesis_words(hypothesis: Hypothesis, tokenizer: Tokenizer) -> Sequence[tuple[str, int, int]]:
    """Its words, each with its range of tokens [begin, end): the decoder's, or else the tokenizer's."""
    return tokenizer.word_spans(hypothesis.tokens) if hypothesis.words is None else hypothesis.words


def hypothesis_text(hypothesis: Hypothesis, tokenizer: Tokenizer) -> str:
    """The words of a hypothesis, joined by spaces."""
    return " ".join(word for word, _, _ in hypothesis_words(hypothesis, tokenizer))


def make_transcript(
    id: str,
    audio: str,
    seconds: float,
    offset: float,
    hypotheses: Sequence[Hypothesis],
    tokenizer: Tokenizer,
    latest: float = math.inf,
    *,
    peaky: bool = True,
) -> Transcript:
    """Turn an n-best list into text; `offset` is added to all times, and none is after `latest` (seconds).

    The times of a `peaky` decoder, which marks where a token was emitted, are extended to its duration, as in
    :func:`asrkit.recognition.align.frames.align_text`.
    """
    best = hypotheses[0]
    times = best.times
    if peaky:
        spoken, _ = without_separators(hypothesis_words(best, tokenizer))
        times = sounding(times, spoken, seconds)

    def timed(text: str, begin: int, end: int) -> Word:
        return Word(
            text,
            round(min(latest, offset + float(times[begin, 0])), 3),
            round(min(latest, offset + float(times[end - 1, 1])), 3),
            round(float(best.token_confidence[begin:end].mean()), 4),
        )

    return Transcript(
        id,
        audio,
        round(seconds, 3),
        hypothesis_text(best, tokenizer),
        round(best.confidence, 4),
        [timed(*word) for word in hypothesis_words(best, tokenizer)],
        [timed(tokenizer.tokens[token], u, u + 1) for u, token in enumerate(best.tokens)],
        [Alternative(hypothesis_text(h, tokenizer), h.score, h.parts) for h in hypotheses],
    )


def sounding(times: np.ndarray, spoken: Sequence[int], seconds: float) -> np.ndarray:
    """The durations f64[U, 2] of tokens emitted at `times` f32[U, 2].

    Those at the positions `spoken` are extended; the others, spaces, stay between them.
    """
    times = np.array(times, np.float64)
    times[spoken] = extend(times[spoken], seconds)
    for u in sorted({*range(len(times))}.difference(spoken)):
        before = times[u - 1, 1] if u else 0.0
        after = next((times[later, 0] for later in spoken if later > u), seconds)
        times[u] = np.clip(times[u], before, after)
    return times


def join_transcripts(parts: Sequence[Transcript]) -> Transcript:
    """Join the transcripts of the pieces of a recording, in order.

    The confidence is the mean, weighted by duration. The n-best list of the whole is unknown, so empty.
    """
    if len(parts) == 1:
        return parts[0]
    seconds = [part.seconds for part in parts]
    return Transcript(
        parts[0].id,
        parts[0].audio,
        round(sum(seconds), 3),
        " ".join(part.text for part in parts if part.text),
        round(sum(s * part.confidence for s, part in zip(seconds, parts, strict=True)) / sum(seconds), 4),
        [word for part in parts for word in part.words],
        [token for part in parts for token in part.tokens],
        [],
    )
