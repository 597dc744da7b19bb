"""Manifests: utterances as a lhotse CutSet, one JSON line each, gzipped."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from asrkit.data.audio import AudioInfo, audio_info
from asrkit.data.utterance import Utterance
from asrkit.errors import DataError
from asrkit.files import atomic_write


def write_manifest(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write ``.jsonl.gz`` that ``lhotse.CutSet.from_file`` reads: a MonoCut with one supervision each.

    Atomic, and the same bytes for the same utterances. The header of each audio file is read once.

    Raises:
        DataError: an audio file cannot be read.
    """
    infos: dict[str, AudioInfo] = {}
    with atomic_write(path, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        for utterance in utterances:
            info = infos.get(utterance.audio) or audio_info(utterance.audio)
            infos[utterance.audio] = info
            packed.write(json.dumps(_cut(utterance, info), ensure_ascii=False).encode() + b"\n")


def read_manifest(path: Path | str) -> list[Utterance]:
    """Utterances of a manifest. Raises DataError naming the file, and the line where there is one."""
    utterances = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    utterances.append(_utterance(json.loads(line)))
                except (ValueError, KeyError, IndexError, TypeError) as error:
                    raise DataError(
                        f"{path}:{number}: not a cut with a recording and a supervision: {error!r}",
                        "run the stage that writes this manifest again",
                    ) from None
    except FileNotFoundError:
        raise DataError(f"no such manifest: {path}", "run the prepare stage first") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the manifest {path}: {error}", "run the stage that writes it again"
        ) from None
    return utterances


def _cut(utterance: Utterance, info: AudioInfo) -> dict[str, Any]:
    channels = list(range(info.channels))
    return {
        "id": utterance.id,
        "start": utterance.start,
        "duration": utterance.duration,
        "channel": 0,
        "supervisions": [
            {
                "id": utterance.id,
                "recording_id": utterance.audio,
                "start": 0.0,
                "duration": utterance.duration,
                "channel": 0,
                "text": utterance.text,
                "speaker": utterance.speaker,
            }
        ],
        "recording": {
            "id": utterance.audio,
            "sources": [{"type": "file", "channels": channels, "source": utterance.audio}],
            "sampling_rate": info.sample_rate,
            "num_samples": info.frames,
            "duration": info.duration,
            "channel_ids": channels,
        },
        "type": "MonoCut",
    }


def _utterance(cut: dict[str, Any]) -> Utterance:
    supervision = cut["supervisions"][0]
    return Utterance(
        id=cut["id"],
        audio=cut["recording"]["sources"][0]["source"],
        start=float(cut["start"]),
        duration=float(cut["duration"]),
        text=supervision.get("text", ""),
        speaker=supervision.get("speaker", ""),
    )
