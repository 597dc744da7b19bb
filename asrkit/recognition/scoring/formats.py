"""Transcript files: trn, Kaldi ``text``, plain text and ctm."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from asrkit.errors import DataError
from asrkit.files import atomic_write

_ID = r"[^()\r\n]+"
_TRN = re.compile(rf"(.*?)\(({_ID})\)\s*")
_ALTERNATIVES = re.compile(r"\{ .* / .* \}")


def read_transcripts(path: Path | str, form: str = "") -> dict[str, str]:
    """Read a file of transcripts as utterance id -> text.

    Args:
        path: UTF-8 text.
        form: ``trn`` (``words (id)``), ``text`` (Kaldi's ``id words``) or ``plain`` (a line an utterance,
            whose id is the line's number); empty: detected from the content by :func:`find_form`.

    Raises:
        DataError: unreadable file, malformed line (file and line are named) or a repeated id.
    """
    lines = _lines(path)
    return FORMS[form or find_form(path, lines)](path, lines)


def read_pair(
    reference: Path | str, hypothesis: Path | str, form: str = ""
) -> tuple[dict[str, str], dict[str, str]]:
    """Read the reference and hypothesis file of one set; both must be of the same form.

    Raises:
        DataError: as in :func:`read_transcripts`; different forms; plain files of different length.
    """
    lines, other = _lines(reference), _lines(hypothesis)
    kind = form or find_form(reference, lines)
    other_kind = form or (find_form(hypothesis, other) if other else kind)
    if kind != other_kind:
        message = f"{reference} is in format {kind}, {hypothesis} in {other_kind}"
        raise DataError(message, "bring both into one format, or name it")
    if kind == "plain" and len(lines) != len(other):
        message = f"{reference} has {len(lines)} lines, {hypothesis} has {len(other)}"
        raise DataError(message, "plain texts are paired line by line")
    return FORMS[kind](reference, lines), FORMS[kind](hypothesis, other)


def find_form(path: Path | str, lines: list[str]) -> str:
    """The form of a transcript file.

    ``trn`` by its suffix or a first line that ends with an id in parentheses; ``text`` if the first word of
    every line holds a digit, as ids do and words do not; else ``plain``.
    """
    filled = [line for line in lines if line.strip()]
    if Path(path).suffix == ".trn" or (filled and _TRN.fullmatch(filled[0])):
        return "trn"
    if filled and all(re.search(r"\d", line.split()[0]) for line in filled):
        return "text"
    return "plain"


def write_trn(path: Path | str, texts: Mapping[str, str]) -> None:
    """Write ``words (id)`` lines; runs of spaces in a text become one.

    Raises:
        DataError: an id that is empty or holds parentheses or a line break.
    """
    for name in texts:
        if not re.fullmatch(_ID, name):
            raise DataError(f"not an id for trn: {name!r}", "remove parentheses and line breaks")
    with atomic_write(path) as file:
        for name, text in texts.items():
            file.write(" ".join([*text.split(), f"({name})"]) + "\n")


class CtmWord(NamedTuple):
    """One timed word: begin and duration in seconds, confidence in 0..1 where known."""

    utterance: str
    channel: str
    begin: float
    duration: float
    word: str
    confidence: float | None = None


def write_ctm(path: Path | str, words: Iterable[CtmWord]) -> None:
    """Write ``utterance channel begin duration word [confidence]`` lines, sorted as sclite wants them.

    Times are rounded to milliseconds.

    Raises:
        DataError: an utterance id, channel or word that is empty or holds a space.
    """
    rows = sorted(words, key=lambda w: (w.utterance, w.channel, w.begin))
    for row in rows:
        for value in (row.utterance, row.channel, row.word):
            if value.split() != [value]:
                raise DataError(f"not possible in ctm: {value!r}", "remove spaces")
    with atomic_write(path) as file:
        for row in rows:
            times = f"{row.begin:.3f} {row.duration:.3f}"
            confidence = "" if row.confidence is None else f" {row.confidence:.3f}"
            file.write(f"{row.utterance} {row.channel} {times} {row.word}{confidence}\n")


def read_ctm(path: Path | str) -> list[CtmWord]:
    """Read a ctm file; lines beginning with ``;;`` are comments.

    Raises:
        DataError: unreadable file or malformed line; file and line are named.
    """
    words = []
    for number, line in enumerate(_lines(path), 1):
        fields = line.split()
        if not fields or line.startswith(";;"):
            continue
        numbers = [_number(field) for field in [*fields[2:4], *fields[5:]]]
        if len(fields) not in (5, 6) or not all(0 <= value < math.inf for value in numbers):
            raise _malformed(path, number, "write: utterance channel begin duration word [confidence]")
        begin, duration, *confidence = numbers
        words.append(CtmWord(fields[0], fields[1], begin, duration, fields[4], *confidence))
    return words


def _read_trn(path: Path | str, lines: list[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        match = _TRN.fullmatch(line)
        if not match:
            raise _malformed(path, number, "a trn line ends with the utterance id in parentheses: words (id)")
        if _ALTERNATIVES.search(match[1]):
            raise _malformed(path, number, "alternatives { a / b } are not supported; keep one of them")
        _add(texts, match[2], match[1].strip(), path, number)
    return texts


def _read_text(path: Path | str, lines: list[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            name, *text = line.strip().split(maxsplit=1)
            _add(texts, name, "".join(text), path, number)
    return texts


def _read_plain(path: Path | str, lines: list[str]) -> dict[str, str]:
    return {str(number): line.strip() for number, line in enumerate(lines, 1)}


FORMS: dict[str, Callable[[Path | str, list[str]], dict[str, str]]] = {
    "trn": _read_trn,
    "text": _read_text,
    "plain": _read_plain,
}


def _add(texts: dict[str, str], name: str, text: str, path: Path | str, number: int) -> None:
    if name in texts:
        raise DataError(f"{path}, line {number}: a second text for {name}", "keep one line an utterance")
    texts[name] = text


def _number(field: str) -> float:
    try:
        return float(field)
    except ValueError:
        return math.nan


def _malformed(path: Path | str, number: int, hint: str) -> DataError:
    return DataError(f"{path}, line {number}: malformed", hint)


def _lines(path: Path | str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", "convert it, for example with iconv") from error
    return text.removesuffix("\n").split("\n") if text else []
