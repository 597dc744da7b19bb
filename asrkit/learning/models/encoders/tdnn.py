"""Factorised time-delay neural network.

Povey et al. 2018, "Semi-orthogonal low-rank matrix factorization for deep neural networks": wide layers with
narrow linear ones between them; each product sees one neighbouring frame. Here the residual path connects the
narrow layers, and layer norms replace the constraint on the factors. The context is about `layers` + 1 frames
to either side, too short to memorise sentences.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.config import TdnnConfig
from asrkit.learning.models.blocks import Branch, Dropout
from asrkit.learning.models.subsampling import make_subsampling
from asrkit.learning.padding import mask_padding


class TimeDelay(nn.Module):
    """[B, T, D] -> [B, T, D] through a wide layer that sees the previous frame; its output sees the next."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(2 * dim, hidden), nn.Linear(2 * hidden, dim)

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        x = F.relu(self.wide(torch.cat([F.pad(x, (0, 0, 1, 0))[:, :-1], x], dim=-1)))
        # The product of the next frame is shifted, not the wide frame itself, whose padding is not zero.
        this, after = F.linear(x, torch.cat(self.narrow.weight.chunk(2, dim=1))).chunk(2, dim=-1)
        after = mask_padding(after, lens)
        return this + F.pad(after, (0, 0, 0, 1))[:, 1:] + self.narrow.bias


class TdnnEncoder(nn.Module):
    """(feats f32[B, T, F], lens) -> (out f32[B, T', D], lens), T' = ceil(T / factor)."""

    def __init__(self, config: TdnnConfig, input_dim: int) -> None:
        super().__init__()
        self.subsample = make_subsampling(
            config.subsampling, input_dim, config.dim, config.factor, config.channels
        )
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(
            Branch(config.dim, TimeDelay(config.dim, config.hidden), config.dropout, config.layer_drop)
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.dim = config.dim

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x, lens = self.subsample(feats, lens)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, lens)
        return mask_padding(self.norm(x), lens), lens

    def output_frames(self, frames: Tensor) -> Tensor:
        """Encoder frames T' for `frames` feature frames; elementwise."""
        return self.subsample.output_frames(frames)
