"""Features of utterances at several speeds: stored on disk, or computed when read."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from asrkit.config import FeatureConfig
from asrkit.errors import DataError
from asrkit.learning.features.augment import speed_perturb
from asrkit.learning.features.frontend import make_frontend
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.features.signal import read_signal


class Features(Protocol):
    """Where training finds the features of an utterance."""

    def read(self, utterance: str, speed: float = 1.0) -> np.ndarray:
        """Features float32[T, F] of an utterance id, not normalised."""


class LiveFeatures:
    """Features computed from the audio whenever they are read.

    Args:
        config: kind and shape of the features.
        utterances: those that may be read.
    """

    def __init__(self, config: FeatureConfig, utterances: Iterable[Utterance]) -> None:
        self.config, self.frontend = config, make_frontend(config)
        self.utterances = {u.id: u for u in utterances}

    def read(self, utterance: str, speed: float = 1.0) -> np.ndarray:
        """See :class:`Features`. Raises DataError when the audio cannot be read."""
        return self.compute(read_signal(self.config, self.utterances[utterance]), speed)

    def compute(self, wave: np.ndarray, speed: float) -> np.ndarray:
        """Features float32[T, F] of samples float32[N]."""
        signal = wave if speed == 1 else speed_perturb(wave, speed, self.config.sample_rate)
        feats, _ = self.frontend(torch.from_numpy(signal)[None], torch.tensor([len(signal)]))
        features: np.ndarray = feats[0].numpy()
        return features


class FeatureStore:
    """The features that :func:`write_store` wrote to one or several folders: a memory-mapped array each.

    Entries are addressed by utterance id and speed factor. They are in half precision: the error of a
    log-mel value is at most 0.01, far less than normalisation and masking change in training.

    Raises:
        DataError: a folder does not hold features.
    """

    def __init__(self, *folders: Path) -> None:
        self.spans: dict[str, tuple[np.ndarray, int, int]] = {}
        for folder in folders:
            try:
                index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
                dim, spans = index["dim"], index["place"]
                total = sum(frames for _, frames in spans.values())
                data = (
                    np.memmap(folder / "features.f16", np.float16, "r", shape=(total, dim))
                    if total
                    else np.zeros((0, dim), np.float16)
                )
            except (OSError, ValueError, KeyError) as error:
                raise DataError(
                    f"cannot read features in {folder}: {error}", "run the features stage again"
                ) from error
            self.spans |= {key: (data, start, frames) for key, (start, frames) in spans.items()}

    def read(self, utterance: str, speed: float = 1.0) -> np.ndarray:
        """See :class:`Features`. Raises DataError when they are missing, as for unreadable audio."""
        key = entry(utterance, speed)
        if key not in self.spans:
            raise DataError(f"no features of {key} are stored", "run the features stage again")
        data, start, frames = self.spans[key]
        return data[start : start + frames].astype(np.float32)


def entry(utterance: str, speed: float) -> str:
    """The name of an utterance at a speed in the store."""
    return f"{utterance}@{speed:g}"


def write_store(folder: Path, dim: int, items: Iterable[tuple[str, float, np.ndarray]]) -> None:
    """Write (utterance id, speed, features float32[T, F]) items; `folder` appears only when complete."""
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    spans: dict[str, list[int]] = {}
    total = 0
    with (temporary / "features.f16").open("wb") as file:
        for utterance, speed, features in items:
            spans[entry(utterance, speed)] = [total, len(features)]
            total += len(features)
            file.write(features.astype(np.float16).tobytes())
    (temporary / "index.json").write_text(json.dumps({"dim": dim, "place": spans}), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)
