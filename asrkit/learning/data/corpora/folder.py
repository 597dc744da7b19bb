"""A plain folder: audio files at any depth, each with its transcript in a ``.txt`` of the same name.

A subset is a folder in it, or ``.`` for all. The speaker is a folder below the subset: of the folders that an
audio file is in, the outermost that not all files share, so that ``wav/ann/monday/1.wav`` is by ``ann``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asrkit.errors import DataError
from asrkit.learning.data.corpora.common import (
    Entry,
    Skipped,
    Transcript,
    names_parts,
    paired,
    subset_folder,
    text_lines,
    utterance_id,
)
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES, files_in

LAYOUT = "a .txt of the same name beside each audio file"


def subsets(source: Path, files: Sequence[Path]) -> list[str]:
    """See :data:`asrkit.learning.data.corpora.SHAPES`: the outermost folders named after parts, or ``.``."""
    written = {path.with_suffix("") for path in files if path.suffix == ".txt"}
    pairs = [p for p in files if p.suffix.lower() in AUDIO_SUFFIXES and p.with_suffix("") in written]
    folders = [path.relative_to(source).parts[:-1] for path in pairs]
    for level in range(1, max(map(len, folders), default=0) + 1):
        if names_parts(parts[level - 1] for parts in folders if len(parts) >= level):
            return sorted({"/".join(parts[:level]) for parts in folders if len(parts) >= level})
    return ["."] if pairs else []


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :class:`asrkit.learning.data.corpora.Corpus`."""
    folder = subset_folder(source, subset)
    files = files_in(folder)
    audio = (path for path in files if path.suffix.lower() in AUDIO_SUFFIXES)
    speakers = _speakers({path.relative_to(folder).parent for path in audio})

    def name(stem: Path) -> str:
        return utterance_id(stem.relative_to(folder))

    def transcript(path: Path) -> Transcript:
        stem, speaker = path.with_suffix(""), speakers.get(path.relative_to(folder).parent, "")
        try:
            text = " ".join(line.strip() for _, line in text_lines(path))
        except DataError as error:
            return Transcript(stem, name(stem), error, speaker)
        return Transcript(stem, name(stem), text, speaker)

    transcripts = (transcript(path) for path in files if path.suffix == ".txt")
    return paired(source, files, transcripts, name, skipped)


def _speakers(folders: set[Path]) -> dict[Path, str]:
    """The speaker of each folder, as described above."""
    level = 0
    while len({f.parts[: level + 1] for f in folders}) == 1 and any(f.parts[level + 1 :] for f in folders):
        level += 1
    return {folder: "".join(folder.parts[level : level + 1]) for folder in folders}
