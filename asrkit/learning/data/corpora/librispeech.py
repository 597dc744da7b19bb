"""LibriSpeech (Panayotov et al., ICASSP 2015): 1000 hours of read books at 16 kHz, CC BY 4.0; or its layout.

A subset is a folder with ``SPEAKER/CHAPTER/SPEAKER-CHAPTER-NUMBER.flac``, and beside the audio of a chapter
``SPEAKER-CHAPTER.trans.txt`` with a line ``ID TEXT`` per utterance. Any audio format and any depth will do.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asrkit.errors import DataError
from asrkit.learning.data.corpora.common import Entry, Skipped, Transcript, paired, subset_folder, text_lines
from asrkit.recognition.audio.recordings import files_in

LAYOUT = "LibriSpeech's layout, with the texts of each folder's audio in a *.trans.txt"
TRANSCRIPTS = ".trans.txt"


def subsets(source: Path, files: Sequence[Path]) -> list[str]:
    """See :data:`asrkit.learning.data.corpora.SHAPES`: the folders above those of speakers and chapters."""
    lists = (path.relative_to(source).parts for path in files if path.name.endswith(TRANSCRIPTS))
    names = sorted({"/".join(parts[:-3]) or "." for parts in lists})
    return ["."] if "." in names else names


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :class:`asrkit.learning.data.corpora.Corpus`; the speaker is the first part of the id."""
    files = files_in(subset_folder(source, subset))
    for entry in paired(source, files, _transcripts(files, skipped), lambda stem: stem.name, skipped):
        if entry.text:
            yield entry
        else:
            skipped.append(Skipped(entry.id, "no text in its transcript", "no text"))


def _transcripts(files: Sequence[Path], skipped: list[Skipped]) -> Iterator[Transcript]:
    """Those of all lists; an unreadable list goes to `skipped`."""
    for path in (path for path in files if path.name.endswith(TRANSCRIPTS)):
        try:
            lines = text_lines(path)
        except DataError as error:
            skipped.append(Skipped(path.name, error.message, "no text"))
            continue
        for _, line in lines:
            name, _, text = line.strip().partition(" ")
            speaker = name.partition("-")[0] if "-" in name else ""
            yield Transcript(path.parent / name, name, text.strip(), speaker)
