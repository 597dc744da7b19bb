"""The worked example on recorded digits: in NumPy and in torch, the same numbers; and it learns."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from worked_example import (
    GRUCTC,
    Batch,
    FrameClassifier,
    Model,
    flat_start,
    make_batches,
    train,
    with_context,
)

from asrkit.config import FeatureConfig
from asrkit.learning.features.frontend import Frontend
from asrkit.recognition.audio.reading import read_audio
from asrkit.reference.ctc_decode import greedy
from asrkit.reference.features import log_mel
from asrkit.reference.optimizers import SGD, Adam, Optimizer
from asrkit.reference.softmax import log_softmax

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "recipes/prompts/data/audio"
SENTENCES = ROOT / "tests/audio"

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ALPHABET = sorted(set("".join(WORDS)))
LABELS = [tuple(1 + ALPHABET.index(character) for character in word) for word in WORDS]
OUTPUTS = 1 + len(ALPHABET)
BINS, HIDDEN, STEPS = 24, 64, 20
SMALL = FeatureConfig(sample_rate=8000, mel_bins=40, low_hz=64, high_hz=3800, preemphasis=0.9)


@pytest.fixture(scope="module")
def batches() -> list[Batch]:
    """The ten digits, five in a batch, of different lengths."""
    waves = [read_audio(DIGITS / f"digits-{digit}.opus") for digit in range(10)]
    return make_batches(waves, LABELS, size=5, bins=BINS)


def mlp() -> tuple[Model, Optimizer]:
    model = FrameClassifier(BINS, HIDDEN, OUTPUTS, np.random.default_rng(0))
    return model, SGD(model.params, rate=0.02, momentum=0.9)


def gru() -> tuple[Model, Optimizer]:
    model = GRUCTC(BINS, HIDDEN, OUTPUTS, np.random.default_rng(0))
    return model, Adam(model.params, rate=0.02)


class TorchMLP(nn.Module):
    """Context by unfolding the padded features, padding left out by the loss's `ignore_index`."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(11 * BINS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, OUTPUTS))

    def loss(self, batch: Batch) -> torch.Tensor:
        windows = F.pad(torch.from_numpy(batch.feats), (0, 0, 5, 5)).unfold(1, 11, 1)
        logits = self.network(windows.transpose(2, 3).flatten(2))
        targets = torch.full(logits.shape[:2], -100)
        for b, (labels, frames) in enumerate(zip(batch.labels, batch.lengths, strict=True)):
            targets[b, :frames] = torch.from_numpy(flat_start(labels, frames))
        return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100)


class TorchGRU(nn.Module):
    """torch's own GRU, on packed sequences, and its own CTC loss."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(BINS, HIDDEN, batch_first=True, bidirectional=True)
        self.output = nn.Linear(2 * HIDDEN, OUTPUTS)

    def loss(self, batch: Batch) -> torch.Tensor:
        lengths = torch.from_numpy(batch.lengths)
        packed = nn.utils.rnn.pack_padded_sequence(
            torch.from_numpy(batch.feats), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        log_probs = self.output(states).log_softmax(-1).transpose(0, 1)
        targets = torch.tensor([token for labels in batch.labels for token in labels])
        target_lengths = torch.tensor([len(labels) for labels in batch.labels])
        return F.ctc_loss(log_probs, targets, lengths, target_lengths, reduction="none").mean()


def torch_name(name: str) -> str:
    """``rnn.back.weight_ih`` is torch's ``rnn.weight_ih_l0_reverse``; other names are the same."""
    match name.split("."):
        case ["rnn", "ahead", weight]:
            return f"rnn.{weight}_l0"
        case ["rnn", "back", weight]:
            return f"rnn.{weight}_l0_reverse"
    return name


def torch_train(
    module: TorchMLP | TorchGRU, optimizer: torch.optim.Optimizer, batches: list[Batch]
) -> list[float]:
    losses = []
    for batch in islice(cycle(batches), STEPS):
        optimizer.zero_grad()
        loss = module.loss(batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_mlp_follows_torch(batches: list[Batch]) -> None:
    module = TorchMLP().double()
    follow(*mlp(), module, torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9), batches)


def test_gru_ctc_follows_torch(batches: list[Batch]) -> None:
    module = TorchGRU().double()
    follow(*gru(), module, torch.optim.Adam(module.parameters(), lr=0.02), batches)


def follow(
    model: Model,
    optimizer: Optimizer,
    module: TorchMLP | TorchGRU,
    torch_optimizer: torch.optim.Optimizer,
    batches: list[Batch],
) -> None:
    """From the same weights, 20 steps in each program: the same losses, which fall, and the same weights."""
    start = {torch_name(name): torch.tensor(param) for name, param in model.params.items()}
    module.load_state_dict(start)
    losses = train(model, optimizer, batches, STEPS)
    np.testing.assert_allclose(losses, torch_train(module, torch_optimizer, batches), rtol=1e-9, atol=0)
    trained = module.state_dict()
    for name, param in model.params.items():
        theirs = trained[torch_name(name)].numpy()
        np.testing.assert_allclose(param, theirs, rtol=0, atol=1e-8)
        assert np.abs(param - start[torch_name(name)].numpy()).max() > 1e-3
    assert np.mean(losses[-2:]) < 0.5 * np.mean(losses[:2])


def spelt(model: Model, batches: list[Batch]) -> list[str]:
    """The greedy transcript of every recording."""
    words = []
    for batch in batches:
        logits = model.forward(batch.feats, batch.lengths)
        for utterance, frames in zip(logits, batch.lengths, strict=True):
            tokens = greedy(log_softmax(utterance[:frames])).tokens
            words.append("".join(ALPHABET[token - 1] for token in tokens))
    return words


def test_mlp_learns_to_spell_all_but_double_letters(batches: list[Batch]) -> None:
    model, optimizer = mlp()
    train(model, optimizer, batches, 300)
    assert spelt(model, batches) == [word.replace("ee", "e") for word in WORDS]


def test_gru_ctc_learns_to_spell(batches: list[Batch]) -> None:
    model, optimizer = gru()
    train(model, optimizer, batches, 140)
    assert spelt(model, batches) == WORDS


def test_batches_are_padded_and_normalised(batches: list[Batch]) -> None:
    assert [labels for batch in batches for labels in batch.labels] == LABELS
    assert all(min(batch.lengths) < max(batch.lengths) == batch.feats.shape[1] for batch in batches)
    for batch in batches:
        for utterance, frames in zip(batch.feats, batch.lengths, strict=True):
            assert not utterance[frames:].any() and utterance[:frames].any(axis=1).all()
    frames = np.concatenate([batch.feats[b, :n] for batch in batches for b, n in enumerate(batch.lengths)])
    np.testing.assert_allclose(frames.mean(axis=0), 0.0, atol=1e-10)
    np.testing.assert_allclose(frames.std(axis=0), 1.0, atol=1e-6)


def test_padding_changes_no_output(batches: list[Batch]) -> None:
    batch = batches[0]
    for model, _ in (mlp(), gru()):
        together = model.forward(batch.feats, batch.lengths)
        for b, frames in enumerate(batch.lengths):
            alone = model.forward(batch.feats[b : b + 1, :frames], batch.lengths[b : b + 1])
            np.testing.assert_allclose(together[b, :frames], alone[0], rtol=0, atol=1e-12)


def test_flat_start() -> None:
    assert flat_start((3, 5), 8).tolist() == [0, 0, 3, 3, 5, 5, 0, 0]
    assert flat_start((3, 3, 5), 7).tolist() == [0, 0, 3, 3, 3, 5, 0]


def test_context_is_zero_outside() -> None:
    wide = with_context(np.array([[[1.0, 2.0], [3.0, 4.0]]]), 1)
    np.testing.assert_array_equal(wide, [[[0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 0, 0]]])


@pytest.mark.parametrize("config", [FeatureConfig(), FeatureConfig(shift_ms=12.5, frame_ms=20), SMALL])
@pytest.mark.parametrize("path", [*SENTENCES.glob("*.flac"), DIGITS / "digits-6.opus"], ids=lambda p: p.stem)
def test_log_mel_is_that_of_the_front_end(config: FeatureConfig, path: Path) -> None:
    wave = read_audio(path, config.sample_rate)
    feats, _ = Frontend(config)(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
    reference = log_mel(
        wave,
        config.sample_rate,
        config.mel_bins,
        config.frame_ms,
        config.shift_ms,
        config.low_hz,
        config.high_hz or None,
        config.preemphasis,
    )
    assert reference.shape == feats[0].shape
    # What lies 100 dB below the loudest band of its frame is rounding in single precision.
    audible = reference > reference.max(axis=1, keepdims=True) - np.log(1e10)
    assert audible.mean() > 0.9
    difference = np.abs(reference - feats[0].numpy())[audible]
    assert difference.max() < 5e-3  # the front end computes in single precision, which quiet bands notice
    assert difference.mean() < 1e-5


def test_log_mel_of_silence_and_of_less_than_a_frame() -> None:
    np.testing.assert_array_equal(log_mel(np.zeros(560)), np.full((2, 80), np.log(2.0**-23)))
    assert log_mel(np.zeros(399)).shape == (0, 80)
