"""Cepstral mean and variance normalisation (CMVN), over the training set or over each utterance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from asrkit.errors import ModelError
from asrkit.files import write_json
from asrkit.learning.padding import valid_mask

STD_FLOOR = 1e-2  # of a log-mel bin that never changes, such as one above the audio's band
WINDOW = 3000  # frames


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
        """f64[F]"""
        return self.sum / max(self.count, 1)

    @property
    def std(self) -> np.ndarray:
        """Of the population, at least 0.01: f64[F]."""
        variance = self.squares / max(self.count, 1) - np.square(self.mean)
        return np.sqrt(np.maximum(variance, STD_FLOOR**2))

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


def moving(feats: Tensor, left: Tensor) -> Tensor:
    """Each frame of f32[T, F], T >= ``WINDOW``, by the ``WINDOW`` around it, but for those of bool[T, 1]."""
    begin = (torch.arange(len(feats), device=feats.device) - WINDOW // 2).clamp(0, len(feats) - WINDOW)
    kept = feats.masked_fill(left, 0.0).double()
    sums = torch.cat([kept, kept.square(), (~left).double()], dim=1).cumsum(0)
    sums = torch.nn.functional.pad(sums, (0, 0, 1, 0))
    total = sums[begin + WINDOW] - sums[begin]
    mean, square = (total[:, :-1] / total[:, -1:].clamp(min=1)).chunk(2, dim=1)
    std = (square - mean.square()).clamp(min=0).sqrt().clamp(min=STD_FLOOR)
    return ((feats - mean) / std).float()


class Cmvn(torch.nn.Module):
    """Normalise each feature to mean 0 and variance 1; padding never changes the result and becomes 0.

    Args:
        kind: ``global`` (by `stats`), ``utterance`` (by each utterance's own frames; in one longer than
            ``WINDOW`` frames, each frame by as many around it, so that a recording is heard whole as it is in
            pieces) or ``none``.
        stats: the training set's statistics.

    Raises:
        ModelError: global normalisation without statistics.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, kind: str, stats: CmvnStats | None = None) -> None:
        super().__init__()
        self.kind = kind
        if kind == "global":
            if stats is None:
                raise ModelError("global CMVN without statistics", "run the features stage")
            self.register_buffer("mean", torch.from_numpy(stats.mean).float(), persistent=False)
            self.register_buffer("std", torch.from_numpy(stats.std).float(), persistent=False)

    def forward(self, feats: Tensor, lens: Tensor) -> Tensor:
        """Features f32[B, T, F] with frames int64[B] to normalised features f32[B, T, F]."""
        padding = ~valid_mask(lens, feats.shape[1])[..., None]
        if self.kind == "global":
            feats = (feats - self.mean) / self.std
        elif self.kind == "utterance":
            # Digital silence, the same in all bins, lies so low that it would stand for the speech.
            silent = (feats.amax(2, keepdim=True) == feats.amin(2, keepdim=True)) & (feats.shape[2] > 1)
            left = padding | silent
            count = (~left).sum(1, keepdim=True).clamp(min=1)
            long = [(row, moving(feats[row, :n], left[row, :n])) for row, n in enumerate(lens) if n > WINDOW]
            feats = feats - feats.masked_fill(left, 0.0).sum(1, keepdim=True) / count
            variance = feats.masked_fill(left, 0.0).square().sum(1, keepdim=True) / count
            feats = feats / variance.sqrt().clamp(min=STD_FLOOR)
            for row, own in long:
                feats[row, : len(own)] = own
        return feats.masked_fill(padding, 0.0)
