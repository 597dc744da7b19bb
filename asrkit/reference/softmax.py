"""Softmax, its logarithm, and the cross-entropy loss computed from it."""

import numpy as np
from numpy.typing import NDArray

from asrkit.reference.notation import Array


def log_softmax(x: Array) -> Array:
    """x_i − log Σ_j exp(x_j) over the last axis; the maximum is subtracted first to avoid overflow."""
    shifted = x - x.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def softmax(x: Array) -> Array:
    """exp(x_i) / Σ_j exp(x_j) over the last axis (Bridle, 1990)."""
    return np.exp(log_softmax(x))


class SoftmaxCrossEntropy:
    """Mean of −log softmax(x)[target] over N examples.

    Softmax and the logarithm undo each other in the backward pass: the gradient is the distribution the
    network gave less the one it should have given (Bishop, "Pattern Recognition and Machine Learning", 2006,
    equation 4.109).
    """

    def forward(self, x: Array, targets: NDArray[np.int64]) -> float:
        """Logits [N, C] and class ids [N] -> the mean loss."""
        log_probs = log_softmax(x)
        self.rows, self.targets = np.arange(len(x)), targets
        self.probs = np.exp(log_probs)
        return float(-log_probs[self.rows, targets].mean())

    def backward(self) -> Array:
        """Gradient [N, C] of the mean loss with respect to the logits."""
        dx = self.probs.copy()
        dx[self.rows, self.targets] -= 1.0
        return dx / len(dx)
