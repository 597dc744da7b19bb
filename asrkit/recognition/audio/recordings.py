"""Which recordings a command line means: files, folders, patterns and the standard input."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from pathlib import Path

from asrkit.errors import DataError
from asrkit.learning.data.corpora.common import AUDIO_SUFFIXES, files_in
from asrkit.recognition.audio.reading import shown

STDIN = "/dev/stdin"


def recordings(word: str) -> Iterator[str]:
    """The paths of the audio files that one word of a command line means.

    Args:
        word: a file, whether it is there or not; a folder, for the audio files below it, sorted; a pattern
            such as ``talks/**/*.mp3``, for the files and folders it matches, sorted; or ``-``, for
            :data:`STDIN`.

    Raises:
        DataError: a folder without audio files, or a pattern that nothing matches.
    """
    path = Path(word)
    if word == "-":
        yield STDIN
    elif _is(path.is_dir):
        found = [file for file in files_in(path) if file.suffix.lower() in AUDIO_SUFFIXES]
        if not found:
            endings = " ".join(sorted(suffix[1:] for suffix in AUDIO_SUFFIXES))
            raise DataError(f"{shown(word)} is a folder without audio files", f"known endings: {endings}")
        yield from map(str, found)
    elif glob.has_magic(word) and not _is(path.exists):
        matches = sorted(glob.glob(word, recursive=True))  # noqa: PTH207, for absolute patterns too
        if not matches:
            raise DataError(f"nothing matches {shown(word)}", "check the pattern")
        for match in matches:
            yield from recordings(match)
    else:
        yield word


def _is(question: Callable[[], bool]) -> bool:
    """The answer; no where it may not be asked, so that reading says why."""
    try:
        return question()
    except OSError:
        return False
