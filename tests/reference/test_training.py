"""Optimisers against torch, weight initialisation, and the gradient checker on a whole network."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.torch_peer import UPDATES, close
from torch import nn

from asrkit.reference import initialisation
from asrkit.reference.ctc import ctc_loss_batch
from asrkit.reference.gradient_check import gradient_error
from asrkit.reference.layer import Sequential
from asrkit.reference.layers import Linear, Tanh
from asrkit.reference.optimizers import SGD, Adam, AdamW, Optimizer, RMSProp
from asrkit.reference.pyramid import PyramidStep
from asrkit.reference.recurrent import Bidirectional, GRUCell
from asrkit.reference.softmax import SoftmaxCrossEntropy

RATES = st.floats(1e-4, 0.3)
DECAYS = st.floats(0.0, 0.999)
EPSILONS = st.sampled_from([1e-8, 1e-6])
Params = dict[str, np.ndarray]
TorchParams = list[torch.Tensor]
Pair = tuple[Optimizer, torch.optim.Optimizer]


def sgd(draw: st.DrawFn, params: Params, torch_params: TorchParams) -> Pair:
    rate, momentum = draw(RATES), draw(DECAYS)
    nesterov = momentum > 0 and draw(st.booleans())
    return (
        SGD(params, rate, momentum, nesterov),
        torch.optim.SGD(torch_params, rate, momentum=momentum, nesterov=nesterov),
    )


def rmsprop(draw: st.DrawFn, params: Params, torch_params: TorchParams) -> Pair:
    rate, smoothing, epsilon = draw(RATES), draw(DECAYS), draw(EPSILONS)
    return (
        RMSProp(params, rate, smoothing, epsilon),
        torch.optim.RMSprop(torch_params, rate, alpha=smoothing, eps=epsilon),
    )


def adam(draw: st.DrawFn, params: Params, torch_params: TorchParams) -> Pair:
    rate, betas, epsilon = draw(RATES), (draw(DECAYS), draw(DECAYS)), draw(EPSILONS)
    return Adam(params, rate, betas, epsilon), torch.optim.Adam(torch_params, rate, betas, epsilon)


def adamw(draw: st.DrawFn, params: Params, torch_params: TorchParams) -> Pair:
    rate, betas, epsilon, decay = draw(RATES), (draw(DECAYS), draw(DECAYS)), draw(EPSILONS), draw(DECAYS)
    return (
        AdamW(params, rate, betas, epsilon, decay),
        torch.optim.AdamW(torch_params, rate, betas, epsilon, decay),
    )


@pytest.mark.parametrize("make", [sgd, rmsprop, adam, adamw])
@settings(derandomize=True, deadline=None, max_examples=12, database=None)
@given(data=st.data())
def test_optimizers_follow_torch_for_20_updates(make: Callable[..., Any], data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shapes = data.draw(st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=3))
    params = {str(i): rng.normal(size=shape) for i, shape in enumerate(shapes)}
    torch_params = [torch.tensor(param, requires_grad=True) for param in params.values()]
    actual, theirs = make(data.draw, params, torch_params)
    for _ in range(UPDATES):
        grads = {name: rng.normal(size=param.shape) for name, param in params.items()}
        for name, torch_param in zip(params, torch_params, strict=True):
            torch_param.grad = torch.tensor(grads[name])
        actual.step(grads)
        theirs.step()
        for name, torch_param in zip(params, torch_params, strict=True):
            close(params[name], torch_param)


@pytest.mark.parametrize("make", [SGD, RMSProp, Adam, AdamW])
def test_training_a_classifier_lowers_its_loss(make: type[Optimizer]) -> None:
    rng = np.random.default_rng(21)
    x = rng.normal(size=(40, 5))
    targets = x[:, :3].argmax(axis=-1)
    network, loss = Sequential(Linear(5, 16, rng), Tanh(), Linear(16, 3, rng)), SoftmaxCrossEntropy()
    optimizer = make(network.params, rate=0.3 if make is SGD else 0.01)
    losses = []
    for _ in range(100):
        losses.append(loss.forward(network.forward(x), targets))
        network.zero_grads()
        network.backward(loss.backward())
        optimizer.step(network.grads)
    assert losses[-1] < 0.6 * losses[0]


PEERS: dict[str, Callable[..., torch.Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_uniform": partial(nn.init.kaiming_uniform_, nonlinearity="relu"),
    "kaiming_normal": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
}


@pytest.mark.parametrize("shape", [(200, 300), (60, 40, 5), (40, 30, 3, 7)])
@pytest.mark.parametrize("name", PEERS)
def test_initial_weights_are_distributed_as_those_of_torch(name: str, shape: tuple[int, ...]) -> None:
    weight = getattr(initialisation, name)(np.random.default_rng(22), shape)
    generator = torch.Generator().manual_seed(22)
    peer = PEERS[name](torch.empty(shape, dtype=torch.float64), generator=generator).numpy()
    assert weight.shape == shape
    assert abs(weight.mean()) < 0.05 * weight.std()
    assert weight.std() == pytest.approx(peer.std(), rel=0.03)
    for q in (0.01, 0.25, 0.75, 0.99):
        assert np.quantile(weight, q) == pytest.approx(np.quantile(peer, q), abs=0.1 * peer.std())
    if "uniform" in name:
        assert np.abs(weight).max() == pytest.approx(np.abs(peer).max(), rel=0.01)


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
def test_orthogonal_weights(shape: tuple[int, int]) -> None:
    weight = initialisation.orthogonal(np.random.default_rng(23), shape)
    gram = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    assert weight.shape == shape
    np.testing.assert_allclose(gram, np.eye(min(shape)), rtol=0, atol=1e-12)


def test_gradient_check_of_a_whole_ctc_network_and_of_a_bug() -> None:
    rng = np.random.default_rng(24)
    x, lengths, labels = rng.normal(size=(2, 9, 3)), np.array([9, 6]), [[1, 1, 2], [3]]
    rnn, pyramid = Bidirectional(GRUCell(6, 2, rng), GRUCell(6, 2, rng)), PyramidStep()
    output = Linear(4, 4, rng)

    def forward() -> tuple[float, np.ndarray]:
        joined, halved = pyramid.forward(x, lengths)
        losses, d_logits = ctc_loss_batch(
            output.forward(rnn.forward(joined, halved)), halved.tolist(), labels
        )
        return float(losses.sum()), d_logits

    _, d_logits = forward()
    dx = pyramid.backward(rnn.backward(output.backward(d_logits)))

    def loss() -> float:
        return forward()[0]

    assert gradient_error(loss, x, dx) < 1e-8
    for layer in (rnn, output):
        for name, param in layer.params.items():
            assert np.abs(layer.grads[name]).max() > 1e-3
            assert gradient_error(loss, param, layer.grads[name]) < 1e-8

    assert gradient_error(loss, x, 1.01 * dx) > 1e-4
    assert gradient_error(loss, output.params["bias"], -output.grads["bias"]) > math.sqrt(1e-4)
