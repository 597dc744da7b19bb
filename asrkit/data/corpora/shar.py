"""Corpora kept as lhotse Shar: shards of cuts with their recordings in tar files beside them.

A subset is a folder with ``cuts.*.jsonl.gz`` and ``recording.*.tar``, read in one go as suits slow
or remote storage; the audio of utterances is kept as FLAC.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asrkit.data.audio import read_audio, write_audio
from asrkit.data.corpora import Skipped
from asrkit.data.corpora.common import subset_folder, utterance_id
from asrkit.data.utterance import Utterance
from asrkit.errors import DataError


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.data.corpora.Corpus.prepare`. Each supervision of a cut is an utterance."""
    for cut in _cuts(subset_folder(source, subset)):
        for supervision in cut.supervisions:
            id = utterance_id(supervision.id)
            start = cut.start + supervision.start
            path = audio_out / subset / f"{id}.flac"
            try:
                wave = read_audio(_recorded(cut), sample_rate, start, supervision.duration)
            except DataError as error:
                skipped.append(Skipped(id, error.message))
                continue
            if not path.exists():
                write_audio(path, wave, sample_rate)
            seconds = len(wave) / sample_rate
            text, speaker = supervision.text or "", supervision.speaker or ""
            yield Utterance(id, str(path.absolute()), 0.0, seconds, text, speaker)
        if not cut.supervisions:
            skipped.append(Skipped(cut.id, "no supervision"))


def _cuts(folder: Path) -> Iterator[Any]:
    from lhotse import CutSet

    if not any(folder.glob("cuts.*.jsonl.gz")) or not any(folder.glob("recording.*.tar")):
        raise DataError(
            f"no Shar in {folder}",
            "a folder with cuts.*.jsonl.gz and recording.*.tar is needed, one a subset",
        )
    try:
        yield from CutSet.from_shar(in_dir=folder)
    except (OSError, ValueError, KeyError, AssertionError, EOFError, tarfile.TarError) as error:
        raise DataError(
            f"cannot read the Shar in {folder}: {error}", "it is damaged, or incomplete"
        ) from error


def _recorded(cut: Any) -> io.BytesIO:
    """The audio file of a cut, as it is in the shard."""
    content = cut.recording.sources[0].source if cut.has_recording else None
    if not isinstance(content, bytes):
        raise DataError("no audio in the shard")
    return io.BytesIO(content)
