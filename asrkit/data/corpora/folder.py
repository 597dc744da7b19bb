"""A plain folder: audio files at any depth, each with its transcript in a ``.txt`` of the same name.

A subset is a folder in it, or ``.`` for all. A speaker is the folder a file lies in, below the subset's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asrkit.data.corpora import Skipped
from asrkit.data.corpora.common import AUDIO_SUFFIXES, quick_audio, subset_folder, text_lines, utterance_id
from asrkit.data.utterance import Utterance
from asrkit.errors import DataError


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.data.corpora.Corpus.prepare`."""
    folder = subset_folder(source, subset)
    paths = sorted(path for path in folder.rglob("*") if not _hidden(path.relative_to(folder)))
    recordings = [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    for path in recordings:
        relative = path.relative_to(folder)
        name = utterance_id(relative.with_suffix(""))
        try:
            text = " ".join(line.strip() for _, line in text_lines(path.with_suffix(".txt")))
            target = audio_out / path.relative_to(source)
            audio, duration = quick_audio(path, target.with_name(target.name + ".flac"), sample_rate)
        except DataError as error:
            skipped.append(Skipped(name, error.message))
            continue
        yield Utterance(name, audio, 0.0, duration, text, relative.parent.name)
    spoken = {path.with_suffix("") for path in recordings}
    for path in paths:
        if path.suffix == ".txt" and path.with_suffix("") not in spoken:
            skipped.append(
                Skipped(utterance_id(path.relative_to(folder).with_suffix("")), "a transcript without audio")
            )


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
