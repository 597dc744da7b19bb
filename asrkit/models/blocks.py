"""What blocks of transformers are built from: feed-forward and convolution modules, residual branches."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.padding import mask_padding

M = TypeVar("M", bound=nn.Module)


class Branch(nn.Module, Generic[M]):
    """What every residual branch of a block does around its module: ``x + scale * dropped(module(norm(x)))``.

    Args:
        dim: width of the sequence.
        module: called with the normalised sequence and whatever else :meth:`forward` is given.
        dropout: element-wise dropout of the branch.
        layer_drop: probability that the whole branch is left out of an update (Huang et al. 2016, "Deep
            Networks with Stochastic Depth"); what is kept is scaled up instead of scaling at inference.
        scale: weight of the branch.
    """

    def __init__(
        self, dim: int, module: M, dropout: float = 0.0, layer_drop: float = 0.0, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.module: M = module
        self.dropout = nn.Dropout(dropout)
        self.layer_drop, self.scale = layer_drop, scale

    def forward(self, x: Tensor, *context: object) -> Tensor:
        scale = self.scale
        if self.training and self.layer_drop:
            if torch.rand(()) < self.layer_drop:
                return x
            scale /= 1 - self.layer_drop
        return x + scale * self.dropout(self.module(self.norm(x), *context))


class FeedForward(nn.Module):
    """Two linear layers around an activation, SiLU (Gulati et al. 2020, section 2.3)."""

    def __init__(self, dim: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.narrow(self.dropout(F.silu(self.wide(x))))


class ConvolutionModule(nn.Module):
    """Pointwise convolution with a gate, depthwise convolution, norm, activation, pointwise convolution.

    Gulati et al. 2020, "Conformer", section 2.2; with a layer norm for their batch norm, so that neither
    padding nor company in a batch changes a result.
    """

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.widen = nn.Linear(dim, 2 * dim)
        self.depthwise = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        x = mask_padding(F.glu(self.widen(x), dim=-1), lens)
        x = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        return self.out(F.silu(self.norm(x)))
