"""Writing transcripts: txt, json, trn, ctm, and captions as srt and vtt."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from asrkit.errors import AsrkitError, UsageError, nearest
from asrkit.files import atomic_write
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.scoring.formats import CtmWord, write_ctm, write_trn
from asrkit.recognition.transcript import Transcript
from asrkit.recognition.writers.captions import captions


def to_txt(transcript: Transcript) -> str:
    """Plain text."""
    return transcript.text + "\n"


def to_json(transcript: Transcript) -> str:
    """One JSON object on a line."""
    return json.dumps(asdict(transcript), ensure_ascii=False) + "\n"


def to_trn(transcript: Transcript) -> str:
    """NIST trn: the words, then the id in parentheses."""
    return " ".join([*transcript.text.split(), f"({plain_id(transcript.id)})"]) + "\n"


def to_ctm(transcript: Transcript) -> str:
    """NIST ctm: one line for each word."""
    return "".join(
        " ".join(f"{field:.3f}" if isinstance(field, float) else str(field) for field in word) + "\n"
        for word in ctm_words(transcript)
    )


def ctm_words(transcript: Transcript) -> list[CtmWord]:
    """The words of a transcript as lines of a ctm file."""
    name = plain_id(transcript.id)
    return [CtmWord(name, "1", w.start, w.end - w.start, w.text, w.confidence) for w in transcript.words]


def plain_id(name: str) -> str:
    """`name` with what trn and ctm cannot hold in an id (blanks, parentheses) as underscores."""
    return re.sub(r"[\s()]", "_", name) or "_"


def to_srt(transcript: Transcript) -> str:
    """SubRip: numbered captions, as players and editors take them."""
    return "\n".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n" + "\n".join(lines) + "\n"
        for number, (start, end, lines) in enumerate(captions(transcript.words), 1)
    )


def to_vtt(transcript: Transcript) -> str:
    """WebVTT (W3C Candidate Recommendation of 4 April 2019), as web pages take it."""
    return "WEBVTT\n" + "".join(
        f"\n{_clock(start, '.')} --> {_clock(end, '.')}\n" + escape("\n".join(lines), quote=False) + "\n"
        for start, end, lines in captions(transcript.words)
    )


def _clock(seconds: float, point: str) -> str:
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    return (
        f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"
    )


WRITERS: dict[str, Callable[[Transcript], str]] = {
    "txt": to_txt,
    "json": to_json,
    "trn": to_trn,
    "ctm": to_ctm,
    "srt": to_srt,
    "vtt": to_vtt,
}
ONE_EACH = frozenset({"srt", "vtt"})
"""Formats of which a file holds one recording."""


def write_decoded(
    folder: Path, utterances: Sequence[Utterance], results: Iterable[Transcript | AsrkitError]
) -> list[str]:
    """Write ``hyp.trn``, ``ref.trn``, ``hyp.ctm`` and ``nbest.jsonl`` of a set.

    An utterance that could not be read counts as an empty hypothesis.

    Returns:
        one line for each of those.
    """
    pairs = sorted(zip(utterances, results, strict=True), key=lambda pair: pair[0].id)
    done = [r for _, r in pairs if isinstance(r, Transcript)]
    texts = {u.id: r.text if isinstance(r, Transcript) else "" for u, r in pairs}
    write_trn(folder / "ref.trn", {u.id: u.text for u, _ in pairs})
    write_ctm(folder / "hyp.ctm", [word for r in done for word in ctm_words(r)])
    with atomic_write(folder / "nbest.jsonl") as file:
        file.writelines(to_json(r) for r in done)
    write_trn(folder / "hyp.trn", texts)
    return [f"{u.id}: {r.message}" for u, r in pairs if isinstance(r, AsrkitError)]


def find_writer(form: str) -> Callable[[Transcript], str]:
    """The writer of a format. Raises UsageError naming the nearest."""
    if form not in WRITERS:
        raise UsageError(f"unknown format {form!r}", nearest(form, WRITERS))
    return WRITERS[form]
