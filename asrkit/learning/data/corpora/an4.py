"""CMU AN4, the census database: 948 training and 130 test utterances, NIST SPHERE at 16 kHz.

Ids and subsets are those of ESPnet's recipe: ``<speaker>-<item>-<session>``, and of the training utterances
sorted by id the first 100 are ``train_dev``, the others ``train``.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from asrkit.errors import DataError, nearest
from asrkit.learning.data.corpora.common import Entry, Skipped, text_lines

DEV_UTTERANCES = 100
PARTS = {  # subset: name of the list, folder of the audio, which of the sorted utterances
    "train": ("train", "an4_clstk", slice(DEV_UTTERANCES, None)),
    "train_dev": ("train", "an4_clstk", slice(DEV_UTTERANCES)),
    "test": ("test", "an4test_clstk", slice(None)),
}
LINE = re.compile(r"(.*)\(([^-\s]+-[^-\s]+-[^-\s]+)\)\s*$")
MARK = re.compile(r"</?s>|<sil>|\+\+.*?\+\+")  # sentence marks, silence, noises


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :class:`.Corpus`; `source` is ``an4/`` or its parent."""
    if subset not in PARTS:
        raise DataError(f"AN4 has no subset {subset!r}", nearest(subset, PARTS))
    name, folder, part = PARTS[subset]
    root = source if (source / "etc").is_dir() else source / "an4"
    transcription = root / "etc" / f"an4_{name}.transcription"
    texts = {}
    for number, line in text_lines(transcription):
        if match := LINE.match(line):
            texts[match[2]] = " ".join(MARK.sub(" ", match[1]).split())
        else:
            skipped.append(Skipped(f"{transcription.name}:{number}", "no (item-speaker-session) at its end"))
    for file in sorted(texts, key=_id)[part]:
        speaker = file.split("-")[1]
        sphere = root / "wav" / folder / speaker / f"{file}.sph"
        yield Entry(_id(file), sphere, Path(f"{_id(file)}.flac"), texts[file], speaker)
    for path in sorted((root / "wav" / folder).rglob("*.sph")):
        if path.stem not in texts:
            skipped.append(Skipped(path.stem, f"audio without a line in {transcription.name}"))


def _id(file: str) -> str:
    """``<speaker>-<item>-<session>`` of ``<item>-<speaker>-<session>``."""
    item, speaker, session = file.split("-")
    return f"{speaker}-{item}-{session}"
