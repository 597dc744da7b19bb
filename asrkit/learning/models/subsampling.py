"""Subsampling: fewer and wider frames, between the features and the blocks of an encoder."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.learning.padding import mask_padding


class Stack(nn.Module):
    """Joins `factor` neighbouring frames and projects them: one matrix product, the cheapest."""

    def __init__(self, input_dim: int, dim: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.project = nn.Linear(input_dim * factor, dim)

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x = mask_padding(x, lens)
        x = F.pad(x, (0, 0, 0, -x.shape[1] % self.factor))
        joined = torch.unflatten(x, 1, (-1, self.factor)).flatten(2)
        return self.project(joined), self.output_frames(lens)

    def output_frames(self, frames: Tensor) -> Tensor:
        return (frames + self.factor - 1) // self.factor


class Strided(nn.Module):
    """Convolutions of stride 2 until `factor` is reached; each rounds the number of frames up."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.steps = factor.bit_length() - 1

    def output_frames(self, frames: Tensor) -> Tensor:
        for _ in range(self.steps):
            frames = (frames + 1) // 2
        return frames


class StridedConv(nn.Conv1d):
    """Convolution over time, [B, T, D] -> [B, T', D'], as one matrix product over copies of the frames."""

    def forward(self, x: Tensor) -> Tensor:
        (kernel,), (stride,), padding = self.kernel_size, self.stride, int(self.padding[0])
        windows = F.pad(x, (0, 0, padding, padding)).unfold(1, kernel, stride).transpose(2, 3)
        return F.linear(windows.flatten(2), self.weight.transpose(1, 2).flatten(1), self.bias)


class Conv1d(Strided):
    """Convolutions over time alone, frequencies as channels: they run as matrix products."""

    def __init__(self, input_dim: int, dim: int, factor: int, kernel: int = 5) -> None:
        super().__init__(factor)
        widths = [input_dim, *[dim] * self.steps]
        self.convs = nn.ModuleList(
            StridedConv(a, b, kernel, stride=2, padding=kernel // 2) for a, b in pairwise(widths)
        )
        self.project = nn.Linear(widths[-1], dim)

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        for conv in self.convs:
            x = F.silu(conv(mask_padding(x, lens)))
            lens = (lens + 1) // 2
        return self.project(x), lens


class Conv2d(Strided):
    """3 x 3 convolutions over time and frequency (Dong et al. 2018, "Speech-Transformer", section 3.2).

    Args:
        separable: after the first convolution, filter each channel on its own and mix them by a 1 x 1
            convolution (Rekesh et al. 2023, "Fast Conformer", section 3.1).
    """

    def __init__(self, input_dim: int, dim: int, factor: int, channels: int, separable: bool) -> None:
        super().__init__(factor)
        layers: list[nn.Module] = []
        for step in range(self.steps):
            if step == 0 or not separable:
                layers.append(nn.Conv2d(channels if step else 1, channels, 3, stride=2, padding=1))
            else:
                layers.append(
                    nn.Sequential(
                        nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels),
                        nn.Conv2d(channels, channels, 1),
                    )
                )
            input_dim = (input_dim + 1) // 2
        self.convs = nn.ModuleList(layers)
        self.project = nn.Linear(input_dim * (channels if layers else 1), dim)

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x = x.unsqueeze(-1)  # B, T, F, C
        for conv in self.convs:
            x = mask_padding(x.flatten(2), lens).view_as(x)
            x = F.relu(conv(x.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
            lens = (lens + 1) // 2
        return self.project(x.flatten(2)), lens


def make_subsampling(kind: str, input_dim: int, dim: int, factor: int, channels: int) -> Stack | Strided:
    """``stack``, ``conv1d``, ``conv2d`` or ``separable``: (B, T, F) -> (B, ceil(T / factor), dim)."""
    if kind == "stack":
        return Stack(input_dim, dim, factor)
    if kind == "conv1d":
        return Conv1d(input_dim, dim, factor)
    return Conv2d(input_dim, dim, factor, channels, separable=kind == "separable")
