"""Pyramidal bidirectional LSTM (Chan et al. 2016, "Listen, Attend and Spell", section 3.1).

An optional residual 1-D convolutional embedding comes first; the layers after the bottom one join
neighbouring frames in pairs (they are concatenated, none is skipped), so each halves the frame rate.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.config import PyramidConfig
from asrkit.learning.padding import mask_padding, reverse


class ResidualBlock(nn.Module):
    """Pre-norm residual block of two convolutions over time (He et al. 2016, "Identity mappings")."""

    def __init__(self, channels: int, kernel: int = 5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv1 = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        y = mask_padding(self.norm(x), lens)
        y = F.gelu(self.conv1(y.transpose(1, 2)).transpose(1, 2))
        y = self.conv2(mask_padding(y, lens).transpose(1, 2)).transpose(1, 2)
        x = x + y
        return x


class Embedding(nn.Module):
    """Strided convolution followed by residual blocks: (B, T, F) -> (B, ceil(T / stride), C)."""

    def __init__(self, input_dim: int, channels: int, blocks: int, stride: int, kernel: int = 5) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv1d(input_dim, channels, kernel, stride=stride, padding=kernel // 2)
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(blocks))

    def forward(self, x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(mask_padding(x, lens).transpose(1, 2)).transpose(1, 2)
        lens = self.output_frames(lens)
        for block in self.blocks:
            x = block(x, lens)
        return x, lens

    def output_frames(self, frames: Tensor) -> Tensor:
        return (frames + self.stride - 1) // self.stride


class BiLSTM(nn.Module):
    """Bidirectional LSTM over padded input: (B, T, D) -> (B, T, 2H), padding never read.

    The backward direction runs forward over each utterance reversed within its own length; on the CPU
    that is twice as fast as packed sequences and gives the same numbers.
    """

    def __init__(self, input_dim: int, hidden: int) -> None:
        super().__init__()
        self.ahead = nn.LSTM(input_dim, hidden, batch_first=True)
        self.back = nn.LSTM(input_dim, hidden, batch_first=True)

    def forward(self, x: Tensor, lens: Tensor) -> Tensor:
        ahead, _ = self.ahead(x)
        back, _ = self.back(reverse(x, lens))
        return torch.cat([ahead, reverse(back, lens)], dim=-1)


def join_pairs(x: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
    """Concatenate neighbouring frames: (B, T, D) -> (B, ceil(T / 2), 2D); a missing last frame is zero."""
    x = mask_padding(x, lens)
    if x.shape[1] % 2:
        x = F.pad(x, (0, 0, 0, 1))
    return x.reshape(x.shape[0], x.shape[1] // 2, 2 * x.shape[2]), (lens + 1) // 2


class PyramidEncoder(nn.Module):
    """(feats f32[B, T, F], lens) -> (out f32[B, T', 2 * hidden], lens)."""

    def __init__(self, config: PyramidConfig, input_dim: int) -> None:
        super().__init__()
        self.embed = None
        if config.embed_channels:
            self.embed = Embedding(input_dim, config.embed_channels, config.embed_blocks, config.embed_stride)
            input_dim = config.embed_channels
        self.joins = [1 <= layer <= config.pyramid_layers for layer in range(config.layers)]
        self.lstms, self.norms = nn.ModuleList(), nn.ModuleList()
        for joins in self.joins:
            self.lstms.append(BiLSTM(input_dim * (2 if joins else 1), config.hidden))
            input_dim = 2 * config.hidden
            self.norms.append(nn.LayerNorm(input_dim))
        self.dropout = nn.Dropout(config.dropout)
        self.dim = input_dim

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x = feats
        if self.embed is not None:
            x, lens = self.embed(x, lens)
        for joins, lstm, norm in zip(self.joins, self.lstms, self.norms, strict=True):
            if joins:
                x, lens = join_pairs(x, lens)
            x = norm(lstm(self.dropout(x), lens))
        return mask_padding(self.dropout(x), lens), lens

    def output_frames(self, frames: Tensor) -> Tensor:
        """Encoder frames T' for `frames` feature frames; elementwise."""
        if self.embed is not None:
            frames = self.embed.output_frames(frames)
        for joins in self.joins:
            if joins:
                frames = (frames + 1) // 2
        return frames
