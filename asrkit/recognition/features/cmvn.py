"""Statistics for cepstral mean and variance normalisation (CMVN)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from asrkit.errors import ModelError
from asrkit.files import write_json

STD_FLOOR = 1e-2  # of a log-mel bin that never changes, such as one above the audio's band


class CmvnStats:
    """Mean and standard deviation of a set's features, gathered utterance by utterance in double precision.

    Args:
        dim: features per frame, F.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.sum = np.zeros(dim)
        self.squares = np.zeros(dim)

    def update(self, feats: np.ndarray) -> None:
        """Add the frames of an utterance, f32[T, F]; those with a NaN or infinity are left out."""
        frames = feats[np.isfinite(feats).all(1)].astype(np.float64)
        self.count += len(frames)
        self.sum += frames.sum(0)
        self.squares += np.square(frames).sum(0)

    @property
    def mean(self) -> np.ndarray:
        """f64[F]."""
        return self.sum / max(self.count, 1)

    @property
    def std(self) -> np.ndarray:
        """Of the population, at least 0.01: f64[F]."""
        variance = self.squares / max(self.count, 1) - np.square(self.mean)
        result: np.ndarray = np.sqrt(np.maximum(variance, STD_FLOOR**2))
        return result

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, {"count": self.count, "sum": self.sum.tolist(), "squares": self.squares.tolist()})

    @classmethod
    def load(cls, path: Path) -> CmvnStats:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing or does not hold statistics.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            stats = cls(len(content["sum"]))
            stats.count = int(content["count"])
            stats.sum = np.array(content["sum"], np.float64)
            stats.squares = np.array(content["squares"], np.float64)
            if stats.sum.ndim != 1 or stats.squares.shape != stats.sum.shape or stats.count < 0:
                raise ValueError("lengths do not agree")
            if not (np.isfinite(stats.sum).all() and np.isfinite(stats.squares).all()):
                raise ValueError("not finite")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"cannot read CMVN statistics in {path}: {error}", "run the features stage again"
            ) from error
        return stats
