"""The linear layer, the activations and dropout."""

import math

import numpy as np

from asrkit.reference.initialisation import xavier_uniform
from asrkit.reference.layer import UnaryLayer
from asrkit.reference.notation import Array


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)), written with tanh so that no exponential overflows."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


class Linear(UnaryLayer):
    """y = x Wᵀ + b.  Parameters: weight [out, in], bias [out]."""

    def __init__(self, inputs: int, outputs: int, generator: np.random.Generator) -> None:
        super().__init__(weight=xavier_uniform(generator, (outputs, inputs)), bias=np.zeros(outputs))

    def forward(self, x: Array) -> Array:
        """[..., in] -> [..., out]."""
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"]

    def backward(self, dy: Array) -> Array:
        rows = dy.reshape(-1, dy.shape[-1])
        self.grads["weight"] += rows.T @ self.x.reshape(-1, self.x.shape[-1])
        self.grads["bias"] += rows.sum(axis=0)
        return dy @ self.params["weight"]


class ReLU(UnaryLayer):
    """y = max(x, 0) (Nair, Hinton, 2010); the gradient at exactly 0 is taken as 0."""

    def forward(self, x: Array) -> Array:
        self.positive = x > 0
        return np.where(self.positive, x, 0.0)

    def backward(self, dy: Array) -> Array:
        return np.where(self.positive, dy, 0.0)


class Sigmoid(UnaryLayer):
    """y = 1 / (1 + exp(−x));  y' = y (1 − y)."""

    def forward(self, x: Array) -> Array:
        self.y = sigmoid(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * self.y * (1.0 - self.y)


class Tanh(UnaryLayer):
    """y = tanh x;  y' = 1 − y²."""

    def forward(self, x: Array) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * (1.0 - self.y**2)


class GELU(UnaryLayer):
    """y = x Φ(x), Φ the standard normal distribution (Hendrycks, Gimpel, 2016);  y' = Φ(x) + x φ(x)."""

    def forward(self, x: Array) -> Array:
        self.x = x
        erf = np.vectorize(math.erf, otypes=[np.float64])
        self.cumulative = 0.5 * (1.0 + erf(x / math.sqrt(2.0)))
        result: Array = x * self.cumulative
        return result

    def backward(self, dy: Array) -> Array:
        density = np.exp(-0.5 * self.x**2) / math.sqrt(2.0 * math.pi)
        result: Array = dy * (self.cumulative + self.x * density)
        return result


class Dropout(UnaryLayer):
    """Zero each value with probability p and divide the rest by 1 − p, in training only.

    (Srivastava et al., 2014; the division, which keeps the expected value, is "inverted" dropout.)
    """

    def __init__(self, p: float, generator: np.random.Generator) -> None:
        super().__init__()
        self.p, self.generator = p, generator

    def forward(self, x: Array) -> Array:
        self.factor = np.ones_like(x)
        if self.training:
            self.factor = (self.generator.random(x.shape) >= self.p) / (1.0 - self.p)
        return x * self.factor

    def backward(self, dy: Array) -> Array:
        return dy * self.factor
