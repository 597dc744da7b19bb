"""Spoken telephone prompts by one speaker, the corpus that comes with the recipe ``prompts``.

``transcripts.tsv`` has a line ``id<TAB>subset<TAB>text`` for each ``audio/<id>.opus``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from asrkit.errors import DataError
from asrkit.learning.data.corpora import Skipped
from asrkit.learning.data.corpora.common import quick_audio, text_lines
from asrkit.recognition.audio.utterance import Utterance

SPEAKER = "allison"


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.learning.data.corpora.Corpus.prepare`."""
    for number, line in text_lines(source / "transcripts.tsv"):
        try:
            name, of, text = line.rstrip("\r").split("\t")
        except ValueError:
            skipped.append(Skipped(f"transcripts.tsv:{number}", "not three fields parted by tabs"))
            continue
        if of != subset:
            continue
        try:
            audio, duration = quick_audio(
                source / "audio" / f"{name}.opus", audio_out / f"{name}.flac", sample_rate
            )
        except DataError as error:
            skipped.append(Skipped(name, error.message))
            continue
        yield Utterance(name, audio, 0.0, duration, text, SPEAKER)
