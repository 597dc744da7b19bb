"""A worked example: two small recognisers, trained on recorded words with nothing but this reference.

Both see the same log-mel frames and learn the characters spoken. They differ in their labels.

- `FrameClassifier`, a multilayer perceptron, learns from frames, so each frame needs a label. Nobody has
  written those down; the usual first guess, a *flat start*, gives every character an equal share of them.
- `GRUCTC`, a recurrent network, learns from whole recordings: the CTC loss adds up every way to spread the
  characters over the frames, and no guess is needed.

Reading audio files is not part of this: `make_batches` takes samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from asrkit.reference.ctc import BLANK, ctc_loss_batch
from asrkit.reference.features import log_mel
from asrkit.reference.layer import Layer, Sequential
from asrkit.reference.layers import Linear, ReLU
from asrkit.reference.masks import Lengths, padding_mask
from asrkit.reference.normalisation import normalise
from asrkit.reference.notation import Array, Tokens
from asrkit.reference.optimizers import Optimizer
from asrkit.reference.recurrent import Bidirectional, GRUCell
from asrkit.reference.softmax import SoftmaxCrossEntropy


class Batch(NamedTuple):
    """Utterances side by side.

    Attributes:
        feats: features [B, T, F], zero in the padding after each utterance.
        lengths: frames of each utterance [B].
        labels: token ids of each utterance, without blanks.
    """

    feats: Array
    lengths: Lengths
    labels: Sequence[Tokens]


def make_batches(
    waves: Sequence[Array], labels: Sequence[Tokens], size: int, rate: int = 16000, bins: int = 24
) -> list[Batch]:
    """Log-mel features, normalised by mean and variance over all frames, in batches of `size` utterances.

    Args:
        waves: samples [N] in −1..1 of each utterance.
        labels: token ids of each utterance, 1 and up; 0 is the blank.
        size: utterances in a batch; the last batch may have fewer.
        rate: samples per second.
        bins: mel bands, F.
    """
    feats = [log_mel(wave, rate, bins) for wave in waves]
    ends = np.cumsum([len(utterance) for utterance in feats])
    normalised, _ = normalise(np.concatenate(feats), (0,), epsilon=1e-8)
    feats = np.split(normalised, ends[:-1])
    starts = range(0, len(feats), size)
    return [Batch(*padded(feats[i : i + size]), labels[i : i + size]) for i in starts]


def padded(feats: Sequence[Array]) -> tuple[Array, Lengths]:
    """Utterances [T_b, F] -> one array [B, T, F], zeros at the end of the shorter ones; and lengths [B]."""
    lengths = np.array([len(utterance) for utterance in feats])
    batch = np.zeros((len(feats), lengths.max(), feats[0].shape[1]))
    for b, utterance in enumerate(feats):
        batch[b, : len(utterance)] = utterance
    return batch, lengths


def flat_start(labels: Tokens, frames: int) -> NDArray[np.int64]:
    """A label for each frame [T]: silence (the blank), the labels and silence again, in equal shares."""
    states = np.array([BLANK, *labels, BLANK])
    return states[np.arange(frames) * len(states) // frames]


def with_context(feats: Array, context: int) -> Array:
    """[B, T, F] -> [B, T, (2 · context + 1) · F]: each frame amid its neighbours; zeros outside."""
    frames = feats.shape[1]
    wide = np.pad(feats, ((0, 0), (context, context), (0, 0)))
    return np.concatenate([wide[:, i : i + frames] for i in range(2 * context + 1)], axis=-1)


class Model(Layer):
    """A network and its loss."""

    def forward(self, feats: Array, lengths: Lengths) -> Array:
        """(feats [B, T, F], lengths [B]) -> logits [B, T, V]."""
        raise NotImplementedError

    def learn(self, batch: Batch) -> float:
        """The loss of a batch; its gradient is added to `grads`."""
        raise NotImplementedError


class FrameClassifier(Model):
    """A multilayer perceptron over a frame and `context` frames on either side; one hidden layer.

    (The hybrid systems of Bourlard and Morgan, "Connectionist Speech Recognition", 1994, began so.)
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, generator: np.random.Generator, context: int = 5
    ) -> None:
        super().__init__()
        self.context = context
        width = (2 * context + 1) * inputs
        self.network = Sequential(
            Linear(width, hidden, generator), ReLU(), Linear(hidden, outputs, generator)
        )
        self.criterion = SoftmaxCrossEntropy()
        self.include(network=self.network)

    def forward(self, feats: Array, lengths: Lengths) -> Array:
        return self.network.forward(with_context(feats, self.context))

    def learn(self, batch: Batch) -> float:
        """Mean cross-entropy over the frames that are no padding, against the flat start."""
        logits = self.forward(batch.feats, batch.lengths)
        valid = padding_mask(batch.lengths, logits.shape[1])
        targets = [flat_start(*utterance) for utterance in zip(batch.labels, batch.lengths, strict=True)]
        loss = self.criterion.forward(logits[valid], np.concatenate(targets))
        d_logits = np.zeros_like(logits)
        d_logits[valid] = self.criterion.backward()
        self.network.backward(d_logits)
        return loss


class GRUCTC(Model):
    """A bidirectional GRU and a linear layer, trained by CTC (as Graves et al., 2006, did with an LSTM)."""

    def __init__(self, inputs: int, hidden: int, outputs: int, generator: np.random.Generator) -> None:
        super().__init__()
        self.rnn = Bidirectional(GRUCell(inputs, hidden, generator), GRUCell(inputs, hidden, generator))
        self.output = Linear(2 * hidden, outputs, generator)
        self.include(rnn=self.rnn, output=self.output)

    def forward(self, feats: Array, lengths: Lengths) -> Array:
        return self.output.forward(self.rnn.forward(feats, lengths))

    def learn(self, batch: Batch) -> float:
        """−log p(labels | features), averaged over the utterances."""
        logits = self.forward(batch.feats, batch.lengths)
        losses, d_logits = ctc_loss_batch(logits, batch.lengths.tolist(), batch.labels)
        self.rnn.backward(self.output.backward(d_logits / len(losses)))
        return float(losses.mean())


def train(model: Model, optimizer: Optimizer, batches: Sequence[Batch], steps: int) -> list[float]:
    """The training loop: the batches in turn, one update each; the loss before each update."""
    losses = []
    for batch in islice(cycle(batches), steps):
        model.zero_grads()
        losses.append(model.learn(batch))
        optimizer.step(model.grads)
    return losses
