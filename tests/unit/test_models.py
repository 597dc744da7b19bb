"""The pyramid encoder and the CTC head."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.config import ModelConfig, PyramidConfig
from asrkit.learning.models.asr import AsrModel, Batch
from asrkit.learning.models.encoders.pyramid import BiLSTM, PyramidEncoder, join_pairs
from asrkit.learning.padding import mask_padding, reverse, valid_mask

SHAPES = [
    PyramidConfig(embed_channels=0, hidden=8, layers=1, pyramid_layers=0, dropout=0.0),
    PyramidConfig(embed_channels=12, embed_blocks=2, embed_stride=2, hidden=8, layers=3, pyramid_layers=1),
    PyramidConfig(embed_channels=12, embed_blocks=0, embed_stride=3, hidden=8, layers=3, pyramid_layers=2),
]


@given(lens=st.lists(st.integers(0, 9), min_size=1, max_size=4))
@settings(derandomize=True, deadline=None, max_examples=30)
def test_reverse_turns_only_the_valid_part(lens: list[int]) -> None:
    x = torch.randn(len(lens), 9, 2)
    turned = reverse(x, torch.tensor(lens))
    for row, length in enumerate(lens):
        assert torch.equal(turned[row, :length], x[row, :length].flip(0))
        assert torch.equal(turned[row, length:], x[row, length:])


def test_mask_matches_lengths() -> None:
    mask = valid_mask(torch.tensor([0, 2, 3]), 3)
    assert mask.tolist() == [[False] * 3, [True, True, False], [True] * 3]
    assert mask_padding(torch.ones(3, 3, 1), torch.tensor([0, 2, 3])).sum() == 5


def test_bilstm_equals_torch_on_packed_sequences() -> None:
    torch.manual_seed(0)
    actual = BiLSTM(5, 4)
    theirs = torch.nn.LSTM(5, 4, batch_first=True, bidirectional=True)
    theirs.load_state_dict(
        dict(actual.ahead.state_dict().items())
        | {k + "_reverse": v for k, v in actual.back.state_dict().items()}
    )
    x, lens = torch.randn(3, 7, 5), torch.tensor([7, 4, 1])
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lens, batch_first=True)
    expected, _ = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(mask_padding(actual(x, lens), lens), expected, atol=1e-6, rtol=1e-5)


def test_pairs_are_concatenated_and_none_is_skipped() -> None:
    x = torch.arange(1.0, 7.0).reshape(1, 3, 2)
    joined, lens = join_pairs(x, torch.tensor([3]))
    assert joined.tolist() == [[[1, 2, 3, 4], [5, 6, 0, 0]]]
    assert lens.tolist() == [2]


@pytest.mark.parametrize("config", SHAPES)
def test_padding_never_changes_a_result(config: PyramidConfig) -> None:
    torch.manual_seed(1)
    model = AsrModel(ModelConfig(pyramid=config), 6, 5).eval()
    lens = torch.tensor([23, 14, 5, 1])
    feats = torch.randn(4, 23, 6)
    batched = model.encode(feats, lens)
    poisoned = model.encode(feats.masked_fill(~valid_mask(lens, 23)[..., None], 1e3), lens)
    for row, length in enumerate(lens.tolist()):
        alone = model.encode(feats[row : row + 1, :length], lens[row : row + 1])
        frames = int(alone.lens[0])
        assert frames == int(batched.lens[row])
        for other in (batched, poisoned):
            torch.testing.assert_close(other.out[row, :frames], alone.out[0], atol=1e-5, rtol=1e-4)
            assert not other.out[row, frames:].any()


@pytest.mark.parametrize("config", SHAPES)
def test_output_frames_is_what_the_encoder_gives(config: PyramidConfig) -> None:
    encoder = PyramidEncoder(config, 6).eval()
    for frames in (1, 2, 3, 7, 8, 40, 41):
        out, lens = encoder(torch.randn(1, frames, 6), torch.tensor([frames]))
        assert out.shape[1] == lens.item() == int(encoder.output_frames(torch.tensor(frames)))


def test_gradient_of_padding_is_zero() -> None:
    torch.manual_seed(2)
    model = AsrModel(ModelConfig(pyramid=SHAPES[1]), 6, 5)
    feats = torch.randn(2, 24, 6, requires_grad=True)
    batch = Batch(
        ["a", "b"], feats, torch.tensor([24, 9]), torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1])
    )
    model.loss(batch).total.backward()
    assert feats.grad is not None and feats.grad[0].abs().sum() > 0
    assert not feats.grad[1, 9:].any()


def test_loss_is_the_sum_over_utterances_whatever_the_batch() -> None:
    torch.manual_seed(3)
    model = AsrModel(ModelConfig(pyramid=SHAPES[1]), 6, 5).eval()
    feats, lens = torch.randn(2, 24, 6), torch.tensor([24, 12])
    tokens, token_lens = torch.tensor([[1, 2, 2], [3, 0, 0]]), torch.tensor([3, 1])
    both = model.loss(Batch(["a", "b"], feats, lens, tokens, token_lens))
    single = [
        model.loss(
            Batch(["x"], feats[i : i + 1, :n], lens[i : i + 1], tokens[i : i + 1], token_lens[i : i + 1])
        )
        for i, n in enumerate(lens.tolist())
    ]
    torch.testing.assert_close(both.total, single[0].total + single[1].total, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(
        both.utterances, torch.stack([s.total.detach() for s in single]), atol=1e-4, rtol=1e-5
    )
    assert both.weight == 2
