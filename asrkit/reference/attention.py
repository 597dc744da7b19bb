"""Attention: every query takes a weighted mean of the values, weighted by how well their keys match.

Source: A. Vaswani et al., "Attention Is All You Need", 2017; equation and section numbers are that paper's.
"""

import numpy as np

from asrkit.reference.layer import Layer
from asrkit.reference.layers import Linear
from asrkit.reference.masks import Mask
from asrkit.reference.notation import Array


def masked_softmax(scores: Array, mask: Mask) -> Array:
    """Softmax over the valid entries of the last axis, zero elsewhere; all zero if none is valid."""
    highest = np.where(mask, scores, -np.inf).max(axis=-1, keepdims=True)
    exponentials = np.exp(np.where(mask, scores - np.where(np.isfinite(highest), highest, 0.0), -np.inf))
    total = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / np.where(total > 0, total, 1.0)


class DotProductAttention(Layer):
    """softmax(Q Kᵀ / sqrt(D)) V (equation 1)."""

    def forward(self, query: Array, key: Array, value: Array, mask: Mask) -> Array:
        """Attend.

        Args:
            query: [..., Q, D].
            key: [..., K, D].
            value: [..., K, E].
            mask: broadcastable to [..., Q, K], True where a query may attend to a key. A query that may
                attend to no key gets zeros.

        Returns:
            [..., Q, E].
        """
        self.query, self.key, self.value = query, key, value
        self.scale = 1.0 / np.sqrt(query.shape[-1])
        self.weights = masked_softmax(self.scale * query @ key.swapaxes(-1, -2), mask)
        return self.weights @ value

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:
        """dy [..., Q, E] -> the gradients of query, key and value."""
        d_value = self.weights.swapaxes(-1, -2) @ dy
        d_weights = dy @ self.value.swapaxes(-1, -2)
        centred = d_weights - (d_weights * self.weights).sum(axis=-1, keepdims=True)
        d_scores = self.scale * self.weights * centred
        return d_scores @ self.key, d_scores.swapaxes(-1, -2) @ self.query, d_value


class MultiHeadAttention(Layer):
    """Attention in several subspaces at once (section 3.2.2).

    Parameters: weight [D, D] and bias [D] of the linear maps query, key, value and output.
    """

    def __init__(self, width: int, heads: int, generator: np.random.Generator) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} does not divide into {heads} heads")
        self.heads = heads
        self.query, self.key, self.value, self.output = (Linear(width, width, generator) for _ in range(4))
        self.attention = DotProductAttention()
        self.include(query=self.query, key=self.key, value=self.value, output=self.output)

    def forward(self, query: Array, key: Array, value: Array, mask: Mask) -> Array:
        """(query [B, Q, D], key and value [B, K, D], mask broadcastable to [B, Q, K]) -> [B, Q, D]."""
        mask = np.broadcast_to(mask, (len(query), query.shape[1], key.shape[1]))[:, None]
        attended = self.attention.forward(
            self.split(self.query.forward(query)),
            self.split(self.key.forward(key)),
            self.split(self.value.forward(value)),
            mask,
        )
        return self.output.forward(self.join(attended))

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:
        """dy [B, Q, D] -> the gradients of query, key and value."""
        d_query, d_key, d_value = self.attention.backward(self.split(self.output.backward(dy)))
        return (
            self.query.backward(self.join(d_query)),
            self.key.backward(self.join(d_key)),
            self.value.backward(self.join(d_value)),
        )

    def split(self, x: Array) -> Array:
        """[B, T, D] -> [B, heads, T, D / heads]."""
        batch, length, width = x.shape
        return x.reshape(batch, length, self.heads, width // self.heads).swapaxes(1, 2)

    def join(self, x: Array) -> Array:
        """[B, heads, T, D / heads] -> [B, T, D]."""
        batch, heads, length, width = x.shape
        return x.swapaxes(1, 2).reshape(batch, length, heads * width)


def sinusoidal_positions(length: int, width: int) -> Array:
    """[T, D]: sin(t ω_i) in even and cos(t ω_i) in odd columns, ω_i = 10000^(−2i / D) (section 3.5).

    Raises:
        ValueError: the width is odd.
    """
    if width % 2:
        raise ValueError(f"positions need an even width, not {width}")
    frequencies = 10000.0 ** (-np.arange(0, width, 2) / width)
    angles = np.arange(length)[:, None] * frequencies
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, width)
