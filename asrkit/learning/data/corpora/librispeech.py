"""LibriSpeech (Panayotov et al., ICASSP 2015): 1000 hours of read books at 16 kHz, CC BY 4.0; or its like.

A subset is a folder with ``SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac``, and beside the audio of a chapter
``SPEAKER-CHAPTER.trans.txt`` with ``ID TEXT`` a line. Any audio format will do, and any depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from asrkit.errors import DataError
from asrkit.learning.data.corpora import Skipped
from asrkit.learning.data.corpora.common import Entry, read_entries, subset_folder, text_lines, utterance_id
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES, files_in
from asrkit.recognition.audio.utterance import Utterance

LOOK = "LibriSpeech's layout, with the texts of each folder's audio in a *.trans.txt"
TRANSCRIPTS = ".trans.txt"


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.learning.data.corpora.Corpus.prepare`."""
    return read_entries(entries(source, subset, skipped), audio_out, sample_rate, skipped)


def subsets(source: Path, files: Sequence[Path]) -> list[str]:
    """See :data:`asrkit.learning.data.corpora.SHAPES`: what is above the folders of speakers and chapters."""
    lists = (path.relative_to(source).parts for path in files if path.name.endswith(TRANSCRIPTS))
    found = sorted({"/".join(parts[:-3]) or "." for parts in lists})
    return ["."] if "." in found else found


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :data:`asrkit.learning.data.corpora.SHAPES`; the speaker is the first part of the id."""
    folder = subset_folder(source, subset)
    recordings: dict[Path, Path] = {}
    lists = []
    for path in files_in(folder):
        if path.name.endswith(TRANSCRIPTS):
            lists.append(path)
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            if path.with_suffix("") in recordings:
                skipped.append(Skipped(path.name, "a second audio file of this id", "doubled"))
            recordings.setdefault(path.with_suffix(""), path)
    named = set()
    for path in lists:
        for name, text in _texts(path, skipped):
            audio = recordings.get(path.parent / name)
            if audio is None:
                skipped.append(Skipped(name, f"no such audio beside {path.name}", "no audio"))
                continue
            named.add(audio)
            if not text:
                skipped.append(Skipped(name, f"no text in {path.name}", "no text"))
                continue
            copy = audio.relative_to(source)
            speaker = name.partition("-")[0] if "-" in name else ""
            yield Entry(utterance_id(name), audio, copy.with_name(copy.name + ".flac"), text, speaker)
    for audio in recordings.values():
        if audio not in named:
            skipped.append(Skipped(audio.stem, f"audio without a line in a *{TRANSCRIPTS}", "no text"))


def _texts(path: Path, skipped: list[Skipped]) -> Iterator[tuple[str, str]]:
    """Id and text of each line; a file that cannot be read is named in `skipped`."""
    try:
        lines = text_lines(path)
    except DataError as error:
        skipped.append(Skipped(path.name, error.message, "no text"))
        return
    for _, line in lines:
        name, _, text = line.strip().partition(" ")
        yield name, text.strip()
