"""Masks: which frames or positions count. True is valid."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Lengths = NDArray[np.int64]


def padding_mask(lengths: Lengths, frames: int) -> Mask:
    """bool [B, T], True where a frame belongs to its sequence."""
    return np.arange(frames) < np.asarray(lengths)[:, None]


def causal_mask(length: int) -> Mask:
    """bool [U, U], True where position u (row) may attend to position v (column): itself and before."""
    return np.tri(length, dtype=np.bool_)
