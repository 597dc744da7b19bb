"""Finding audio files: in folders, and by the arguments of a command (files, folders, patterns, ``-``)."""

import glob
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from asrkit.errors import DataError
from asrkit.recognition.audio.reading import shown

STDIN = "/dev/stdin"
AUDIO_SUFFIXES = frozenset(
    ".aif .aiff .au .caf .flac .m4a .mp3 .mp4 .oga .ogg .opus .sph .w64 .wav .wma .wv1 .wv2".split()  # noqa: SIM905
)


def recordings(word: str) -> Iterator[str]:
    """The paths of the audio files that an argument of a command names.

    Args:
        word: a file, which need not exist; a folder, for the audio files below it, sorted; a pattern such as
            ``talks/**/*.mp3``, for the files and folders that match it, sorted; or ``-``, for :data:`STDIN`.

    Raises:
        DataError: a folder without audio files, or a pattern that nothing matches.
    """
    path = Path(word)
    if word == "-":
        yield STDIN
    elif _is(path.is_dir):
        files = [file for file in files_in(path) if file.suffix.lower() in AUDIO_SUFFIXES]
        if not files:
            endings = " ".join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))
            raise DataError(f"{shown(word)} is a folder without audio files", f"known endings: {endings}")
        yield from map(str, files)
    elif glob.has_magic(word) and not _is(path.exists):
        matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207, for absolute patterns too
        if not matches:
            raise DataError(f"nothing matches {shown(word)}", "check the pattern")
        for match in matches:
            yield from recordings(match)
    else:
        yield word


def _is(question: Callable[[], bool]) -> bool:
    """The answer; False where permission is missing, so that reading reports it."""
    try:
        return question()
    except OSError:
        return False


def files_in(folder: Path) -> list[Path]:
    """All files below `folder` that are not hidden, sorted; links to folders are followed once."""
    files: list[Path] = []
    seen = set()
    for path, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real not in seen:
            files += (Path(path, name) for name in names if not name.startswith("."))
        seen.add(real)
    return sorted(files)
