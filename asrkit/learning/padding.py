"""Padding: texts padded together, masks from lengths, and reversal that respects them."""

from collections.abc import Sequence

import torch
from torch import Tensor


def valid_mask(lens: Tensor, frames: int) -> Tensor:
    """bool[B, T], True where a frame belongs to the utterance."""
    return torch.arange(frames, device=lens.device) < lens[:, None]


def mask_padding(x: Tensor, lens: Tensor) -> Tensor:
    """Set the frames of `x` (B, T, D) beyond each length to zero."""
    return x.masked_fill(~valid_mask(lens, x.shape[1])[..., None], 0.0)


def reverse(x: Tensor, lens: Tensor) -> Tensor:
    """Reverse each utterance of `x` (B, T, D) within its length; padding stays in place."""
    position = torch.arange(x.shape[1], device=lens.device)
    index = torch.where(position < lens[:, None], lens[:, None] - 1 - position, position)
    return x.gather(1, index[..., None].expand_as(x))


def shift(x: Tensor, lens: Tensor, by: int) -> Tensor:
    """Move each utterance of `x` (B, T, D) `by` frames later within its length, or earlier.

    Its first frame, or its last, fills the gap; padding becomes zero.
    """
    last = (lens - 1).clamp(min=0)[:, None]
    index = (torch.arange(x.shape[1], device=lens.device) - by).clamp(min=0).minimum(last)
    return mask_padding(x.gather(1, index[..., None].expand_as(x)), lens)


def pad_tokens(tokens: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Token ids as int64[B, U], zero beyond their lengths, and the lengths int64[B]."""
    rows = [torch.tensor(ids, dtype=torch.int64) for ids in tokens]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(r) for r in rows])
