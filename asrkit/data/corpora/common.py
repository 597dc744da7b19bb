"""What the corpus readers share: ids, lines of text files, audio that is quick to read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from asrkit.data.audio import OVERSHOOT_SECONDS, AudioInfo, audio_info, stream_audio, write_audio
from asrkit.errors import DataError, nearest

AUDIO_SUFFIXES = frozenset(
    ".aif .aiff .au .caf .flac .m4a .mp3 .mp4 .oga .ogg .opus .sph .w64 .wav .wma .wv1 .wv2".split()  # noqa: SIM905
)
QUICK = ("WAV/PCM_16", "WAVEX/PCM_16", "FLAC/PCM_16")  # FLAC reads an order of magnitude faster than Opus


def quick_audio(source: Path, target: Path, sample_rate: int) -> tuple[str, float]:
    """Absolute path and seconds of `source` in a form that is quick to read again and again.

    That is `source` itself when it is 16-bit WAV or FLAC, mono, at `sample_rate`; else `target`, a FLAC copy
    made when there is none, or an older one, or one at another rate.

    Raises:
        DataError: `source` cannot be read.
    """
    info = audio_info(source)
    if info.format in QUICK and info.channels == 1 and info.sample_rate == sample_rate:
        return str(source.absolute()), info.duration
    copy = _copy_info(source, target, sample_rate)
    if copy is None:
        write_audio(target, stream_audio(source, sample_rate), sample_rate)
        copy = audio_info(target)
    return str(target.absolute()), copy.duration


def _copy_info(source: Path, target: Path, sample_rate: int) -> AudioInfo | None:
    """The copy's header when it still serves."""
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        return None
    info = audio_info(target)
    return info if info.sample_rate == sample_rate else None


def part_of(length: float, start: float, duration: float | None) -> float:
    """Seconds of the part of a file `length` seconds long that begins at `start`.

    A part may end up to half a second beyond the file, and is cut there.

    Raises:
        DataError: there is no such part.
    """
    wanted = length - start if duration is None else float(duration)
    if not 0 <= start < length or not 0 < wanted <= length - start + OVERSHOOT_SECONDS:
        raise DataError(f"no part from {start:g} s of {wanted:g} s in {length:.2f} s of audio")
    return min(wanted, length - start)


def utterance_id(name: str | Path) -> str:
    """`name` as an id: folders joined with ``-``, blanks and brackets (which trn files use) with ``_``."""
    return re.sub(r"[\s()]+", "_", "-".join(Path(name).parts))


def subset_folder(source: Path, subset: str) -> Path:
    """The folder of a subset; ``.`` is `source` itself. Raises DataError naming the folders there are."""
    folder = source / subset
    if not folder.is_dir():
        there = [p.name for p in source.iterdir() if p.is_dir()] if source.is_dir() else []
        raise DataError(
            f"no folder {subset!r} in {source}",
            nearest(subset, there) if there else "'.' is the folder itself",
        )
    return folder


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a UTF-8 file that are not blank. Raises DataError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}", "look at corpus.path") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text (byte {error.start})", "convert it: iconv -t UTF-8"
        ) from None
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
