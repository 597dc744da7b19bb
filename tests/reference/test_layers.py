"""Every layer agrees with torch: forward, backward and over 20 updates."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.torch_peer import agree_while_training, close, same_names
from torch import nn

from asrkit.learning.models.encoders.pyramid import join_pairs
from asrkit.reference.attention import MultiHeadAttention, masked_softmax, sinusoidal_positions
from asrkit.reference.convolution import Conv1d, Conv2d, MaxPool, MeanPool
from asrkit.reference.layer import Sequential, UnaryLayer
from asrkit.reference.layers import GELU, Dropout, Linear, ReLU, Sigmoid, Tanh
from asrkit.reference.masks import causal_mask, padding_mask
from asrkit.reference.normalisation import BatchNorm, LayerNorm
from asrkit.reference.pyramid import PyramidStep
from asrkit.reference.recurrent import Bidirectional, Cell, GRUCell, LSTMCell, RNNCell, Unrolled
from asrkit.reference.softmax import SoftmaxCrossEntropy, log_softmax, softmax

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 5)


def drawn(examples: int = 10) -> settings:
    """Settings: the same `examples` shapes each time."""
    return settings(derandomize=True, deadline=None, max_examples=examples, database=None)


def agree(layer: UnaryLayer, module: nn.Module, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """`agree_while_training` for one input of a fixed shape."""
    agree_while_training(
        layer, module, same_names(module), lambda: (rng.normal(size=shape),), layer.forward, module, rng
    )


@drawn()
@given(SEEDS, st.lists(SIZES, min_size=1, max_size=3), SIZES, SIZES)
def test_linear(seed: int, leading: list[int], inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(seed)
    agree(Linear(inputs, outputs, rng), nn.Linear(inputs, outputs), (*leading, inputs), rng)


@pytest.mark.parametrize(
    ("layer", "module"),
    [(ReLU(), nn.ReLU()), (Sigmoid(), nn.Sigmoid()), (Tanh(), nn.Tanh()), (GELU(), nn.GELU())],
    ids=lambda part: type(part).__name__,
)
@drawn(5)
@given(seed=SEEDS, shape=st.lists(SIZES, min_size=1, max_size=4))
def test_activations(layer: UnaryLayer, module: nn.Module, seed: int, shape: list[int]) -> None:
    rng = np.random.default_rng(seed)
    agree_while_training(
        layer, module, {}, lambda: (rng.normal(scale=5.0, size=shape),), layer.forward, module, rng
    )


def test_activations_far_out() -> None:
    x = np.array([-1e4, -40.0, -0.0, 0.0, 40.0, 1e4])
    for layer, function in (
        (ReLU(), F.relu),
        (Sigmoid(), torch.sigmoid),
        (Tanh(), torch.tanh),
        (GELU(), F.gelu),
    ):
        leaf = torch.tensor(x, requires_grad=True)
        with np.errstate(over="raise", invalid="raise"):
            close(layer.forward(x), function(leaf))
            dx = layer.backward(np.ones(6))
        function(leaf).sum().backward()
        close(dx, leaf.grad)


@drawn()
@given(SEEDS, st.integers(1, 8), st.integers(1, 6))
def test_softmax_cross_entropy(seed: int, examples: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    x, targets = rng.normal(scale=30.0, size=(examples, classes)), rng.integers(classes, size=examples)
    leaf = torch.tensor(x, requires_grad=True)
    close(softmax(x), leaf.softmax(-1))
    close(log_softmax(x), leaf.log_softmax(-1))
    loss = SoftmaxCrossEntropy()
    torch_loss = F.cross_entropy(leaf, torch.from_numpy(targets))
    assert loss.forward(x, targets) == pytest.approx(torch_loss.item(), abs=1e-10)
    torch_loss.backward()
    close(loss.backward(), leaf.grad)


@drawn()
@given(SEEDS, st.lists(SIZES, min_size=1, max_size=3), st.integers(2, 6))
def test_layer_norm(seed: int, leading: list[int], width: int) -> None:
    rng = np.random.default_rng(seed)
    agree(LayerNorm(width), nn.LayerNorm(width), (*leading, width), rng)


@drawn()
@given(SEEDS, st.integers(2, 5), SIZES, st.lists(SIZES, max_size=2))
def test_batch_norm(seed: int, batch: int, channels: int, spatial: list[int]) -> None:
    rng = np.random.default_rng(seed)
    layer = BatchNorm(channels)
    module = (nn.BatchNorm2d if len(spatial) == 2 else nn.BatchNorm1d)(channels)
    for training in (True, False):  # the second time with the running averages that the first has left
        layer.train(training)
        module.train(training)
        agree(layer, module, (batch, channels, *spatial), rng)
        close(layer.running_mean, module.running_mean)
        close(layer.running_variance, module.running_var)


@drawn(5)
@given(SEEDS, st.lists(SIZES, min_size=1, max_size=3), st.sampled_from([0.0, 0.1, 0.5]))
def test_dropout(seed: int, shape: list[int], p: float) -> None:
    x, dy = np.random.default_rng(seed).normal(size=(2, *shape))
    layer = Dropout(p, np.random.default_rng(seed))
    kept = np.random.default_rng(seed).random(shape) >= p
    np.testing.assert_allclose(layer.forward(x), np.where(kept, x / (1 - p), 0.0))
    np.testing.assert_allclose(layer.backward(dy), np.where(kept, dy / (1 - p), 0.0))
    layer.train(False)
    np.testing.assert_array_equal(layer.forward(x), x)
    np.testing.assert_array_equal(layer.backward(dy), dy)


def test_dropout_keeps_the_mean() -> None:
    y = Dropout(0.3, np.random.default_rng(0)).forward(np.ones(100_000))
    assert y.mean() == pytest.approx(1.0, abs=0.01)
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.01)


@drawn()
@given(SEEDS, SIZES, SIZES, SIZES, st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.integers(0, 5))
def test_conv1d(
    seed: int, batch: int, inputs: int, outputs: int, kernel: int, stride: int, padding: int, more: int
) -> None:
    rng = np.random.default_rng(seed)
    layer = Conv1d(inputs, outputs, kernel, rng, stride, padding)
    agree(layer, nn.Conv1d(inputs, outputs, kernel, stride, padding), (batch, inputs, kernel + more), rng)


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@drawn()
@given(SEEDS, SIZES, SIZES, PAIRS, PAIRS, st.tuples(st.integers(0, 2), st.integers(0, 2)), PAIRS)
def test_conv2d(
    seed: int,
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    more: tuple[int, int],
) -> None:
    rng = np.random.default_rng(seed)
    layer = Conv2d(inputs, outputs, kernel, rng, stride, padding)
    module = nn.Conv2d(inputs, outputs, kernel, stride, padding)
    agree(layer, module, (2, inputs, kernel[0] + more[0], kernel[1] + more[1]), rng)


@drawn()
@given(SEEDS, SIZES, st.lists(st.tuples(*[st.integers(1, 3)] * 3), min_size=1, max_size=2))
def test_pooling(seed: int, channels: int, sizes: list[tuple[int, int, int]]) -> None:
    rng = np.random.default_rng(seed)
    kernel, stride, more = zip(*sizes, strict=True)
    shape = (2, channels, *np.add(kernel, more))
    one = len(kernel) == 1
    peers = {MaxPool: nn.MaxPool1d if one else nn.MaxPool2d, MeanPool: nn.AvgPool1d if one else nn.AvgPool2d}
    for pool, peer in peers.items():
        layer, module = pool(kernel, stride), peer(kernel, stride)
        for least in (-np.inf, 0.0):  # after ReLU there are ties, between zeros

            def draw(least: float = least) -> tuple[np.ndarray, ...]:
                return (np.maximum(rng.normal(size=shape), least),)

            agree_while_training(layer, module, {}, draw, layer.forward, module, rng)


CELLS = [(RNNCell, nn.RNN), (GRUCell, nn.GRU), (LSTMCell, nn.LSTM)]
LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=4)


def torch_recurrent(
    module: nn.Module, lengths: np.ndarray, frames: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Run a recurrent module of torch over packed sequences."""

    def run(x: torch.Tensor) -> torch.Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            x, torch.from_numpy(lengths), batch_first=True, enforce_sorted=False
        )
        y, _ = nn.utils.rnn.pad_packed_sequence(module(packed)[0], batch_first=True, total_length=frames)
        return y

    return run


@pytest.mark.parametrize(("cell", "peer"), CELLS, ids=["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["ahead", "bidirectional"])
@drawn(5)
@given(seed=SEEDS, lengths=LENGTHS, inputs=SIZES, hidden=SIZES, padding=st.integers(0, 2))
def test_recurrent(
    cell: type[Cell],
    peer: type[nn.Module],
    bidirectional: bool,
    seed: int,
    lengths: list[int],
    inputs: int,
    hidden: int,
    padding: int,
) -> None:
    rng = np.random.default_rng(seed)
    lens, frames = np.array(lengths), max(lengths) + padding
    ahead, back = cell(inputs, hidden, rng), cell(inputs, hidden, rng)
    layer = Bidirectional(ahead, back) if bidirectional else Unrolled(ahead)
    module = peer(inputs, hidden, batch_first=True, bidirectional=bidirectional)
    suffixes = {"ahead.": "_l0", "back.": "_l0_reverse", "cell.": "_l0"}
    indices = {
        name: (name.split(".")[1] + suffixes[name.split(".")[0] + "."], slice(None)) for name in layer.params
    }
    agree_while_training(
        layer,
        module,
        indices,
        lambda: (rng.normal(size=(len(lengths), frames, inputs)),),
        lambda x: layer.forward(x, lens),
        torch_recurrent(module, lens, frames),
        rng,
    )


@drawn()
@given(SEEDS, LENGTHS, SIZES, st.integers(0, 2))
def test_pyramid_step_is_that_of_the_encoder(seed: int, lengths: list[int], width: int, padding: int) -> None:
    rng = np.random.default_rng(seed)
    lens = np.array(lengths)
    x = rng.normal(size=(len(lengths), max(lengths) + padding, width))
    leaf = torch.tensor(x, requires_grad=True)
    layer = PyramidStep()
    y, halved = layer.forward(x, lens)
    torch_y, torch_halved = join_pairs(leaf, torch.from_numpy(lens))
    close(y, torch_y)
    close(halved, torch_halved)
    dy = rng.normal(size=y.shape)
    torch_y.backward(torch.from_numpy(dy))
    close(layer.backward(dy), leaf.grad)


@drawn()
@given(SEEDS, LENGTHS, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_multi_head_attention(
    seed: int, lengths: list[int], queries: int, heads: int, head_width: int, causal: bool
) -> None:
    rng = np.random.default_rng(seed)
    width, keys = heads * head_width, max(lengths)
    mask = padding_mask(np.array(lengths), keys)[:, None]
    attn_mask = None
    if causal:
        queries = keys
        mask = mask & causal_mask(keys)
        attn_mask = torch.ones(keys, keys).triu(1).bool()
    layer = MultiHeadAttention(width, heads, rng)
    module = nn.MultiheadAttention(width, heads, batch_first=True)
    indices = {
        "output.weight": ("out_proj.weight", slice(None)),
        "output.bias": ("out_proj.bias", slice(None)),
    }
    for i, part in enumerate(("query", "key", "value")):
        indices[f"{part}.weight"] = ("in_proj_weight", slice(i * width, (i + 1) * width))
        indices[f"{part}.bias"] = ("in_proj_bias", slice(i * width, (i + 1) * width))
    padded = torch.arange(keys) >= torch.tensor(lengths)[:, None]
    agree_while_training(
        layer,
        module,
        indices,
        lambda: tuple(rng.normal(size=(len(lengths), size, width)) for size in (queries, keys, keys)),
        lambda query, key, value: layer.forward(query, key, value, mask),
        lambda *inputs: module(*inputs, key_padding_mask=padded, attn_mask=attn_mask, need_weights=False)[0],
        rng,
    )


def test_a_query_that_may_look_nowhere_gets_zeros() -> None:
    scores = np.array([[1.0, 2.0], [3.0, 4.0]])
    with np.errstate(all="raise"):
        weights = masked_softmax(scores, np.array([[False, False], [True, False]]))
    np.testing.assert_array_equal(weights, [[0.0, 0.0], [1.0, 0.0]])


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 5 does not divide into 2 heads"):
        MultiHeadAttention(5, 2, np.random.default_rng(0))


def test_sinusoidal_positions() -> None:
    positions = sinusoidal_positions(50, 6)
    for t in (0, 1, 49):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            assert positions[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-10)
            assert positions[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-10)
    with pytest.raises(ValueError, match="even width"):
        sinusoidal_positions(3, 5)


@drawn(5)
@given(SEEDS, SIZES, st.integers(4, 8))  # normalising two nearly equal values would blow up rounding
def test_layers_in_sequence(seed: int, inputs: int, hidden: int) -> None:
    rng = np.random.default_rng(seed)
    layer = Sequential(Linear(inputs, hidden, rng), LayerNorm(hidden), GELU(), Linear(hidden, 3, rng))
    module = nn.Sequential(nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, 3))
    agree(layer, module, (4, inputs), rng)


def test_evaluation_reaches_every_layer_in_sequence() -> None:
    layer = Sequential(Sequential(Dropout(0.9, np.random.default_rng(0))), Tanh())
    layer.train(False)
    np.testing.assert_array_equal(layer.forward(np.ones(20)), np.tanh(np.ones(20)))
