"""Manifests: utterances as a lhotse CutSet, one JSON line per utterance, gzipped."""

import gzip
import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from asrkit.errors import DataError
from asrkit.files import atomic_write
from asrkit.recognition.audio.reading import audio_info
from asrkit.recognition.audio.utterance import Utterance


def write_manifest(path: Path | str, utterances: Iterable[Utterance]) -> None:
    """Write ``.jsonl.gz`` that ``lhotse.CutSet.from_file`` reads: a MonoCut with one supervision each.

    Atomic, and the same bytes for the same utterances. The header of each audio file is read once. If an
    utterance has features in a ``.npy`` file in place of audio, so has its cut. Raises DataError.
    """
    sources: dict[str, dict[str, Any]] = {}
    with atomic_write(path, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        for utterance in utterances:
            if utterance.audio not in sources:
                array = Path(utterance.audio).suffix == ".npy"
                sources[utterance.audio] = _features(utterance) if array else _recording(utterance.audio)
            cut = _cut(utterance, sources[utterance.audio])
            packed.write(json.dumps(cut, ensure_ascii=False).encode() + b"\n")


def read_manifest(path: Path | str) -> list[Utterance]:
    """Utterances of a manifest. Raises DataError naming the file, and the line if known."""
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
        hint = "run the stage that writes it again"
        raise DataError(f"cannot read the manifest {path}: {error}", hint) from None
    return utterances


def _recording(audio: str) -> dict[str, Any]:
    info = audio_info(audio)
    channels = list(range(info.channels))
    return {
        "recording": {
            "id": audio,
            "sources": [{"type": "file", "channels": channels, "source": audio}],
            "sampling_rate": info.sample_rate,
            "num_samples": info.frames,
            "duration": info.duration,
            "channel_ids": channels,
        }
    }


def _features(utterance: Utterance) -> dict[str, Any]:
    path = Path(utterance.audio)
    try:
        frames, dim = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot read {path}: {error}", "it is not a NumPy file, or damaged") from error
    return {
        "features": {
            "type": "given",
            "num_frames": frames,
            "num_features": dim,
            "frame_shift": utterance.duration / max(1, frames),
            "sampling_rate": 16000,
            "start": 0.0,
            "duration": utterance.duration,
            "storage_type": "numpy_files",
            "storage_path": str(path.parent),
            "storage_key": path.name,
            "channels": 0,
        }
    }


def _cut(utterance: Utterance, source: dict[str, Any]) -> dict[str, Any]:
    span = {"id": utterance.id, "start": utterance.start, "duration": utterance.duration, "channel": 0}
    said = {"start": 0.0, "text": utterance.text, "speaker": utterance.speaker}
    supervision = {"id": utterance.id, "recording_id": utterance.audio} | span | said
    return {**span, "supervisions": [supervision], **source, "type": "MonoCut"}


def _utterance(cut: dict[str, Any]) -> Utterance:
    supervision = cut["supervisions"][0]
    if "recording" in cut:
        source = cut["recording"]["sources"][0]["source"]
    else:
        source = str(Path(cut["features"]["storage_path"]) / cut["features"]["storage_key"])
    text, speaker = supervision.get("text", ""), supervision.get("speaker", "")
    return Utterance(cut["id"], source, float(cut["start"]), float(cut["duration"]), text, speaker)
