"""Where weights start: random, but of a size at which signals neither grow nor fade from layer to layer.

All of them take a generator, so that a start can be repeated. Shapes are [out, in] or [out, in, *kernel].
"""

import math

import numpy as np

from asrkit.reference.notation import Array

Shape = tuple[int, ...]


def fans(shape: Shape) -> tuple[int, int]:
    """How many inputs each output sums over, and how many outputs each input feeds."""
    taps = math.prod(shape[2:])
    return shape[1] * taps, shape[0] * taps


def xavier_uniform(generator: np.random.Generator, shape: Shape) -> Array:
    """Uniform in ±sqrt(6 / (fan_in + fan_out)) (Glorot, Bengio, 2010, equation 16): for tanh and sigmoid."""
    bound = math.sqrt(6.0 / sum(fans(shape)))
    return generator.uniform(-bound, bound, shape)


def xavier_normal(generator: np.random.Generator, shape: Shape) -> Array:
    """Normal of variance 2 / (fan_in + fan_out) (Glorot, Bengio, 2010, equation 12)."""
    return generator.normal(0.0, math.sqrt(2.0 / sum(fans(shape))), shape)


def kaiming_uniform(generator: np.random.Generator, shape: Shape) -> Array:
    """Uniform of variance 2 / fan_in (He, Zhang, Ren, Sun, 2015, equation 10): for ReLU."""
    bound = math.sqrt(6.0 / fans(shape)[0])
    return generator.uniform(-bound, bound, shape)


def kaiming_normal(generator: np.random.Generator, shape: Shape) -> Array:
    """Normal of variance 2 / fan_in (He, Zhang, Ren, Sun, 2015, equation 10): for ReLU."""
    return generator.normal(0.0, math.sqrt(2.0 / fans(shape)[0]), shape)


def orthogonal(generator: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Rows (or columns, whichever are fewer) orthonormal (Saxe, McClelland, Ganguli, 2014): for recurrence.

    The Q of a QR decomposition of normal numbers; R's signs make it uniform over all rotations.
    """
    rows, columns = shape
    q, r = np.linalg.qr(generator.normal(size=(max(rows, columns), min(rows, columns))))
    q *= np.sign(np.diag(r))
    return q if rows >= columns else q.T
