"""Attention and attention decoders against the reference: the same weights, put together again in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from asrkit.config import (
    ConformerConfig,
    DecodeConfig,
    LstmDecoderConfig,
    ModelConfig,
    PyramidConfig,
    TdnnConfig,
    TransformerConfig,
    TransformerDecoderConfig,
)
from asrkit.learning.models.asr import AsrModel
from asrkit.learning.models.attention import CrossAttention, SelfAttention
from asrkit.learning.models.decoders.lstm import LstmDecoder
from asrkit.learning.models.decoders.transformer import TransformerDecoder
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.models.encoders.tdnn import TdnnEncoder
from asrkit.learning.models.encoders.transformer import ConformerEncoder, TransformerEncoder
from asrkit.learning.padding import valid_mask
from asrkit.learning.torch_acoustics import TorchEncoded
from asrkit.recognition.decoding import MAKERS, Resources
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.language_model import LanguageModel
from asrkit.recognition.ngram.model import estimate
from asrkit.recognition.text.tokenizer import CharTokenizer
from asrkit.reference import brute_force
from asrkit.reference.attention import MultiHeadAttention, masked_softmax, sinusoidal_positions
from asrkit.reference.convolution import Conv1d
from asrkit.reference.joint import joint_beam_search, joint_score
from asrkit.reference.layers import Linear, sigmoid
from asrkit.reference.masks import causal_mask, padding_mask
from asrkit.reference.normalisation import LayerNorm
from asrkit.reference.notation import Tokens
from asrkit.reference.recurrent import LSTMCell, Unrolled
from asrkit.reference.softmax import log_softmax

DOUBLE, SINGLE = 1e-9, 1e-5
RNG = np.random.default_rng(0)
LENS = np.array([7, 4, 1])


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    torch.manual_seed(1)
    with torch.no_grad():
        yield


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(list(shape)).normal(size=shape)


def tensor(x: np.ndarray) -> Tensor:
    return torch.from_numpy(x)


def close(actual: Tensor, expected: np.ndarray, tolerance: float) -> None:
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


# ---- the parts, with weights copied from torch


def array(weights: Tensor) -> np.ndarray:
    return weights.double().numpy()


def linear(module: Any) -> Linear:
    return linear_of(module.weight, module.bias)


def linear_of(weight: Tensor, bias: Tensor | None) -> Linear:
    copy = Linear(weight.shape[1], weight.shape[0], RNG)
    copy.params["weight"] = array(weight)
    if bias is not None:
        copy.params["bias"] = array(bias)
    return copy


def norm(module: Any) -> LayerNorm:
    copy = LayerNorm(len(module.weight))
    copy.params |= {"weight": array(module.weight), "bias": array(module.bias)}
    return copy


def lstm_cell(weights: dict[str, Tensor]) -> LSTMCell:
    """From the names of nn.LSTMCell, or those of the first layer of nn.LSTM."""
    named = {name.removesuffix("_l0"): array(tensor) for name, tensor in weights.items()}
    copy = LSTMCell(named["weight_ih"].shape[1], named["weight_hh"].shape[1], RNG)
    copy.params |= named
    return copy


def self_attention(module: SelfAttention) -> MultiHeadAttention:
    dim = module.out.in_features
    copy = MultiHeadAttention(dim, module.heads, RNG)
    weights, biases = module.project.weight.split(dim), module.project.bias.split(dim)
    copy.query, copy.key, copy.value = (linear_of(w, b) for w, b in zip(weights, biases, strict=True))
    copy.output = linear(module.out)
    return copy


def cross_attention(module: CrossAttention) -> MultiHeadAttention:
    dim = module.out.in_features
    copy = MultiHeadAttention(dim, module.heads, RNG)
    weights, biases = module.memory.weight.split(dim), module.memory.bias.split(dim)
    copy.key, copy.value = (linear_of(w, b) for w, b in zip(weights, biases, strict=True))
    copy.query, copy.output = linear(module.query), linear(module.out)
    return copy


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def feed_forward(module: Any, x: np.ndarray) -> np.ndarray:
    return linear(module.narrow).forward(silu(linear(module.wide).forward(x)))


def convolution_module(module: Any, x: np.ndarray, lens: np.ndarray) -> np.ndarray:
    """Gulati et al. 2020, section 2.2, with layer norm; one channel after the other."""
    wide, gate = np.split(linear(module.widen).forward(x), 2, axis=-1)
    y = wide * sigmoid(gate) * padding_mask(lens, x.shape[1])[..., None]
    kernel, bias = array(module.depthwise.weight), array(module.depthwise.bias)
    filtered = np.empty_like(y)
    for channel in range(y.shape[2]):
        single = Conv1d(1, 1, kernel.shape[2], RNG, padding=kernel.shape[2] // 2)
        single.params |= {"weight": kernel[channel : channel + 1], "bias": bias[channel : channel + 1]}
        filtered[..., channel] = single.forward(y[:, None, :, channel])[:, 0]
    return linear(module.out).forward(silu(norm(module.norm).forward(filtered)))


# ---- attention


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, DOUBLE), (torch.float32, SINGLE)])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_self_attention(heads: int, dtype: torch.dtype, tolerance: float) -> None:
    module, x = SelfAttention(8, heads).to(dtype), noise(3, 7, 8)
    copy, given = self_attention(module), tensor(x).to(dtype)
    mask = padding_mask(LENS, 7)
    actual = module(given, tensor(mask))
    for row, length in enumerate(LENS):
        close(actual[row], copy.forward(x, x, x, mask[:, None])[row], tolerance)
        alone = x[row : row + 1, :length]
        close(actual[row : row + 1, :length], copy.forward(alone, alone, alone, np.array(True)), tolerance)
    ahead = copy.forward(x, x, x, causal_mask(7))
    close(module(given), ahead, tolerance)
    past = None
    for place in range(7):
        y, past = module.step(given[:, place : place + 1], past)
        close(y[:, 0], ahead[:, place], tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, DOUBLE), (torch.float32, SINGLE)])
def test_cross_attention(dtype: torch.dtype, tolerance: float) -> None:
    module = CrossAttention(8, 2, 5).to(dtype)
    copy, x, memory, mask = cross_attention(module), noise(3, 6, 8), noise(3, 7, 5), padding_mask(LENS, 7)
    remembered = module.remember(tensor(memory).to(dtype))
    actual = module(tensor(x).to(dtype), remembered, tensor(mask))
    close(actual, copy.forward(x, memory, memory, mask[:, None]), tolerance)
    weights = module.weights(tensor(x).to(dtype), remembered, tensor(mask))
    close(weights, copy.attention.weights, SINGLE)
    single = module(tensor(x).to(dtype), module.remember(tensor(memory[:1]).to(dtype)), None)
    shared = np.broadcast_to(memory[:1], memory.shape)
    close(single, copy.forward(x, shared, shared, np.array(True)), tolerance)


def rotated(x: np.ndarray) -> np.ndarray:
    """Su et al. 2021, equation 34, as turns of complex numbers."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[-2])[:, None] * 10000.0 ** (-np.arange(half) / half)
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def test_rotary_self_attention() -> None:
    module, x = SelfAttention(8, 2, rotary=True), noise(3, 7, 8)
    copy, mask = self_attention(module), padding_mask(LENS, 7)
    q, k = (rotated(copy.split(part.forward(x))) for part in (copy.query, copy.key))
    attended = copy.attention.forward(q, k, copy.split(copy.value.forward(x)), mask[:, None, None])
    close(module(tensor(x).float(), tensor(mask)), copy.output.forward(copy.join(attended)), SINGLE)
    ahead = copy.attention.forward(q, k, copy.split(copy.value.forward(x)), causal_mask(7))
    past = None
    for place in range(7):
        y, past = module.step(tensor(x).float()[:, place : place + 1], past)
        close(y[:, 0], copy.output.forward(copy.join(ahead))[:, place], SINGLE)


# ---- encoders


def encoder_numpy(encoder: Any, feats: np.ndarray, lens: np.ndarray) -> np.ndarray:
    """An encoder of stacked frames and sinusoidal positions."""
    factor = encoder.subsample.factor
    x = np.where(padding_mask(lens, feats.shape[1])[..., None], feats, 0.0)
    x = np.pad(x, ((0, 0), (0, -feats.shape[1] % factor), (0, 0)))
    x = linear(encoder.subsample.project).forward(x.reshape(len(x), -1, factor * feats.shape[2]))
    lens = -(-lens // factor)
    positions = sinusoidal_positions(x.shape[1], x.shape[2])
    x = x + np.concatenate([positions[:, ::2], positions[:, 1::2]], axis=1)
    if encoder.halved:
        first = len(encoder.blocks) - 1 - encoder.halved
        x = blocks_numpy(encoder.blocks[:first], x, lens)
        pairs = np.where(padding_mask(lens, x.shape[1])[..., None], x, 0.0)
        pairs = np.pad(pairs, ((0, 0), (0, x.shape[1] % 2), (0, 0)))
        pairs = np.concatenate([pairs[:, ::2], pairs[:, 1::2]], axis=-1)
        y = blocks_numpy(encoder.blocks[first:-1], linear(encoder.join.project).forward(pairs), -(-lens // 2))
        parted = np.stack(np.split(linear(encoder.part).forward(y), 2, axis=-1), axis=2)
        x = x + parted.reshape(len(x), -1, x.shape[2])[:, : x.shape[1]]
        x = blocks_numpy(encoder.blocks[-1:], x, lens)
    else:
        x = blocks_numpy(encoder.blocks, x, lens)
    return norm(encoder.norm).forward(x) * padding_mask(lens, x.shape[1])[..., None]


def blocks_numpy(blocks: Any, x: np.ndarray, lens: np.ndarray) -> np.ndarray:
    mask = padding_mask(lens, x.shape[1])
    for block in blocks:
        conformer = hasattr(block, "convolve")
        if conformer:
            x = x + 0.5 * feed_forward(block.first.module, norm(block.first.norm).forward(x))
        y = norm(block.attend.norm).forward(x)
        x = x + self_attention(block.attend.module).forward(y, y, y, mask[:, None])
        if conformer:
            y = norm(block.convolve.norm).forward(x)
            x = x + convolution_module(block.convolve.module, y, lens)
        y = feed_forward(block.feed.module, norm(block.feed.norm).forward(x))
        x = norm(block.norm).forward(x + 0.5 * y) if conformer else x + y
    return x


def neighbours(module: Any, x: np.ndarray) -> np.ndarray:
    """A product that sees a frame and the one before, as a convolution; one more frame than in x [T, D]."""
    weight = array(module.weight)
    copy = Conv1d(x.shape[1], len(weight), 2, RNG, padding=1)
    copy.params |= {"weight": np.stack(np.split(weight, 2, axis=1), axis=2), "bias": array(module.bias)}
    return copy.forward(x.T[None])[0].T


def test_tdnn_is_two_convolutions_a_layer() -> None:
    config = TdnnConfig(subsampling="stack", factor=2, dim=6, hidden=10, layers=3, dropout=0.0)
    encoder: Any = TdnnEncoder(config, 4).double().eval()
    feats, lens = noise(3, 14, 4), np.array([14, 8, 2])
    actual, found_lens = encoder(tensor(feats), tensor(lens))
    assert found_lens.tolist() == LENS.tolist()
    for row, length in enumerate(LENS):
        x = linear(encoder.subsample.project).forward(feats[row, : 2 * length].reshape(length, 8))
        for layer in encoder.layers:
            inside = np.maximum(neighbours(layer.module.wide, norm(layer.norm).forward(x))[:-1], 0)
            x = x + neighbours(layer.module.narrow, inside)[1:]
        close(actual[row, :length], norm(encoder.norm).forward(x), DOUBLE)
    assert not actual[1, 4:].any()


@pytest.mark.parametrize("halved", [0, 1, 2])
@pytest.mark.parametrize("kind", ["transformer", "conformer"])
def test_encoders(kind: str, halved: int) -> None:
    shape = {"dim": 8, "layers": 3, "halved": halved, "heads": 2, "ff": 12, "dropout": 0.0}
    form = {"subsampling": "stack", "factor": 3, "positions": "sinusoidal"}
    if kind == "conformer":
        encoder: Any = ConformerEncoder(ConformerConfig(**shape, **form, kernel=5), 4)  # type: ignore[arg-type]
    else:
        encoder = TransformerEncoder(TransformerConfig(**shape, **form), 4)  # type: ignore[arg-type]
    feats, lens = noise(3, 20, 4), np.array([20, 11, 4])
    expected = encoder_numpy(encoder, feats, lens)
    actual, found_lens = encoder.eval()(tensor(feats).float(), tensor(lens))
    assert found_lens.tolist() == [7, 4, 2]
    close(actual, expected, SINGLE)
    # The positions are of single precision.
    close(encoder.double()(tensor(feats), tensor(lens))[0], expected, 1e-6)


# ---- decoders


def transformer_numpy(
    decoder: Any, tokens: np.ndarray, memory: np.ndarray | None, lens: np.ndarray
) -> np.ndarray:
    """Logits f64[B, U, V]."""
    x = array(decoder.embed.weight)[tokens]
    count = x.shape[1]
    if decoder.absolute:
        positions = sinusoidal_positions(count, x.shape[2])
        x = x + np.concatenate([positions[:, ::2], positions[:, 1::2]], axis=1)
    for layer in decoder.layers:
        x = decoder_layer_numpy(layer, x, memory, lens)
    return linear(decoder.out).forward(norm(decoder.norm).forward(x))


def decoder_layer_numpy(layer: Any, x: np.ndarray, memory: np.ndarray | None, lens: np.ndarray) -> np.ndarray:
    y, past = norm(layer.look_back.norm).forward(x), layer.look_back.module
    if isinstance(past, SelfAttention):
        x = x + self_attention(past).forward(y, y, y, causal_mask(x.shape[1]))
    else:
        cell = Unrolled(lstm_cell(past.lstm.state_dict()))
        x = x + cell.forward(y, np.full(len(x), x.shape[1]))
    if memory is not None:
        y, mask = norm(layer.attend.norm).forward(x), padding_mask(lens, memory.shape[1])
        x = x + cross_attention(layer.attend.module).forward(y, memory, memory, mask[:, None])
    return x + feed_forward(layer.feed.module, norm(layer.feed.norm).forward(x))


WRITER = TransformerDecoderConfig(dim=8, layers=2, heads=2, ff=12, dropout=0.0)


@pytest.mark.parametrize("look_back", ["attention", "lstm"])
def test_transformer_decoder_and_one_layer_of_it(look_back: str) -> None:
    decoder = TransformerDecoder(replace(WRITER, look_back=look_back), 9, 5).eval()
    memory, tokens = noise(3, 7, 5), np.random.default_rng(3).integers(9, size=(3, 6))
    x, mask = noise(3, 6, 8), padding_mask(LENS, 7)
    expected = transformer_numpy(decoder, tokens, memory, LENS)
    encoded = Encoded(tensor(memory).float(), tensor(LENS))
    close(decoder(tensor(tokens), encoded), expected, SINGLE)
    close(decoder(tensor(tokens)), transformer_numpy(decoder, tokens, None, LENS), SINGLE)
    for dtype, tolerance in ((torch.float32, SINGLE), (torch.float64, DOUBLE)):
        layer: Any = decoder.to(dtype).layers[1]
        remembered = layer.remember(encoded._replace(out=tensor(memory).to(dtype)))
        actual = layer(tensor(x).to(dtype), remembered, tensor(mask))
        close(actual, decoder_layer_numpy(layer, x, memory, LENS), tolerance)


class SpellerNumpy:
    """The LSTM decoder, one token after the other."""

    def __init__(self, decoder: Any, memory: np.ndarray, lens: np.ndarray) -> None:
        self.decoder, self.memory, self.valid = decoder, memory, padding_mask(lens, memory.shape[1])
        self.attention, self.heads = decoder.attention, decoder.attention.heads
        self.cells = [lstm_cell(cell.state_dict()) for cell in decoder.cells]
        self.states = [cell.start(len(memory)) for cell in self.cells]
        self.context = np.zeros((len(memory), memory.shape[2]))
        even = self.valid / self.valid.sum(axis=1, keepdims=True)
        self.weights = np.repeat(even[:, None], self.heads, axis=1)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Token ids [B] -> logits [B, V]."""
        x = array(self.decoder.embed.weight)[tokens]
        if self.decoder.config.input_feeding:
            x = np.concatenate([x, self.context], axis=1)
        for n, cell in enumerate(self.cells):
            self.states[n], _ = cell.forward(x, self.states[n])
            x = self.states[n][0]
        self.weights = masked_softmax(self.energies(x), self.valid[:, None])
        seen = self.weights @ self.memory
        self.context = (
            seen[:, 0]
            if self.heads == 1
            else linear(self.attention.mix).forward(
                np.concatenate([seen[:, head] for head in range(self.heads)], axis=1)
            )
        )
        wide = linear(self.decoder.wide).forward(np.concatenate([x, self.context], axis=1))
        return linear(self.decoder.out).forward(silu(wide))

    def energies(self, x: np.ndarray) -> np.ndarray:
        """[B, H, T']; Bahdanau et al. 2015, appendix A.1.2; Chorowski et al. 2015, equations 8 and 9."""
        kind, width = self.attention.kind, x.shape[1] // self.heads
        q, k = linear(self.attention.query).forward(x), linear(self.attention.key).forward(self.memory)
        actual = np.empty(self.weights.shape)
        for head in range(self.heads):
            part = slice(head * width, (head + 1) * width)
            if kind == "dot":
                actual[:, head] = np.einsum("bd,btd->bt", q[:, part], k[..., part]) / np.sqrt(width)
                continue
            summed = q[:, None, part] + k[..., part]
            if kind == "location":
                kernel = array(self.attention.filter.weight)
                layer = Conv1d(1, len(kernel), kernel.shape[2], RNG, padding=kernel.shape[2] // 2)
                layer.params["weight"] = kernel
                filtered = layer.forward(self.weights[:, head : head + 1]).swapaxes(1, 2)
                summed = summed + filtered @ array(self.attention.seen.weight).T
            actual[:, head] = np.tanh(summed) @ array(self.attention.energy)[head]
        return actual


SPELLER = LstmDecoderConfig(embed=6, hidden=8, dropout=0.0)


@pytest.mark.parametrize("change", [{}, {"heads": 2}, {"layers": 2}, {"input_feeding": False}], ids=str)
@pytest.mark.parametrize("kind", ["dot", "additive", "location"])
def test_lstm_decoder_step_by_step(kind: str, change: dict[str, Any]) -> None:
    decoder = LstmDecoder(replace(SPELLER, attention=kind, **change), 9, 5).eval()
    memory, tokens = 3 * noise(3, 7, 5), np.random.default_rng(3).integers(9, size=(3, 6))
    copy = SpellerNumpy(decoder, memory, LENS)
    state = decoder.start(Encoded(tensor(memory).float(), tensor(LENS)))
    for place in range(6):
        logits, state = decoder.step(tensor(tokens[:, place]), state)
        close(logits, copy.step(tokens[:, place]), SINGLE)
        close(state.weights, copy.weights, SINGLE)
        close(state.context, copy.context, SINGLE)
    assert not np.allclose(copy.weights[0], copy.weights[0].mean(), atol=0.01), "it looks somewhere"


# ---- joint decoding

TOKENIZER = CharTokenizer("char", ["A", "B"])  # blank, <unk>, A, B, <sos/eos>
EVERYTHING = 10_000


def joint_model(kind: str) -> AsrModel:
    """A model with the posteriors of one that knows something."""
    shape = PyramidConfig(embed_channels=0, hidden=5, layers=2, dropout=0.0)
    writer = replace(WRITER, look_back="lstm") if kind == "look back" else WRITER
    speller = replace(SPELLER, attention=kind) if kind in ("dot", "location") else SPELLER
    model = AsrModel(
        ModelConfig(
            heads=["ctc", "attention"],
            decoder="lstm" if kind in ("dot", "location") else "transformer",
            pyramid=shape,
            transformer_decoder=writer,
            lstm_decoder=speller,
        ),
        6,
        len(TOKENIZER.tokens),
    )
    for parameter in model.parameters():
        parameter.data *= 2
    return model.eval()


def numpy_step(model: AsrModel, encoded: Encoded) -> Callable[[Tokens], np.ndarray]:
    """The attention decoder in NumPy: a prefix to log probabilities [V], without the blank."""
    memory, lens = array(encoded.out), encoded.lens.numpy()

    def step(prefix: Tokens) -> np.ndarray:
        inputs = np.array([[model.eos, *prefix]])
        if isinstance(model.decoder, TransformerDecoder):
            logits = transformer_numpy(model.decoder, inputs, memory, lens)[0, -1]
        else:
            speller = SpellerNumpy(model.decoder, memory, lens)
            logits = [speller.step(inputs[:, u])[0] for u in range(inputs.shape[1])][-1]
        return np.where(np.arange(len(logits)) == 0, -np.inf, log_softmax(logits))

    return cache(step)


def decode(
    model: AsrModel, encoded: Encoded, name: str, lm: LanguageModel | None = None, **settings: Any
) -> list[Hypothesis]:
    decoder = MAKERS[name](Resources(model, TOKENIZER, DecodeConfig(**settings), 0.01, lm=lm))
    return decoder(TorchEncoded(model, encoded))[0]


@pytest.mark.parametrize("kind", ["transformer", "look back", "dot", "location"])
def test_joint_search_is_that_of_the_reference(kind: str) -> None:
    model = joint_model(kind)
    feats, lens = torch.randn(3, 9, 6), torch.tensor([8, 5, 9])
    batch = model.encode(feats, lens)
    seen = set()
    for row in range(3):
        encoded = batch.utterance(row)
        log_probs, step = array(model.ctc_log_probs(encoded)[0][0]), numpy_step(model, encoded)
        for weight, bonus, beam in ((0.3, 0.0, 2), (0.3, 0.5, 4), (1.0, 0.0, 3), (0.6, 0.2, EVERYTHING)):
            actual = decode(
                model, encoded, "joint", ctc_weight=weight, length_bonus=bonus, beam_size=beam, nbest=2
            )
            settings: dict[str, Any] = {"end": model.eos, "ctc_weight": weight, "length_bonus": bonus}
            expected = joint_beam_search(
                log_probs, step, beam_size=beam, max_length=len(log_probs), nbest=2, **settings
            )
            assert [h.tokens for h in actual] == [h.tokens for h in expected]
            assert [h.score for h in actual] == pytest.approx([h.score for h in expected], abs=SINGLE)
            seen.add(actual[0].tokens)
            for hypothesis in actual:
                whole = joint_score(log_probs, step, hypothesis.tokens, **settings)
                assert hypothesis.score == pytest.approx(whole, abs=SINGLE)
    assert len(seen) > 1


@pytest.mark.parametrize("kind", ["transformer", "location"])
def test_rescoring_adds_what_the_reference_decoder_says(kind: str) -> None:
    model = joint_model(kind)
    words = estimate([["A", "BA"], ["AAB", "B", "BA"], ["A"]], 2)
    lm = LanguageModel("word-ngram", ngram=words)
    batch = model.encode(torch.randn(3, 9, 6), torch.tensor([8, 5, 9]))
    reordered = 0
    for row in range(3):
        encoded = batch.utterance(row)
        log_probs, step = array(model.ctc_log_probs(encoded)[0][0]), numpy_step(model, encoded)
        settings: dict[str, Any] = {"beam_size": 500, "nbest": 500, "lm_weight": 0.4, "word_bonus": 0.3}
        first = decode(model, encoded, "ctc-lexicon", lm, **settings)
        actual = decode(model, encoded, "lexicon-rescoring", lm, ctc_weight=0.2, **settings)
        assert {h.words for h in actual} == {h.words for h in first}
        assert [h.score for h in actual] == sorted((h.score for h in actual), reverse=True)
        reordered += actual[0].words != first[0].words
        for hypothesis in actual:
            assert hypothesis.words is not None
            joint = joint_score(log_probs, step, hypothesis.tokens, end=model.eos, ctc_weight=0.2)
            grammar = words.log_prob([word for word, *_ in hypothesis.words])
            whole = joint + 0.4 * grammar + 0.3 * len(hypothesis.words)
            assert hypothesis.score == pytest.approx(whole, abs=1e-4)
    assert reordered


@pytest.mark.parametrize("kind", ["transformer", "look back", "dot", "location"])
def test_wide_attention_beam_finds_the_best_of_all_sequences(kind: str) -> None:
    model = joint_model(kind)
    encoded = model.encode(torch.randn(1, 9, 6), torch.tensor([9]))
    step = numpy_step(model, encoded)
    longest = 9 // 4 + 1
    ranked = brute_force.ranked_sequences(step, end=model.eos, vocabulary=model.vocab, max_length=longest)
    actual = decode(model, encoded, "attention-beam", beam_size=EVERYTHING, nbest=20)
    assert len(actual) == 20
    assert [h.tokens for h in actual] == [h.tokens for h in ranked[:20]]
    assert [h.score for h in actual] == pytest.approx([h.score for h in ranked[:20]], abs=SINGLE)


def test_masks_of_both_are_one() -> None:
    np.testing.assert_array_equal(valid_mask(tensor(LENS), 7), padding_mask(LENS, 7))
