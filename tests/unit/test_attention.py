"""Attention, subsampling, attention decoders and their losses, each against its formula or a slower way."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from asrkit.config import (
    FeatureConfig,
    LstmDecoderConfig,
    MlpConfig,
    ModelConfig,
    PyramidConfig,
    TransformerConfig,
    TransformerDecoderConfig,
)
from asrkit.learning.features.cmvn import Cmvn
from asrkit.learning.features.frontend import Frontend
from asrkit.learning.lm.neural import NeuralLm
from asrkit.learning.models.asr import AsrModel, Batch
from asrkit.learning.models.attention import SelfAttention, rotate, sinusoids, taylor_attention
from asrkit.learning.models.blocks import Branch, Dropout, FeedForward
from asrkit.learning.models.decoders import decoder_inputs, decoder_loss, decoder_targets
from asrkit.learning.models.decoders.lstm import LstmDecoder
from asrkit.learning.models.decoders.transformer import TransformerDecoder
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.models.encoders.mlp import MlpEncoder
from asrkit.learning.models.subsampling import Conv1d, Conv2d, Stack
from asrkit.learning.padding import valid_mask
from asrkit.learning.torch_acoustics import TorchEncoded, TorchTokenModel
from asrkit.recognition.align.ctc import ctc_align
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.decoding.attention import attention_greedy_search, longest, with_times
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.scorers import LoopGuard, TokenModelScorer
from asrkit.reference import convolution
from asrkit.reference.attention import sinusoidal_positions

VOCAB, WIDTH = 9, 10
SPELLER = LstmDecoderConfig(embed=6, hidden=8, scheduled_sampling=0.0, dropout=0.0)
WRITER = TransformerDecoderConfig(dim=8, layers=2, heads=2, ff=12, dropout=0.0)
SHAPES: dict[str, LstmDecoderConfig | TransformerDecoderConfig] = {
    "dot": replace(SPELLER, attention="dot", heads=2),
    "additive": replace(SPELLER, attention="additive", layers=2),
    "location": replace(SPELLER, heads=2),
    "no feeding": replace(SPELLER, input_feeding=False),
    "transformer": WRITER,
    "look back lstm": replace(WRITER, look_back="lstm"),
}


def make_decoder(shape: LstmDecoderConfig | TransformerDecoderConfig) -> Any:
    kind = LstmDecoder if isinstance(shape, LstmDecoderConfig) else TransformerDecoder
    return kind(shape, VOCAB, WIDTH)  # type: ignore[arg-type]


@pytest.fixture(params=SHAPES)
def decoder(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return make_decoder(SHAPES[request.param]).eval()


@pytest.fixture
def memory() -> Encoded:
    """Three utterances of 11, 6 and 0 frames, with noise for padding."""
    return Encoded(3 * torch.randn(3, 11, WIDTH, generator=seeded(1)), torch.tensor([11, 6, 0]))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def texts(count: int, length: int, seed: int = 2) -> Tensor:
    return torch.randint(1, VOCAB - 1, (count, length), generator=seeded(seed))


@pytest.fixture(autouse=True)
def no_gradient() -> Any:
    with torch.no_grad():
        yield


# ---- decoders


def test_token_by_token_is_all_at_once(decoder: Any, memory: Encoded) -> None:
    inputs = decoder_inputs(texts(3, 6), VOCAB - 1)
    whole, state = decoder(inputs, memory), decoder.start(memory)
    assert whole.shape == (3, 7, VOCAB) and whole.dtype == torch.float32
    for place in range(7):
        logits, state = decoder.step(inputs[:, place], state)
        torch.testing.assert_close(logits, whole[:, place], atol=1e-5, rtol=1e-5)


def test_states_go_with_their_hypotheses(decoder: Any, memory: Encoded) -> None:
    """Hypotheses that are reordered, doubled and dropped on the way are those written straight."""
    alone = memory.utterance(1)
    assert alone.out.shape[1] == 6
    inputs = decoder_inputs(texts(4, 4), VOCAB - 1)
    state = decoder.start(alone).select(torch.zeros(4, dtype=torch.int64))
    chosen = [[3, 1, 1], [2, 0, 1, 0, 2], [4, 3]]
    for place, index in enumerate(chosen):
        kept = [tensor.clone() for tensor in tensors(state)]
        _, after = decoder.step(inputs[:, place], state)
        assert all(torch.equal(a, b) for a, b in zip(kept, tensors(state), strict=True)), "changed its past"
        state = after.select(torch.tensor(index))
        inputs = inputs[index]
    logits, _ = decoder.step(inputs[:, 3], state)
    rows = Encoded(alone.out.expand(len(inputs), -1, -1), alone.lens.expand(len(inputs)))
    torch.testing.assert_close(logits, decoder(inputs, rows)[:, 3], atol=1e-5, rtol=1e-5)
    assert not torch.equal(inputs[0], inputs[1])


def tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [t for part in state for t in tensors(part)] if isinstance(state, list | tuple) else []


def test_the_future_is_not_seen(decoder: Any, memory: Encoded) -> None:
    inputs = decoder_inputs(texts(3, 6), VOCAB - 1)
    changed = inputs.clone()
    changed[:, 4:] = 1
    before, after = decoder(inputs, memory), decoder(changed, memory)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4], after[:, 4], atol=1e-3)


def test_maps_are_distributions_over_valid_frames(decoder: Any, memory: Encoded) -> None:
    maps = decoder.maps(decoder_inputs(texts(3, 5), VOCAB - 1), memory)
    heads = 2 * 2 if isinstance(decoder, TransformerDecoder) else decoder.config.heads
    assert maps.shape == (3, heads, 6, 11) and (maps >= 0).all()
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(3, heads, 6))
    assert not maps[1, :, :, 6:].any()
    assert not maps[2, :, :, 1:].any(), "without frames only the first, of padding, is looked at"


def test_memory_in_padding_is_not_read(decoder: Any, memory: Encoded) -> None:
    inputs = decoder_inputs(texts(3, 4), VOCAB - 1)
    noise = memory.out + 99 * ~valid_mask(memory.lens.clamp(min=1), 11)[..., None]
    torch.testing.assert_close(decoder(inputs, memory), decoder(inputs, memory._replace(out=noise)))
    assert not torch.allclose(decoder(inputs, memory), decoder(inputs, memory._replace(out=-memory.out)))


def test_scheduled_sampling_is_seeded_and_off_in_evaluation(memory: Encoded) -> None:
    torch.manual_seed(3)
    speller = LstmDecoder(replace(SPELLER, scheduled_sampling=1.0), VOCAB, WIDTH)
    inputs, other = (decoder_inputs(texts(3, 8, seed), VOCAB - 1) for seed in (2, 7))

    def run(tokens: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return speller(tokens, memory)

    speller.train()
    assert torch.equal(run(inputs, 1), run(inputs, 1))
    assert torch.equal(run(inputs, 1), run(other, 1)), "it only sees its own output"
    assert not torch.equal(run(inputs, 1), run(inputs, 2))
    speller.eval()
    output = run(inputs, 1)
    assert torch.equal(output, run(inputs, 2)) and not torch.equal(output, run(other, 1))
    speller.config = replace(speller.config, scheduled_sampling=0.0)
    torch.testing.assert_close(output, speller.train()(inputs, memory))


def test_inputs_and_targets_by_hand() -> None:
    tokens, lens = torch.tensor([[3, 4, 5], [6, 0, 0], [0, 0, 0]]), torch.tensor([3, 1, 0])
    assert decoder_inputs(tokens, 8).tolist() == [[8, 3, 4, 5], [8, 6, 0, 0], [8, 0, 0, 0]]
    assert decoder_targets(tokens, lens, 8).tolist() == [
        [3, 4, 5, 8],
        [6, 8, -100, -100],
        [8, -100, -100, -100],
    ]


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_label_smoothing_is_its_formula(share: float) -> None:
    logits = 3 * torch.randn(3, 4, VOCAB, generator=seeded(4))
    targets = decoder_targets(texts(3, 3), torch.tensor([3, 1, 0]), VOCAB - 1)
    log_probs = logits.double().log_softmax(dim=-1)
    expected = []
    for row in range(3):
        counted = [place for place in range(4) if targets[row, place] >= 0]
        hits = sum(float(log_probs[row, place, targets[row, place]]) for place in counted)
        spread = sum(float(log_probs[row, place].mean()) for place in counted)
        expected.append(-(1 - share) * hits - share * spread)
    assert decoder_loss(logits, targets, share).tolist() == pytest.approx(expected, rel=1e-5)


# ---- a decoder that is a language model too


def attention_model(**changes: Any) -> AsrModel:
    torch.manual_seed(5)
    shape = PyramidConfig(
        embed_channels=0, hidden=WIDTH // 2, layers=2, embed_stride=1, pyramid_layers=1, dropout=0
    )
    config: dict[str, Any] = {
        "heads": ["attention"],
        "label_smoothing": 0.0,
        "pyramid": shape,
        "transformer_decoder": WRITER,
        "lstm_decoder": SPELLER,
    }
    return AsrModel(ModelConfig(**config | changes), 6, VOCAB).eval()


def speech_batch(*frames: int) -> Batch:
    tokens = texts(len(frames), 3)
    lens = torch.arange(len(frames)).flip(0).clamp(max=3)
    tokens = tokens.masked_fill(~valid_mask(lens, 3), 0)
    feats = torch.randn(len(frames), max(frames), 6, generator=seeded(6))
    return Batch([str(n) for n in frames], feats, torch.tensor(frames), tokens, lens)


@pytest.mark.parametrize("look_back", ["attention", "lstm"])
def test_lm_share_hides_the_encoder(look_back: str) -> None:
    shape = replace(WRITER, look_back=look_back)
    model = attention_model(lm_share=1.0, transformer_decoder=shape).train()
    batch = speech_batch(12, 7)
    lm = NeuralLm(shape, VOCAB)
    missing = lm.decoder.load_state_dict(model.decoder.state_dict(), strict=False)
    assert missing.missing_keys == [] and all(".attend." in name for name in missing.unexpected_keys)
    torch.testing.assert_close(model.loss(batch).utterances, lm.loss(batch).utterances)
    with torch.enable_grad():
        model.loss(batch).total.backward()
    reached = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == {f"decoder.{name}" for name, _ in lm.decoder.named_parameters()}
    assert not torch.allclose(model.eval().loss(batch).utterances, lm.loss(batch).utterances)

    model.config = replace(model.config, lm_share=0.3)
    hidden, model = lm.loss(batch).total, model.train()
    torch.manual_seed(7)
    count = sum(torch.equal(model.loss(batch).total, hidden) for _ in range(200))
    assert 40 <= count <= 80


@pytest.mark.parametrize("kind", ["lstm", "transformer", "lm"])
def test_scores_of_a_sequence_add_up_to_its_likelihood(kind: str) -> None:
    model = attention_model(decoder="lstm" if kind == "lstm" else "transformer")
    batch = speech_batch(9, 14)
    encoded = model.encode(batch.feats, batch.feat_lens)
    decoder = NeuralLm(WRITER, VOCAB).eval().decoder if kind == "lm" else model.decoder
    for row in range(2):
        alone = None if kind == "lm" else encoded.utterance(row)
        scorer = TokenModelScorer(TorchTokenModel(decoder, VOCAB - 1, alone))
        sequences = texts(5, 4, seed=row)
        state, total = scorer.start(5), torch.zeros(5)
        for place in range(5):
            token = sequences[:, place] if place < 4 else torch.full((5,), VOCAB - 1)
            rows_scores, state = scorer.score(sequences[:, :place].numpy(), state)
            scores = torch.from_numpy(rows_scores)
            torch.testing.assert_close(scores.exp().sum(dim=1), torch.ones(5))
            total += scores[torch.arange(5), token]
            order = torch.randperm(5, generator=seeded(place))
            sequences, state, total = sequences[order], scorer.select(state, order.numpy()), total[order]
        rows = None if alone is None else Encoded(alone.out.expand(5, -1, -1), alone.lens.expand(5))
        logits = decoder(decoder_inputs(sequences, VOCAB - 1), rows)
        losses = decoder_loss(logits, decoder_targets(sequences, torch.full((5,), 4), VOCAB - 1))
        torch.testing.assert_close(total, -losses, atol=1e-4, rtol=1e-5)


# ---- greedy search, and times


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_greedy_search_ends_at_its_limit_and_never_says_blank(kind: str) -> None:
    model = attention_model(decoder=kind)
    assert model.stride == 2
    model.decoder.out.bias[0] = 99.0
    model.decoder.out.bias[model.eos] = -99.0
    batch = speech_batch(40, 17, 3, 1, 0)
    encoded = TorchEncoded(model, model.encode(batch.feats, batch.feat_lens))
    assert longest(model, encoded).tolist() == [11, 5, 2, 1, 0]
    actual = attention_greedy_search(model, encoded)
    assert [len(h.tokens) for h in actual] == [11, 5, 2, 1, 0]
    assert not {0, model.eos} & {token for h in actual for token in h.tokens}
    model.decoder.out.bias[model.eos] = 199.0
    assert [h.tokens for h in attention_greedy_search(model, encoded)] == [()] * 5


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_greedy_search_takes_the_likeliest_token_each_time(kind: str) -> None:
    model = attention_model(decoder=kind)
    for parameter in model.decoder.parameters():
        parameter *= 2  # so that tokens matter to one another
    batch = speech_batch(40, 31, 22)
    encoded = model.encode(batch.feats, batch.feat_lens)
    actual = attention_greedy_search(model, TorchEncoded(model, encoded))
    for row, hypothesis in enumerate(actual):
        written: list[int] = []
        score = 0.0
        while True:
            inputs = torch.tensor([[model.eos, *written]])
            log_probs = model.decoder(inputs, encoded.utterance(row))[0, -1].log_softmax(dim=-1)
            log_probs[0] = -math.inf
            full = len(written) == int(longest(model, TorchEncoded(model, encoded))[row])
            token = model.eos if full else int(log_probs.argmax())
            score += float(log_probs[token])
            if token == model.eos:
                break
            written.append(token)
        assert hypothesis.tokens == tuple(written)
        assert hypothesis.score == pytest.approx(score, abs=1e-4)
    assert len({h.tokens for h in actual}) > 1 and max(len(set(h.tokens)) for h in actual) > 1


@pytest.mark.parametrize("heads", [["attention"], ["attention", "ctc"]])
@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_times_and_confidences_of_given_tokens(heads: list[str], kind: str) -> None:
    model = attention_model(decoder=kind, heads=heads, ctc_frames=2)
    batch = speech_batch(40)
    encoded = model.encode(batch.feats, batch.feat_lens)
    given = [Hypothesis(tokens, -1.0) for tokens in [(1, 2, 2), (), (3,), (4,) * 30]]
    actual = with_times(model, TorchEncoded(model, encoded), given, frame_seconds=0.5)
    ctc = model.ctc_log_probs(encoded)[0][0].numpy() if "ctc" in heads else None
    for hypothesis in actual:
        tokens = torch.tensor([*hypothesis.tokens, model.eos])
        inputs = decoder_inputs(tokens[None, :-1], model.eos)
        gained = model.decoder(inputs, encoded)[0].log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
        np.testing.assert_allclose(hypothesis.token_confidence, gained[:-1].exp(), rtol=1e-4)
        assert hypothesis.confidence == pytest.approx(float(gained.mean().exp()), rel=1e-4)
        if ctc is not None and len(tokens) <= 20:
            expected = ctc_align(ctc, list(hypothesis.tokens))[0] * 0.25
        else:  # 30 equal tokens do not fit into 40 output frames
            looks = model.decoder.maps(inputs, encoded)[0].mean(dim=0)[:-1].argmax(dim=-1)
            peaks = [int(looks[: n + 1].max()) for n in range(len(looks))]
            expected = np.array([[p * 0.5, (p + 1) * 0.5] for p in peaks]).reshape(-1, 2)
        np.testing.assert_allclose(hypothesis.times, expected, atol=1e-6)


@pytest.mark.parametrize(("times", "longest_period"), [(1, 3), (2, 2), (4, 8)])
def test_loop_guard_forbids_what_enumeration_forbids(times: int, longest_period: int) -> None:
    guard = LoopGuard(3, times, longest_period)
    rng = np.random.default_rng(8)
    forbidden = 0
    for length in [*range(12), 39, 40]:
        rows = rng.integers(1, 3, size=(60, length))
        for row in rows[: 40 if length else 0]:  # loops that may be complete, or end within a period
            period = int(rng.integers(1, longest_period + 2))
            begin = max(0, length - int(rng.integers(1, (times + 1) * period + 1)))
            row[begin:] = np.resize(row[begin : begin + period], length - begin)
        scores, _ = guard.score(rows, None)
        for row, actual in zip(rows.tolist(), scores.tolist(), strict=True):
            for token in range(3):
                loops = says_again([*row, token], times + 1, longest_period)
                assert actual[token] == (-math.inf if loops else 0.0), (row, token)
                forbidden += loops
    assert forbidden > 50


def says_again(tokens: list[int], count: int, longest_period: int) -> bool:
    """Whether the last tokens are `count` times the same sequence."""
    return any(
        len(tokens) >= count * period and tokens[-count * period :] == tokens[-period:] * count
        for period in range(1, longest_period + 1)
    )


# ---- positions


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(2, 1, 3, 1, 12, generator=seeded(9)).double()
    for distance in (0, 1, 17):
        scores = [
            float((rotate(q, first=t + distance) * rotate(k, first=t)).sum()) for t in (0, 1, 40, 1000, 9000)
        ]
        assert scores == pytest.approx([scores[0]] * 5, abs=2e-3)
    assert abs(scores[0] - float((q * k).sum())) > 0.1
    x = torch.randn(2, 3, 50, 13, generator=seeded(10))
    torch.testing.assert_close(rotate(x).norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(rotate(x)[:, :, 0], x[:, :, 0])
    torch.testing.assert_close(rotate(x)[:, :, 20:], rotate(x[:, :, 20:], first=20))


def test_rotary_turns_complex_numbers() -> None:
    x = torch.randn(1, 1, 30, 8, generator=seeded(11))
    pairs = x[..., :4].numpy() + 1j * x[..., 4:].numpy()
    angles = np.arange(30)[:, None] * 10000.0 ** (-2 * np.arange(4) / 8)
    turned = pairs * np.exp(1j * angles)
    np.testing.assert_allclose(rotate(x), np.concatenate([turned.real, turned.imag], axis=-1), atol=1e-5)


@pytest.mark.parametrize("width", [2, 16, 7])
def test_sinusoids_are_their_formula(width: int) -> None:
    actual = sinusoids(60, width).numpy()
    even = sinusoidal_positions(60, width + width % 2)
    if width % 2 == 0:
        np.testing.assert_allclose(actual, np.concatenate([even[:, ::2], even[:, 1::2]], axis=1), atol=1e-5)
    assert actual.shape == (60, width)
    np.testing.assert_allclose(actual, np.hstack([sine_or_cosine(i, width) for i in range(width)]), atol=1e-5)
    np.testing.assert_allclose(sinusoids(20, width, first=40), actual[40:], atol=1e-6)


def sine_or_cosine(column: int, width: int) -> np.ndarray:
    half = (width + 1) // 2
    function, index = (np.sin, column) if column < half else (np.cos, column - half)
    return function(np.arange(60.0) / 10000 ** (2 * index / width))[:, None]


# ---- linear attention

# Mean and largest |difference| to exact attention with the same queries and keys of length 1; values have
# variance 1. `speech`: three random maps of the log-mel features of one recording.
TAYLOR = {
    ("random", 50, 16): (4.4e-3, 2.5e-2),
    ("random", 50, 32): (2.3e-3, 1.4e-2),
    ("random", 50, 64): (1.2e-3, 8.2e-3),
    ("random", 200, 16): (2.3e-3, 1.2e-2),
    ("random", 200, 32): (1.2e-3, 7.0e-3),
    ("random", 200, 64): (6.1e-4, 3.7e-3),
    ("random", 1000, 16): (1.0e-3, 5.3e-3),
    ("random", 1000, 32): (5.3e-4, 3.4e-3),
    ("random", 1000, 64): (2.7e-4, 1.7e-3),
    ("speech", 50, 16): (6.0e-3, 1.0e-1),
    ("speech", 50, 32): (3.0e-3, 6.3e-2),
    ("speech", 50, 64): (9.1e-4, 2.1e-2),
    ("speech", 200, 16): (3.4e-3, 4.3e-2),
    ("speech", 200, 32): (3.3e-3, 6.8e-2),
    ("speech", 200, 64): (7.7e-4, 1.2e-2),
    ("speech", 700, 16): (3.0e-3, 5.6e-2),
    ("speech", 700, 32): (2.4e-3, 3.8e-2),
    ("speech", 700, 64): (7.6e-4, 1.2e-2),
}


@pytest.fixture(scope="module")
def features() -> Tensor:
    """Normalised log-mel features f32[1, T, 80] of a recording."""
    wave = torch.from_numpy(read_audio(str(SENTENCES / "sense-0870.flac"), 16000))[None]
    feats, lens = Frontend(FeatureConfig())(wave, torch.tensor([wave.shape[1]]))
    return Cmvn("utterance")(feats, lens)


@pytest.mark.parametrize(("kind", "frames", "width"), TAYLOR)
def test_taylor_attention_is_near_exact_attention(
    kind: str, frames: int, width: int, features: Tensor
) -> None:
    torch.manual_seed(0)
    if kind == "random":
        q, k, v = (torch.randn(1, 4, frames, width) for _ in range(3))
    else:
        maps = [torch.randn(80, 4 * width) / 80**0.5 for _ in range(3)]
        q, k, v = ((features[:, :frames] @ m).unflatten(-1, (4, width)).transpose(1, 2) for m in maps)
    actual = taylor_attention(q, k, v, torch.ones(1, frames, dtype=torch.bool))
    scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2)
    exact = scores.softmax(dim=-1) @ v
    mean, most = TAYLOR[kind, frames, width]
    difference = (actual - exact).abs()
    assert float(difference.mean()) == pytest.approx(mean, rel=0.2)
    assert float(difference.max()) == pytest.approx(most, rel=0.2)
    assert difference.mean() < 0.2 * (exact - v.mean(dim=2, keepdim=True)).abs().mean(), "worse than a mean"
    assert (scores.exp() - (1 + scores)).abs().max() <= math.e - 2
    weights = (1 + scores) / (1 + scores).sum(dim=-1, keepdim=True)
    assert weights.min() >= 0
    torch.testing.assert_close(actual, weights @ v, atol=1e-5, rtol=1e-4)


def test_taylor_attention_leaves_padding_out() -> None:
    q, k, v = torch.randn(3, 2, 2, 9, 4, generator=seeded(12))
    valid = valid_mask(torch.tensor([9, 5]), 9)
    actual = taylor_attention(q, k, v, valid)
    alone = taylor_attention(q[1:, :, :5], k[1:, :, :5], v[1:, :, :5], valid[1:, :5])
    torch.testing.assert_close(actual[1:, :, :5], alone)


class LargestTensor(TorchDispatchMode):
    """Notes the most numbers in any tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **kwargs or {})
        self.numbers = max(self.numbers, *(t.numel() for t in tensors(made)), 0)
        return made


def test_taylor_attention_costs_as_much_as_the_length() -> None:
    layer = SelfAttention(16, 2, taylor=True)

    def cost(frames: int) -> tuple[int, int]:
        x, valid = torch.randn(1, frames, 16), torch.ones(1, frames, dtype=torch.bool)
        with FlopCounterMode(display=False) as counted, LargestTensor() as seen:
            assert layer(x, valid).isfinite().all()
        return counted.get_total_flops(), seen.numbers

    flops, numbers = cost(1000)
    assert numbers == 1000 * 3 * 16
    assert cost(10_000) == (10 * flops, 10 * numbers)
    assert cost(200_000)[1] == 200 * numbers


# ---- subsampling


def weights_of(layer: Any) -> dict[str, np.ndarray]:
    return {"weight": layer.weight.double().numpy(), "bias": layer.bias.double().numpy()}


def as_reference(layer: Any) -> Any:
    sizes: list[Any] = [layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding]
    same = convolution.Convolution(*[*sizes, np.random.default_rng(0)])
    same.params |= weights_of(layer)
    return same


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 13])
def test_subsampling_is_a_direct_computation(frames: int) -> None:
    """Against the reference's convolutions, over the valid frames alone."""
    torch.manual_seed(13)
    feats = torch.randn(2, 16, 6)
    valid = feats[1, :frames].double().numpy()

    stack = Stack(6, 5, 3)
    actual, lens = stack(feats, torch.tensor([16, frames]))
    joined = np.pad(valid, ((0, -frames % 3), (0, 0))).reshape(-1, 18)
    same(actual[1, : lens[1]], joined @ weights_of(stack.project)["weight"].T, stack.project)

    conv1d = Conv1d(6, 5, 4)
    actual, lens = conv1d(feats, torch.tensor([16, frames]))
    y = valid.T[None]
    for layer in conv1d.convs:
        y = silu(as_reference(layer).forward(y))
    same(actual[1, : lens[1]], y[0].T @ weights_of(conv1d.project)["weight"].T, conv1d.project)

    for separable in (False, True):
        conv2d = Conv2d(6, 5, 4, 3, separable)
        actual, lens = conv2d(feats, torch.tensor([16, frames]))
        y = valid[None, None]
        for block in conv2d.convs:
            layers: Any = block if isinstance(block, nn.Sequential) else [block]
            for layer in layers:
                if layer.groups == 1:
                    y = as_reference(layer).forward(y)
                else:  # each channel on its own: a full convolution with zeros between channels
                    full: Any = nn.Conv2d(3, 3, 3, stride=2, padding=1)
                    full.weight.copy_(layer.weight * torch.eye(3)[..., None, None])
                    full.bias.copy_(layer.bias)
                    y = as_reference(full).forward(y)
            y = np.maximum(y, 0)
        flat = y[0].transpose(1, 2, 0).reshape(y.shape[2], -1)
        same(actual[1, : lens[1]], flat @ weights_of(conv2d.project)["weight"].T, conv2d.project)


def same(actual: Tensor, expected: np.ndarray, project: nn.Linear) -> None:
    np.testing.assert_allclose(actual, expected + weights_of(project)["bias"], atol=1e-5)


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("factor", [1, 2, 3, 6, 7, 8, 11, 12, 13, 16, 32])
def test_stride_is_the_factor(factor: int) -> None:
    shape = TransformerConfig(subsampling="stack", factor=factor, dim=8, heads=2, layers=1, ff=8)
    assert AsrModel(ModelConfig(encoder="transformer", transformer=shape), 4, 5).stride == factor


# ---- dropout and batch norm


def test_dropout_keeps_the_expected_value() -> None:
    torch.manual_seed(16)
    dropout, x = Dropout(0.3), torch.rand(1000, 333) + 1
    kept = dropout(x)
    assert float((kept == 0).float().mean()) == pytest.approx(0.3, abs=3e-3)
    torch.testing.assert_close(kept[kept != 0], (x / 0.7)[kept != 0], rtol=1e-4, atol=0)
    assert float((kept[:, 1:] == 0)[kept[:, :-1] == 0].float().mean()) == pytest.approx(0.3, abs=5e-3)
    assert dropout(x[:1, :7]).shape == (1, 7) and dropout(x[:0]).shape == (0, 333)
    assert torch.equal(dropout.eval()(x), x) and torch.equal(Dropout(0.0)(x), x)
    for share in (1.0, 0.0):
        branch = Branch(4, FeedForward(4, 6), layer_drop=share).train()
        given = torch.randn(2, 3, 4)
        assert torch.equal(branch(given), given) == bool(share)


def test_batch_norm_of_the_mlp_counts_valid_frames_only() -> None:
    torch.manual_seed(14)
    shape = MlpConfig(context=2, hidden=7, layers=3, dropout=0.0)
    feats, lens = torch.randn(3, 20, 6), torch.tensor([20, 11, 4])
    frames = []

    def keep(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        frames.append(given[0])

    results = []
    for padding in (0.0, 1e4):
        torch.manual_seed(15)
        encoder = MlpEncoder(shape, 6).train()
        encoder.norms[0].register_forward_pre_hook(keep)
        filled = torch.where(valid_mask(lens, 20)[..., None], feats, padding)
        out, _ = encoder(F.pad(filled, (0, 0, 0, 9), value=padding), lens)
        results.append((out, {name: b.clone() for name, b in encoder.named_buffers()}))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(results[0][1][name], results[1][1][name]) for name in results[0][1])
    assert frames[0].shape == (35, 7)
    expected = 0.1 * frames[0].mean(dim=0)
    torch.testing.assert_close(results[0][1]["norms.0.running_mean"], expected)
    first = torch.cat([results[0][0][row, :n] for row, n in enumerate(lens.tolist())])
    assert (first >= 0).all() and first.shape == (35, 7)


@pytest.mark.parametrize("frames", [0, 1])
def test_mlp_trains_on_a_single_frame(frames: int) -> None:
    encoder = MlpEncoder(MlpConfig(context=2, hidden=4, layers=2), 6)
    for training in (True, False):
        out, lens = encoder.train(training)(torch.randn(1, 3, 6), torch.tensor([frames]))
        assert out.shape == (1, 3, 4) and out.isfinite().all() and int(lens) == frames
        assert not out[0, frames:].any()
