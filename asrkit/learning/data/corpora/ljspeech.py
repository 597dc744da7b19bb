"""LJ Speech (Ito and Johnson 2017): 13,100 clips of one reader, 24 hours, 22.05 kHz WAV, public domain.

``metadata.csv`` has ``id|text|normalised text`` per line, with numbers written out in the last field, and
``wavs/`` the audio. Quotes are text: it is not CSV. Copies with two fields are read too.

The corpus comes without sets. Of the utterances sorted by id, the last 250 are ``test``, the 250 before them
``dev`` and the others ``train``, as in ESPnet (``egs2/ljspeech/tts1/local/data.sh``: eval1, dev, tr_no_dev).
Of fewer than 2,500 utterances, a tenth, at least one, replaces 250.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from asrkit.errors import DataError, nearest
from asrkit.learning.data.corpora.common import Entry, Skipped, subset_folder, text_lines
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES

HELD_OUT = 250  # utterances in dev and in test
SUBSETS = ("train", "dev", "test")
SPEAKER = "LJ"
ID = re.compile(r"[^\s/\\()]+")  # part of a file name, and in brackets in trn files


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :class:`.Corpus`; `source` is the folder or its parent.

    The text is the normalised one, if any. Lines without audio, audio without a line and malformed lines
    belong to no subset: they are reported with ``train``.
    """
    if subset not in SUBSETS:
        raise DataError(f"LJ Speech has no subset {subset!r}", nearest(subset, SUBSETS))
    root = source if (source / "metadata.csv").exists() else source / "LJSpeech-1.1"
    texts, strays = _texts(root / "metadata.csv")
    recordings = {
        path.stem: path
        for path in sorted(subset_folder(root, "wavs").iterdir())
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".")
    }
    strays += [Skipped(name, "no such audio in wavs") for name in texts if name not in recordings]
    unwritten = [name for name in recordings if name not in texts]
    strays += [Skipped(name, "audio without a line in metadata.csv") for name in unwritten]
    if subset == "train":
        skipped += strays
    for name in split(texts.keys() & recordings.keys())[subset]:
        yield Entry(name, recordings[name], Path(f"{name}.flac"), texts[name], SPEAKER)


def split(ids: set[str]) -> dict[str, list[str]]:
    """Sorted ids of each subset, as described above. Raises DataError for fewer than three."""
    if len(ids) < len(SUBSETS):
        raise DataError(
            f"{len(ids)} utterances have both audio and text; train, dev and test need one each",
            "wavs/ and metadata.csv in corpus.path need the same ids",
        )
    ordered = sorted(ids)
    held_out = min(HELD_OUT, max(1, len(ordered) // 10))
    parts = (slice(-2 * held_out), slice(-2 * held_out, -held_out), slice(-held_out, None))
    return {name: ordered[part] for name, part in zip(SUBSETS, parts, strict=True)}


def _texts(metadata: Path) -> tuple[dict[str, str], list[Skipped]]:
    """Id -> text, the last non-empty field; and the unusable lines."""
    texts: dict[str, str] = {}
    strays: list[Skipped] = []
    for number, line in text_lines(metadata):
        name, *fields = (field.strip() for field in line.split("|"))
        if not 1 <= len(fields) <= 2 or not ID.fullmatch(name):
            strays.append(Skipped(f"{metadata.name}:{number}", "not `id|text|normalised text`"))
        elif name in texts:
            strays.append(Skipped(name, "a second line of this id"))
        else:
            texts[name] = fields[-1] or fields[0]
    return texts, strays
