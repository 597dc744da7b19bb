"""Cepstral mean and variance normalisation (CMVN), over the training set or over each utterance."""

import torch
from torch import Tensor

from asrkit.errors import ModelError
from asrkit.learning.padding import valid_mask
from asrkit.recognition.features.cmvn import STD_FLOOR, CmvnStats

WINDOW = 3000  # frames


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
            ``WINDOW`` frames, each frame by as many around it, so that a whole recording is normalised as in
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
