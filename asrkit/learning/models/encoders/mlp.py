"""A feed-forward network over each frame and its neighbours: the classifier of hybrid recognisers."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.config import MlpConfig
from asrkit.learning.padding import mask_padding, valid_mask


class MlpEncoder(nn.Module):
    """(feats f32[B, T, F], lens) -> (out f32[B, T, hidden], lens): one output for every frame.

    The first layer sees 2 * context + 1 frames, which makes it a convolution; the others see one. Batch norm
    (Ioffe and Szegedy 2015) counts valid frames only.
    """

    def __init__(self, config: MlpConfig, input_dim: int) -> None:
        super().__init__()
        self.window = nn.Conv1d(input_dim, config.hidden, 2 * config.context + 1, padding=config.context)
        self.layers = nn.ModuleList(nn.Linear(config.hidden, config.hidden) for _ in range(config.layers - 1))
        self.norms = nn.ModuleList(nn.BatchNorm1d(config.hidden) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)
        self.dim = config.hidden

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        valid = valid_mask(lens, feats.shape[1])
        x = self.window(mask_padding(feats, lens).transpose(1, 2)).transpose(1, 2)
        frames = x[valid]
        for number, norm in enumerate(self.norms):
            if number:
                frames = self.layers[number - 1](frames)
            # One frame alone has no variance.
            frames = norm(frames) if len(frames) > 1 or not self.training else frames
            frames = self.dropout(F.relu(frames))
        out = torch.zeros(*x.shape, dtype=frames.dtype, device=x.device)
        out[valid] = frames
        return out, lens

    def output_frames(self, frames: Tensor) -> Tensor:
        return frames
