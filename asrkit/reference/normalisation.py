"""Normalisation: zero mean and unit variance inside the network, then a learned scale and shift."""

import numpy as np

from asrkit.reference.layer import UnaryLayer
from asrkit.reference.notation import Array


def normalise(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array]:
    """x̂ = (x − mean) / sqrt(variance + ε) over `axes`, and the 1 / sqrt(variance + ε) used."""
    scale = 1.0 / np.sqrt(x.var(axis=axes, keepdims=True) + epsilon)
    return (x - x.mean(axis=axes, keepdims=True)) * scale, scale


def normalise_backward(dx_hat: Array, x_hat: Array, scale: Array, axes: tuple[int, ...]) -> Array:
    """dL/dx from dL/dx̂: what changes mean and variance cancels (Ioffe, Szegedy, 2015, section 3)."""
    mean = dx_hat.mean(axis=axes, keepdims=True)
    slope = (dx_hat * x_hat).mean(axis=axes, keepdims=True)
    result: Array = scale * (dx_hat - mean - x_hat * slope)
    return result


class LayerNorm(UnaryLayer):
    """Normalise each frame over its features (Ba, Kiros, Hinton, 2016).  Parameters: weight, bias [D]."""

    def __init__(self, width: int, epsilon: float = 1e-5) -> None:
        super().__init__(weight=np.ones(width), bias=np.zeros(width))
        self.epsilon = epsilon

    def forward(self, x: Array) -> Array:
        """[..., D] -> [..., D]."""
        self.x_hat, self.scale = normalise(x, (-1,), self.epsilon)
        return self.x_hat * self.params["weight"] + self.params["bias"]

    def backward(self, dy: Array) -> Array:
        others = tuple(range(dy.ndim - 1))
        self.grads["weight"] += (dy * self.x_hat).sum(axis=others)
        self.grads["bias"] += dy.sum(axis=others)
        return normalise_backward(dy * self.params["weight"], self.x_hat, self.scale, (-1,))


class BatchNorm(UnaryLayer):
    """Normalise each channel over the batch (Ioffe, Szegedy, 2015, algorithms 1 and 2).

    In training by the statistics of the batch, while running averages are kept; in evaluation by these
    averages, as constants. Parameters: weight, bias [C].

    Attributes:
        running_mean, running_variance: [C]; the variance is the unbiased one, over n − 1.
    """

    def __init__(self, channels: int, epsilon: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(weight=np.ones(channels), bias=np.zeros(channels))
        self.epsilon, self.momentum = epsilon, momentum
        self.running_mean, self.running_variance = np.zeros(channels), np.ones(channels)

    def forward(self, x: Array) -> Array:
        """[B, C, ...] -> [B, C, ...]; training needs more than one value a channel."""
        self.axes = (0, *range(2, x.ndim))
        if self.training:
            self.x_hat, self.scale = normalise(x, self.axes, self.epsilon)
            self.running_mean += self.momentum * (x.mean(axis=self.axes) - self.running_mean)
            self.running_variance += self.momentum * (x.var(axis=self.axes, ddof=1) - self.running_variance)
        else:
            self.scale = 1.0 / np.sqrt(self.per_channel(self.running_variance) + self.epsilon)
            self.x_hat = (x - self.per_channel(self.running_mean)) * self.scale
        return self.x_hat * self.per_channel(self.params["weight"]) + self.per_channel(self.params["bias"])

    def backward(self, dy: Array) -> Array:
        self.grads["weight"] += (dy * self.x_hat).sum(axis=self.axes)
        self.grads["bias"] += dy.sum(axis=self.axes)
        dx_hat = dy * self.per_channel(self.params["weight"])
        if not self.training:
            return dx_hat * self.scale
        return normalise_backward(dx_hat, self.x_hat, self.scale, self.axes)

    def per_channel(self, values: Array) -> Array:
        """[C] -> [1, C, 1, ...], to go with the input."""
        return np.expand_dims(values, self.axes)
