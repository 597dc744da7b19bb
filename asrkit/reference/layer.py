"""What a layer is: a forward pass that remembers, and a backward pass that applies the chain rule.

    y = layer.forward(x)      keeps in the layer what backward needs
    dx = layer.backward(dy)   given dL/dy, returns dL/dx and adds dL/dp to `grads` for every parameter p

This is back-propagation (Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors",
Nature 323, 1986). Throughout, `dx` is the gradient of the loss with respect to `x`, of the same shape.
Numbers are float64, so that differences to other implementations are rounding and nothing else. Weights have
the shapes and, where it matters, the order of PyTorch's, so that they can be copied over.
"""

from __future__ import annotations

import numpy as np

from asrkit.reference.notation import Array


class Layer:
    """A function with parameters.

    Attributes:
        params: parameters by name; optimisers change them in place.
        grads: gradient of each parameter, by the same names; `backward` adds to it, `zero_grads` clears it.
        training: whether layers that behave differently in training (dropout, batch normalisation) do so.
    """

    def __init__(self, **params: Array) -> None:
        self.params = params
        self.grads = {name: np.zeros_like(value) for name, value in params.items()}
        self.training = True

    def include(self, **parts: Layer) -> None:
        """Share the parameters of parts, as ``part.name``."""
        for part_name, part in parts.items():
            for name in part.params:
                self.params[f"{part_name}.{name}"] = part.params[name]
                self.grads[f"{part_name}.{name}"] = part.grads[name]

    def zero_grads(self) -> None:
        """Set every gradient to zero."""
        for grad in self.grads.values():
            grad[...] = 0.0

    def train(self, training: bool = True) -> None:
        """Switch to training, or with False to evaluation."""
        self.training = training


class UnaryLayer(Layer):
    """A layer with one array in and one out."""

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        raise NotImplementedError


class Sequential(UnaryLayer):
    """Layers one after the other; backward goes through them in reverse."""

    def __init__(self, *layers: UnaryLayer) -> None:
        super().__init__()
        self.layers = layers
        self.include(**{str(i): layer for i, layer in enumerate(layers)})

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def train(self, training: bool = True) -> None:
        super().train(training)
        for layer in self.layers:
            layer.train(training)
