"""Captions: words with times as pieces of text that can be read while they are shown."""

from collections.abc import Sequence
from typing import NamedTuple

from asrkit.recognition.transcript import Word

LINE_CHARACTERS = 42
LONGEST_SECONDS, SHORTEST_SECONDS = 7.0, 1.0
PAUSE_SECONDS = 0.8


class Caption(NamedTuple):
    """One or two lines of text, shown from `start` to `end` (seconds)."""

    start: float
    end: float
    lines: tuple[str, ...]


def captions(words: Sequence[Word]) -> list[Caption]:
    """Words in captions of at most 7 s and two lines of 42 characters.

    A caption ends at a pause of 0.8 s. One that must end elsewhere, since no more fits, ends at the longest
    gap in its second half. It stays for a second at least, if the next leaves it that long. A single word is
    never broken, however long it is.
    """
    captions: list[Caption] = []
    begin = 0
    while begin < len(words):
        end = _end(words, begin)
        start, stop = words[begin].start, max(words[end - 1].end, words[begin].start + SHORTEST_SECONDS)
        following = words[end].start if end < len(words) else stop
        stop = max(start, min(stop, following, start + LONGEST_SECONDS))
        captions.append(Caption(start, stop, _lines(words[begin:end])))
        begin = end
    return captions


def _end(words: Sequence[Word], begin: int) -> int:
    """The index after the last word of the caption that begins with word `begin`."""

    def gap(i: int) -> float:
        return words[i].start - words[i - 1].end

    end = begin + 1
    while end < len(words) and gap(end) < PAUSE_SECONDS:
        more = words[begin : end + 1]
        if more[-1].end - more[0].start > LONGEST_SECONDS or not _lines(more):
            middle = begin + (end - begin + 1) // 2
            return max(range(middle, end + 1), key=lambda i: (gap(i), i))
        end += 1
    return end


def _lines(words: Sequence[Word]) -> tuple[str, ...]:
    """The words on one line, or on two as even as can be; none where they do not fit."""
    texts = [word.text for word in words]
    whole = " ".join(texts)
    if len(whole) <= LINE_CHARACTERS or len(texts) == 1:
        return (whole,)
    pairs = ((" ".join(texts[:n]), " ".join(texts[n:])) for n in range(1, len(texts)))
    best = min(pairs, key=lambda pair: max(map(len, pair)))
    return best if max(map(len, best)) <= LINE_CHARACTERS else ()
