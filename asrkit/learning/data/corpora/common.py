"""Shared by the corpus readers: entries, ids, lines of text files, audio that is fast to read."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from asrkit.errors import DataError, nearest
from asrkit.recognition.audio.reading import OVERSHOOT_SECONDS, audio_info, stream_audio, write_audio
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES
from asrkit.recognition.audio.utterance import Utterance

QUICK = ("WAV/PCM_16", "WAVEX/PCM_16", "FLAC/PCM_16")  # FLAC reads an order of magnitude faster than Opus
LINE_CHARACTERS = 1 << 16
PART_WORDS = (
    dict.fromkeys(("train", "training"), "train")
    | dict.fromkeys(("dev", "development", "valid", "validation", "val"), "dev")
    | dict.fromkeys(("test", "eval", "evaluation"), "test")
)


@dataclass(frozen=True)
class Skipped:
    """An unusable entry of a corpus: the reason, and its kind in two words if known."""

    id: str
    reason: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An utterance as the corpus lists it, before its audio is opened.

    Attributes:
        id: empty: the name of the audio file, followed by the start if it is a part of the file.
        copy: path of a copy that is faster to read, below the folder for converted audio.
        speaker: empty: unknown.
        start: seconds from the beginning of the file.
        duration: seconds; None: to the end of the file.
        place: file and line it comes from, for messages; empty: its id is shown.
    """

    id: str
    audio: Path
    copy: Path
    text: str
    speaker: str = ""
    start: float = 0.0
    duration: float | None = None
    place: str = ""

    def utterance(self, audio: str, length: float) -> Utterance:
        """The utterance in `audio` of `length` seconds. Raises DataError when it is not in there."""
        duration = part_of(length, self.start, self.duration)
        whole = self.audio.stem if duration == length else f"{self.audio.stem}-{round(self.start * 1000):07d}"
        return Utterance(self.id or utterance_id(whole), audio, self.start, duration, self.text, self.speaker)


def read_entries(
    entries: Iterable[Entry], audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """The utterances of `entries`, in audio that is fast to read; unreadable ones go to `skipped`."""
    for entry in entries:
        try:
            audio, length = quick_audio(entry.audio, audio_out / entry.copy, sample_rate)
            yield entry.utterance(audio, length)
        except DataError as error:
            skipped.append(Skipped(entry.place or entry.id, error.message))


class Transcript(NamedTuple):
    """The text of an audio file, or why it cannot be read; `stem` is the file's path without suffix."""

    stem: Path
    id: str
    text: str | DataError
    speaker: str


def paired(
    source: Path,
    files: Iterable[Path],
    transcripts: Iterable[Transcript],
    name: Callable[[Path], str],
    skipped: list[Skipped],
) -> Iterator[Entry]:
    """Entries of the audio among `files` that has a transcript; the rest goes to `skipped`.

    They are in the order of `transcripts`. `name` makes an id of an audio file's path without suffix.
    """
    recordings: dict[Path, Path] = {}
    for path in files:
        if path.suffix.lower() in AUDIO_SUFFIXES:
            if path.with_suffix("") in recordings:
                skipped.append(Skipped(path.name, "a second audio file of this id", "doubled"))
            recordings.setdefault(path.with_suffix(""), path)
    used = set()
    for stem, id, text, speaker in transcripts:
        audio = recordings.get(stem)
        if audio is None:
            skipped.append(Skipped(id, "transcript without audio", "no audio"))
            continue
        used.add(stem)
        if isinstance(text, DataError):
            skipped.append(Skipped(id, text.message, "no text"))
            continue
        copy = audio.relative_to(source)
        yield Entry(utterance_id(id), audio, copy.with_name(copy.name + ".flac"), text, speaker)
    unused = (stem for stem in recordings if stem not in used)
    skipped += (Skipped(name(stem), "audio without a transcript", "no text") for stem in unused)


def quick_audio(source: Path, target: Path, sample_rate: int) -> tuple[str, float]:
    """Absolute path and seconds of `source` in a form that is fast to read.

    That is `source` itself if it is 16-bit WAV or FLAC, mono, at `sample_rate`; else `target`, a FLAC copy,
    which is made if it is missing, older or at another rate. Raises DataError if `source` cannot be read.
    """
    info = audio_info(source)
    if info.format in QUICK and info.channels == 1 and info.sample_rate == sample_rate:
        return str(source.absolute()), info.duration
    fresh = target.exists() and target.stat().st_mtime >= source.stat().st_mtime
    copy = audio_info(target) if fresh else None
    if copy is None or copy.sample_rate != sample_rate:
        write_audio(target, stream_audio(source, sample_rate), sample_rate)
        copy = audio_info(target)
    return str(target.absolute()), copy.duration


def part_of(length: float, start: float, duration: float | None) -> float:
    """Seconds of the part of a file `length` seconds long that begins at `start`.

    A part may end up to half a second beyond the file, and is cut there. Raises DataError if there is none.
    """
    seconds = length - start if duration is None else float(duration)
    if not 0 <= start < length or not 0 < seconds <= length - start + OVERSHOOT_SECONDS:
        raise DataError(f"no part from {start:g} s of {seconds:g} s in {length:.2f} s of audio")
    return min(seconds, length - start)


def copy_of(path: Path, home: Path) -> Path:
    """Path of a copy of `path`: relative to `home`, or to the file system's root if outside `home`."""
    resolved, base = path.resolve(), home.resolve()
    inside = resolved.relative_to(base if resolved.is_relative_to(base) else resolved.anchor)
    return inside.with_name(inside.name + ".flac")


def part_named(subset: str) -> str:
    """``train``, ``dev`` or ``test`` by the last such word in a subset's name (``train_dev``: ``dev``)."""
    words = reversed(re.split(r"[^a-z]+", subset.lower()))
    return next((PART_WORDS[word] for word in words if word in PART_WORDS), "")


def names_parts(subsets: Iterable[str]) -> bool:
    """Whether names stand for parts: one is a ``train``, or there are both a ``dev`` and a ``test``."""
    parts = set(map(part_named, subsets))
    return "train" in parts or {"dev", "test"} <= parts


def utterance_id(name: str | Path) -> str:
    """`name` as an id: folders joined with ``-``, spaces and brackets (for trn files) become ``_``."""
    return re.sub(r"[\s()]+", "_", "-".join(Path(name).parts))


def subset_folder(source: Path, subset: str) -> Path:
    """The folder of a subset; ``.`` is `source` itself. Raises DataError with the nearest name."""
    folder = source / subset
    if not folder.is_dir():
        names = [p.name for p in source.iterdir() if p.is_dir()] if source.is_dir() else []
        hint = nearest(subset, names) if names else "'.' is the folder itself"
        raise DataError(f"no folder {subset!r} in {source}", hint)
    return folder


def first_line(path: Path) -> str:
    """The first line with text, up to LINE_CHARACTERS; empty if none, or if not UTF-8."""
    with suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8-sig") as file:
        while line := file.readline(LINE_CHARACTERS):
            if line.strip():
                return line.rstrip("\n")
    return ""


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines with text of a UTF-8 file. Raises DataError."""
    lines = read_text(path).split("\n")
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def read_text(path: Path) -> str:
    """The content of a UTF-8 file, without a byte-order mark. Raises DataError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "see corpus.path") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start})", "convert it: iconv -t UTF-8"
        ) from None
