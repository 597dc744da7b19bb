"""Spoken telephone prompts by one speaker, the corpus that comes with the recipe ``prompts``.

``transcripts.tsv`` has a line ``id<TAB>subset<TAB>text`` for each ``audio/<id>.opus``.
"""

from collections.abc import Iterator
from pathlib import Path

from asrkit.learning.data.corpora.common import Entry, Skipped, text_lines

SPEAKER = "allison"


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :class:`asrkit.learning.data.corpora.Corpus`."""
    for number, line in text_lines(source / "transcripts.tsv"):
        try:
            name, of, text = line.rstrip("\r").split("\t")
        except ValueError:
            skipped.append(Skipped(f"transcripts.tsv:{number}", "not three fields separated by tabs"))
            continue
        if of == subset:
            yield Entry(name, source / "audio" / f"{name}.opus", Path(f"{name}.flac"), text, SPEAKER)
