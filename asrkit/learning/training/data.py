"""Batches from features: their utterances, order, speeds and masks.

All random numbers follow from the seed, the epoch and the utterance, so that a resumed run, or one of several
processes, gets the same batches.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from asrkit.config import AugmentConfig
from asrkit.learning.features.augment import distort, spec_augment
from asrkit.learning.features.cmvn import Cmvn
from asrkit.learning.features.store import Features
from asrkit.learning.models.asr import Batch
from asrkit.learning.padding import pad_tokens
from asrkit.recognition.align.frames import perturbed
from asrkit.recognition.audio.utterance import Utterance

ROUND = 16  # frames; lengths are padded to a multiple, since oneDNN compiles code for every new length


class Item(NamedTuple):
    """One utterance (its index in the set) at one speed."""

    utterance: int
    speed: float


class Changes(NamedTuple):
    """Random augmentation of a batch, with `views` different copies of each utterance."""

    augment: AugmentConfig | None = None
    seed: int = 0
    epoch: int = 0
    views: int = 1


class Source(ABC):
    """Batches of the utterances of a set.

    Args:
        utterances: the set, in a fixed order.
        tokens: token ids of each.
        seconds: length of each.
    """

    def __init__(
        self, utterances: Sequence[Utterance], tokens: Sequence[list[int]], seconds: Sequence[float]
    ) -> None:
        self.utterances, self.tokens = utterances, tokens
        self.seconds = np.array(seconds)

    def plan(
        self,
        batch_seconds: float,
        *,
        speeds: Sequence[float] = (1.0,),
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = True,
    ) -> list[list[Item]]:
        """Pack the set into batches of similar length, each at most `batch_seconds` with its padding.

        Lengths are jittered by ±10 % before sorting, so that batches differ between epochs.
        """
        rng = np.random.default_rng([seed, epoch])
        chosen = rng.choice(np.asarray(speeds), len(self.seconds))
        seconds = self.seconds / chosen
        order = np.argsort(
            seconds * rng.uniform(0.9, 1.1, len(seconds)) if shuffle else seconds, kind="stable"
        )
        batches: list[list[Item]] = []
        longest = 0.0
        for index in order:
            if batches and max(longest, seconds[index]) * (len(batches[-1]) + 1) <= batch_seconds:
                batches[-1].append(Item(int(index), float(chosen[index])))
                longest = max(longest, seconds[index])
            else:
                batches.append([Item(int(index), float(chosen[index]))])
                longest = seconds[index]
        if shuffle:
            rng.shuffle(batches)
        return batches

    def typical(self, count: int) -> list[Item]:
        """The `count` utterances whose length is nearest to the median."""
        order = np.argsort(abs(self.seconds - np.median(self.seconds)), kind="stable")
        return [Item(int(i), 1.0) for i in order[:count]]

    def cost(self, items: Sequence[Item]) -> float:
        """Seconds of audio in a batch, padding included."""
        return len(items) * float(max(self.seconds[i] / speed for i, speed in items))

    @abstractmethod
    def batch(self, items: Sequence[Item], changes: Changes | None = None) -> Batch:
        """The padded batch of `items`, augmented as in `changes`."""


class SpeechSource(Source):
    """Utterances with their tokens and features.

    Args:
        utterances: the set, in a fixed order.
        tokens: token ids of each.
        features: of every utterance at speed 1, and at other speeds if used.
        cmvn: normalisation.
        labels: labels of the feature frames of each utterance, for a frame head.
        centres: of the filters in Hz, for VTLP.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        tokens: Sequence[list[int]],
        features: Features,
        cmvn: Cmvn,
        labels: Mapping[str, np.ndarray] | None = None,
        centres: np.ndarray | None = None,
    ) -> None:
        super().__init__(utterances, tokens, [u.duration for u in utterances])
        self.features, self.cmvn, self.labels, self.centres = features, cmvn, labels, centres

    def batch(self, items: Sequence[Item], changes: Changes | None = None) -> Batch:
        """Read, augment, normalise, mask and pad the features of `items`."""
        augment, seed, epoch, views = changes or Changes()
        seconds = sum(self.seconds[i] / speed for i, speed in items)
        seeds = [
            step_seed(seed, epoch, i, *([view] if view else [])) for view in range(views) for i, _ in items
        ]
        read = [torch.from_numpy(self.features.read(self.utterances[i].id, speed)) for i, speed in items]
        items, features = [*items] * views, read * views
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        if augment is not None:
            features = [
                distort(f, g, augment, self.centres) for f, g in zip(features, generators, strict=True)
            ]
        feat_lens = torch.tensor([len(f) for f in features])
        padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
        padded = F.pad(padded, (0, 0, 0, -padded.shape[1] % ROUND))
        feats = self.cmvn(padded, feat_lens)
        if augment is not None:
            for row, generator in enumerate(generators):
                valid = feats[row, : feat_lens[row]]
                valid.copy_(spec_augment(valid, generator, augment))
        tokens, token_lens = pad_tokens([self.tokens[i] for i, _ in items])
        return Batch(
            ids=[self.utterances[i].id for i, _ in items],
            feats=feats,
            feat_lens=feat_lens,
            tokens=tokens,
            token_lens=token_lens,
            labels=self._labels(items, feat_lens),
            seconds=seconds,
            views=views,
        )

    def _labels(self, items: Sequence[Item], lens: Tensor) -> Tensor | None:
        if self.labels is None:
            return None
        rows = [
            torch.from_numpy(perturbed(self.labels[self.utterances[i].id], frames).astype(np.int64))
            for (i, _), frames in zip(items, lens.tolist(), strict=True)
        ]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


class TextSource(Source):
    """Texts for a language model; a token counts as a tenth of a second."""

    def __init__(self, texts: Sequence[str], tokens: Sequence[list[int]]) -> None:
        lines = [Utterance(f"line {n}", "", 0.0, 0.0, text, "") for n, text in enumerate(texts, start=1)]
        super().__init__(lines, tokens, [(len(t) + 1) / 10 for t in tokens])

    def batch(self, items: Sequence[Item], changes: Changes | None = None) -> Batch:
        tokens, lens = pad_tokens([self.tokens[i] for i, _ in items])
        nothing = torch.zeros(len(items), 0, 0)
        seconds = sum(self.seconds[i] for i, _ in items)
        return Batch(
            [self.utterances[i].id for i, _ in items], nothing, lens * 0, tokens, lens, None, seconds
        )


def step_seed(*numbers: int) -> int:
    """One well-mixed seed of 63 bits from several small numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
