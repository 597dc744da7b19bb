"""A plain folder: audio files at any depth, each with its transcript in a ``.txt`` of the same name.

A subset is a folder in it, or ``.`` for all. A speaker is a folder below the subset's: of those that an audio
file lies in the outermost that not all share, so that ``wav/ann/monday/1.wav`` is ann's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from asrkit.errors import DataError
from asrkit.learning.data.corpora import Skipped
from asrkit.learning.data.corpora.common import (
    Entry,
    names_parts,
    read_entries,
    subset_folder,
    text_lines,
    utterance_id,
)
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES, files_in
from asrkit.recognition.audio.utterance import Utterance

LOOK = "a .txt of the same name beside each audio file"


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.learning.data.corpora.Corpus.prepare`."""
    return read_entries(entries(source, subset, skipped), audio_out, sample_rate, skipped)


def subsets(source: Path, files: Sequence[Path]) -> list[str]:
    """See :data:`asrkit.learning.data.corpora.SHAPES`: the outermost folders named after parts, or ``.``."""
    written = {path.with_suffix("") for path in files if path.suffix == ".txt"}
    paired = [p for p in files if p.suffix.lower() in AUDIO_SUFFIXES and p.with_suffix("") in written]
    folders = [path.relative_to(source).parts[:-1] for path in paired]
    for level in range(1, max(map(len, folders), default=0) + 1):
        if names_parts(parts[level - 1] for parts in folders if len(parts) >= level):
            return sorted({"/".join(parts[:level]) for parts in folders if len(parts) >= level})
    return ["."] if paired else []


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :data:`asrkit.learning.data.corpora.SHAPES`."""
    folder = subset_folder(source, subset)
    paths = files_in(folder)
    recordings = [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    speakers = _speakers({path.relative_to(folder).parent for path in recordings})
    for path in recordings:
        relative = path.relative_to(folder)
        name = utterance_id(relative.with_suffix(""))
        try:
            text = " ".join(line.strip() for _, line in text_lines(path.with_suffix(".txt")))
        except DataError as error:
            skipped.append(Skipped(name, error.message, "no text"))
            continue
        copy = path.relative_to(source)
        yield Entry(name, path, copy.with_name(copy.name + ".flac"), text, speakers[relative.parent])
    spoken = {path.with_suffix("") for path in recordings}
    for path in paths:
        if path.suffix == ".txt" and path.with_suffix("") not in spoken:
            name = utterance_id(path.relative_to(folder).with_suffix(""))
            skipped.append(Skipped(name, "a transcript without audio", "no audio"))


def _speakers(folders: set[Path]) -> dict[Path, str]:
    """The speaker of each folder; see above."""
    level = 0
    while len({f.parts[: level + 1] for f in folders}) == 1 and any(f.parts[level + 1 :] for f in folders):
        level += 1
    return {folder: "".join(folder.parts[level : level + 1]) for folder in folders}
