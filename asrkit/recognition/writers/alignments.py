"""Alignments of known text with times: ctm, json and Praat's TextGrid."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from asrkit.errors import UsageError, nearest
from asrkit.recognition.align.frames import AlignedText
from asrkit.recognition.text.tokenizer import Tokenizer
from asrkit.recognition.transcript import Alternative, Transcript, Word
from asrkit.recognition.writers.transcripts import to_ctm, to_json


@dataclass(frozen=True, slots=True)
class Alignment(Transcript):
    """The forced alignment of a text; its tokens exclude the spaces between words.

    Attributes:
        unit: kind of the tokens, as in ``text.tokenizer``.
    """

    unit: str


def make_alignment(
    id: str, audio: str, seconds: float, aligned: AlignedText, tokenizer: Tokenizer, frame_seconds: float
) -> Alignment:
    """Give an aligned text times and confidences; a word's confidence is the mean of its tokens'.

    Args:
        id: name of the utterance.
        audio: path of its audio.
        seconds: its duration.
        aligned: tokens and feature frames.
        tokenizer: the model's.
        frame_seconds: seconds to one feature frame.
    """
    total = round(seconds, 3)

    def timed(text: str, begin: int, end: int) -> Word:
        start, stop = (
            min(total, round(float(frame) * frame_seconds, 3))
            for frame in (aligned.spans[begin, 0], aligned.spans[end - 1, 1])
        )
        return Word(text, start, stop, round(float(aligned.confidence[begin:end].mean()), 4))

    text = " ".join(word for word, _, _ in aligned.words)
    return Alignment(
        id=id,
        audio=audio,
        seconds=total,
        text=text,
        confidence=round(float(aligned.confidence.mean()), 4),
        words=[timed(*word) for word in aligned.words],
        nbest=[Alternative(text, aligned.score)],
        unit=tokenizer.kind,
        tokens=[timed(tokenizer.tokens[token], u, u + 1) for u, token in enumerate(aligned.tokens)],
    )


def to_textgrid(alignment: Alignment) -> str:
    """Praat's long text format: a tier of words and one of phones, or of tokens; gaps are empty intervals.

    Source: Praat's manual, "TextGrid file formats", section 1, "The full text format of a minimal TextGrid".
    """
    tiers = {"words": alignment.words, "phones" if alignment.unit == "phone" else "tokens": alignment.tokens}
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {alignment.seconds:.3f}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, (name, words) in enumerate(tiers.items(), 1):
        intervals = [*_filled(words, alignment.seconds)]
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f'        name = "{name}"',
            "        xmin = 0",
            f"        xmax = {alignment.seconds:.3f}",
            f"        intervals: size = {len(intervals)}",
        ]
        for index, (start, end, text) in enumerate(intervals, 1):
            quoted = text.replace('"', '""')
            lines += [
                f"        intervals [{index}]:",
                f"            xmin = {start:.3f}",
                f"            xmax = {end:.3f}",
                f'            text = "{quoted}"',
            ]
    return "\n".join(lines) + "\n"


def _filled(words: Sequence[Word], seconds: float) -> Iterator[tuple[float, float, str]]:
    """Intervals without gaps from 0 to `seconds`; words without duration are skipped."""
    at = 0.0
    for word in words:
        if word.end > word.start:
            if word.start > at:
                yield at, word.start, ""
            yield word.start, word.end, word.text
            at = word.end
    if at < seconds:
        yield at, seconds, ""


WRITERS: dict[str, Callable[[Alignment], str]] = {"ctm": to_ctm, "json": to_json, "textgrid": to_textgrid}
ENDINGS = {"ctm": ".ctm", "json": ".json", "textgrid": ".TextGrid"}


def find_writer(form: str) -> Callable[[Alignment], str]:
    """The writer of a format. Raises UsageError naming the nearest."""
    if form not in WRITERS:
        raise UsageError(f"unknown format {form!r}", nearest(form, WRITERS))
    return WRITERS[form]
