"""Training a layer of the reference and the same layer of torch side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from asrkit.reference.optimizers import SGD

TOLERANCE = 1e-10
UPDATES = 20
RATE = 0.01  # small enough not to diverge: that would blow up rounding, not show errors

# Where torch keeps a parameter: its name, and which rows of it.
Place = tuple[str, slice]


def same_names(module: nn.Module) -> dict[str, Place]:
    """Places for parameters that have the same names in torch."""
    return {name: (name, slice(None)) for name, _ in module.named_parameters()}


def close(actual: np.ndarray, theirs: torch.Tensor | None) -> None:
    """Equal within the tolerance, in shape too."""
    assert theirs is not None and actual.shape == tuple(theirs.shape)
    np.testing.assert_allclose(actual, theirs.detach().numpy(), rtol=0, atol=TOLERANCE)


def gradient(parameter: nn.Parameter) -> torch.Tensor:
    """The gradient of a parameter that has one."""
    assert parameter.grad is not None
    return parameter.grad


def agree_while_training(
    layer: Any,
    module: nn.Module,
    positions: Mapping[str, Place],
    draw: Callable[[], tuple[np.ndarray, ...]],
    forward: Callable[..., np.ndarray],
    torch_forward: Callable[..., torch.Tensor],
    rng: np.random.Generator,
) -> None:
    """Start both from the same random numbers; outputs, gradients and parameters must agree for 20 updates.

    Args:
        layer, module: of the reference and of torch.
        places: torch's name for each parameter; all of torch's must be covered.
        draw: new inputs.
        forward, torch_forward: from the inputs to one output.
        rng: draws the start and the gradient of each output.
    """
    module.double()
    theirs = dict(module.named_parameters())
    assert set(layer.params) == set(positions)
    covered = sum(theirs[name][rows].numel() for name, rows in positions.values())
    assert covered == sum(parameter.numel() for parameter in theirs.values())
    for name, (their_name, rows) in positions.items():
        layer.params[name][...] = rng.normal(scale=0.5, size=layer.params[name].shape)
        theirs[their_name].data[rows] = torch.from_numpy(layer.params[name])

    actual = SGD(layer.params, rate=RATE)
    for _ in range(UPDATES):
        inputs = draw()
        leaves = [torch.tensor(x, requires_grad=True) for x in inputs]
        y, torch_y = forward(*inputs), torch_forward(*leaves)
        close(y, torch_y)

        dy = rng.normal(size=y.shape)
        layer.zero_grads()
        module.zero_grad()
        dx = layer.backward(dy)
        torch_y.backward(torch.from_numpy(dy))
        for d, leaf in zip(dx if isinstance(dx, tuple) else (dx,), leaves, strict=True):
            close(d, leaf.grad)
        for name, (their_name, rows) in positions.items():
            close(layer.grads[name], gradient(theirs[their_name])[rows])

        actual.step(layer.grads)
        with torch.no_grad():
            for parameter in theirs.values():
                parameter.sub_(RATE * gradient(parameter))
        for name, (their_name, rows) in positions.items():
            close(layer.params[name], theirs[their_name][rows])
