"""Convolution and pooling over one or two dimensions.

All of them slide a window over the input. Instead of visiting every window, the code visits every *tap*,
every offset inside the window: the values that all windows have at one tap are a strided slice of the input.
"""

from collections.abc import Iterator

import numpy as np

from asrkit.reference.initialisation import kaiming_uniform
from asrkit.reference.layer import UnaryLayer
from asrkit.reference.notation import Array

Sizes = tuple[int, ...]
Index = tuple[int | slice, ...]


def output_size(inputs: int, kernel: int, stride: int) -> int:
    """How many windows fit: floor((inputs − kernel) / stride) + 1."""
    return (inputs - kernel) // stride + 1


def taps(inputs: Sizes, kernel: Sizes, stride: Sizes) -> Iterator[tuple[Index, Index]]:
    """For each tap of the kernel: where it is in a weight [out, in, *kernel], and in [B, C, *inputs]."""
    for tap in np.ndindex(*kernel):
        spatial = [
            slice(first, first + step * output_size(size, width, step), step)
            for first, size, width, step in zip(tap, inputs, kernel, stride, strict=True)
        ]
        yield (slice(None), slice(None), *tap), (slice(None), slice(None), *spatial)


class Convolution(UnaryLayer):
    """y[b, o] = bias[o] + Σ over inputs i and taps k of  weight[o, i, k] · x[b, i, window + k].

    A cross-correlation, as in every neural network library (Goodfellow, Bengio, Courville, "Deep Learning",
    2016, equation 9.6). Parameters: weight [out, in, *kernel], bias [out].
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sizes,
        stride: Sizes,
        padding: Sizes,
        generator: np.random.Generator,
    ) -> None:
        weight = kaiming_uniform(generator, (outputs, inputs, *kernel))
        super().__init__(weight=weight, bias=np.zeros(outputs))
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x: Array) -> Array:
        """[B, in, *sizes] -> [B, out, *windows]; `padding` zeros pad both sides of each dimension."""
        self.x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in self.padding)])
        y = 0.0
        for tap, windows in taps(self.x.shape[2:], self.kernel, self.stride):
            weight = self.params["weight"][tap]
            y += np.einsum("oi,bi...->bo...", weight, self.x[windows])
        return y + np.expand_dims(self.params["bias"], tuple(range(1, x.ndim - 1)))

    def backward(self, dy: Array) -> Array:
        dx = np.zeros_like(self.x)
        for tap, windows in taps(self.x.shape[2:], self.kernel, self.stride):
            weight = self.params["weight"][tap]
            dx[windows] += np.einsum("oi,bo...->bi...", weight, dy)
            x = self.x[windows]
            self.grads["weight"][tap] += np.einsum(
                "bon,bin->oi", dy.reshape(*dy.shape[:2], -1), x.reshape(*x.shape[:2], -1)
            )
        self.grads["bias"] += dy.sum(axis=(0, *range(2, dy.ndim)))
        inside = [slice(p, size - p) for p, size in zip(self.padding, dx.shape[2:], strict=True)]
        return dx[(slice(None), slice(None), *inside)]


class Conv1d(Convolution):
    """Convolution over time: [B, in, T] -> [B, out, T']."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        generator: np.random.Generator,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__(inputs, outputs, (kernel,), (stride,), (padding,), generator)


class Conv2d(Convolution):
    """Convolution over two dimensions: [B, in, H, W] -> [B, out, H', W']."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        generator: np.random.Generator,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, generator)


class MeanPool(UnaryLayer):
    """The mean of each window: [B, C, *sizes] -> [B, C, *windows]."""

    def __init__(self, kernel: Sizes, stride: Sizes) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Array) -> Array:
        self.shape = x.shape
        values = [x[windows] for _, windows in taps(x.shape[2:], self.kernel, self.stride)]
        result: Array = np.mean(values, axis=0)
        return result

    def backward(self, dy: Array) -> Array:
        dx = np.zeros(self.shape)
        share = dy / np.prod(self.kernel)
        for _, windows in taps(self.shape[2:], self.kernel, self.stride):
            dx[windows] += share
        return dx


class MaxPool(UnaryLayer):
    """The maximum of each window; the gradient goes to its position, the first if tied."""

    def __init__(self, kernel: Sizes, stride: Sizes) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Array) -> Array:
        """[B, C, *sizes] -> [B, C, *windows]."""
        self.shape = x.shape
        values = np.array([x[windows] for _, windows in taps(x.shape[2:], self.kernel, self.stride)])
        self.winner = values.argmax(axis=0)
        result: Array = values.max(axis=0)
        return result

    def backward(self, dy: Array) -> Array:
        dx = np.zeros(self.shape)
        for i, (_, windows) in enumerate(taps(self.shape[2:], self.kernel, self.stride)):
            dx[windows] += np.where(self.winner == i, dy, 0.0)
        return dx
