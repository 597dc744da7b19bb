"""The pyramid step between recurrent layers, which halves the frame rate."""

import numpy as np

from asrkit.reference.layer import Layer
from asrkit.reference.masks import Lengths, padding_mask
from asrkit.reference.notation import Array


class PyramidStep(Layer):
    """Join frames in pairs: y_t = [x_2t, x_2t+1]; after an odd last frame comes a zero one.

    (Chan, Jaitly, Le, Vinyals, "Listen, Attend and Spell", 2016, equation 5.)
    """

    def forward(self, x: Array, lengths: Lengths) -> tuple[Array, Lengths]:
        """(x [B, T, D], lengths [B]) -> (y [B, ceil(T / 2), 2D], lengths [B]); padding becomes zero."""
        batch, frames, width = x.shape
        self.valid = padding_mask(lengths, frames)[..., None]
        even = np.zeros((batch, frames + frames % 2, width))
        even[:, :frames] = np.where(self.valid, x, 0.0)
        return even.reshape(batch, -1, 2 * width), (lengths + 1) // 2

    def backward(self, dy: Array) -> Array:
        """dy [B, ceil(T / 2), 2D] -> dx [B, T, D]."""
        batch, pairs, width = dy.shape
        dx = dy.reshape(batch, 2 * pairs, width // 2)[:, : self.valid.shape[1]]
        return np.where(self.valid, dx, 0.0)
