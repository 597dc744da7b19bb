"""Is this gradient right? Compare it with what the loss does when each number is moved a little."""

from collections.abc import Callable

import numpy as np

from asrkit.reference.notation import Array


def numerical_gradient(loss: Callable[[], float], x: Array, step: float = 1e-5) -> Array:
    """(L(x + ε) − L(x − ε)) / 2ε for each number of x: wrong by O(ε²) only.

    Args:
        loss: computes the loss from the present contents of `x`.
        x: changed in place, and restored.
        step: ε; 1e-5 balances the formula's own error against rounding in float64.
    """
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        value = x[index]
        x[index] = value + step
        above = loss()
        x[index] = value - step
        below = loss()
        x[index] = value
        gradient[index] = (above - below) / (2.0 * step)
    return gradient


def gradient_error(loss: Callable[[], float], x: Array, gradient: Array) -> float:
    """Largest difference of `gradient` from the numerical one, relative to the size of both (at least 1)."""
    numerical = numerical_gradient(loss, x)
    size = np.maximum(1.0, np.abs(gradient) + np.abs(numerical))
    return float((np.abs(gradient - numerical) / size).max(initial=0.0))
