"""Optimisers: how far, and which way, each parameter moves after each batch.

All change the parameters in place, given gradients by the same names.
"""

from collections.abc import Mapping

import numpy as np

from asrkit.reference.notation import Array


class Optimizer:
    """An update rule, applied to each parameter alone.

    Attributes:
        params: parameters by name, as a layer has them.
        rate: learning rate; may be changed between steps.
        steps: updates made.
    """

    def __init__(self, params: Mapping[str, Array], rate: float) -> None:
        self.params, self.rate, self.steps = params, rate, 0

    def step(self, grads: Mapping[str, Array]) -> None:
        """Update every parameter from its gradient."""
        self.steps += 1
        for name, param in self.params.items():
            self.update(name, param, grads[name])

    def update(self, name: str, param: Array, grad: Array) -> None:
        """Change `param` in place."""
        raise NotImplementedError

    def zeros(self) -> dict[str, Array]:
        """A zero for every number of every parameter."""
        return {name: np.zeros_like(param) for name, param in self.params.items()}


class SGD(Optimizer):
    """v ← μ v + g;  p ← p − η v,  or with Nesterov's look-ahead  p ← p − η (g + μ v).

    (Polyak, 1964; Sutskever, Martens, Dahl, Hinton, 2013, with the learning rate taken out of v.)
    """

    def __init__(
        self, params: Mapping[str, Array], rate: float, momentum: float = 0.0, nesterov: bool = False
    ) -> None:
        super().__init__(params, rate)
        self.momentum, self.nesterov = momentum, nesterov
        self.velocity = self.zeros()

    def update(self, name: str, param: Array, grad: Array) -> None:
        velocity = self.velocity[name]
        velocity[...] = self.momentum * velocity + grad
        param -= self.rate * (grad + self.momentum * velocity if self.nesterov else velocity)


class RMSProp(Optimizer):
    """s ← α s + (1 − α) g²;  p ← p − η g / (sqrt(s) + ε)  (Tieleman, Hinton, 2012, lecture 6e)."""

    def __init__(
        self, params: Mapping[str, Array], rate: float, smoothing: float = 0.99, epsilon: float = 1e-8
    ) -> None:
        super().__init__(params, rate)
        self.smoothing, self.epsilon = smoothing, epsilon
        self.square = self.zeros()

    def update(self, name: str, param: Array, grad: Array) -> None:
        square = self.square[name]
        square[...] = self.smoothing * square + (1.0 - self.smoothing) * grad**2
        param -= self.rate * grad / (np.sqrt(square) + self.epsilon)


class Adam(Optimizer):
    """m ← β₁ m + (1 − β₁) g;  s ← β₂ s + (1 − β₂) g²;  p ← p − η m̂ / (sqrt(ŝ) + ε).

    m̂ and ŝ make up for the start at zero (Kingma, Ba, 2015, algorithm 1).
    """

    def __init__(
        self,
        params: Mapping[str, Array],
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__(params, rate)
        self.betas, self.epsilon = betas, epsilon
        self.mean, self.square = self.zeros(), self.zeros()

    def update(self, name: str, param: Array, grad: Array) -> None:
        mean, square = self.mean[name], self.square[name]
        beta_mean, beta_square = self.betas
        mean[...] = beta_mean * mean + (1.0 - beta_mean) * grad
        square[...] = beta_square * square + (1.0 - beta_square) * grad**2
        corrected_mean = mean / (1.0 - beta_mean**self.steps)
        corrected_square = square / (1.0 - beta_square**self.steps)
        param -= self.rate * corrected_mean / (np.sqrt(corrected_square) + self.epsilon)


class AdamW(Adam):
    """Adam after p ← p − η λ p: weight decay beside the gradient, not in it (Loshchilov, Hutter, 2019)."""

    def __init__(
        self,
        params: Mapping[str, Array],
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        decay: float = 0.01,
    ) -> None:
        super().__init__(params, rate, betas, epsilon)
        self.decay = decay

    def update(self, name: str, param: Array, grad: Array) -> None:
        param -= self.rate * self.decay * param
        super().update(name, param, grad)
