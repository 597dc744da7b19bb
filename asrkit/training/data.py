"""From stored features to batches: which utterances, in which order, at which speed, with which masks.

Everything random here is drawn from the seed, the epoch and the utterance alone, so that a run that was
stopped and resumed, or split over several processes, sees the very same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from asrkit.config import AugmentConfig
from asrkit.data.utterance import Utterance
from asrkit.features.augment import spec_augment
from asrkit.features.cmvn import Cmvn
from asrkit.features.store import FeatureStore
from asrkit.models.asr import Batch


class Item(NamedTuple):
    """One utterance (its place in the set) at one speed."""

    place: int
    speed: float


class BatchSource:
    """Utterances of a set, with their tokens and stored features, made into batches.

    Args:
        utterances: the set, in a fixed order.
        tokens: token ids of each.
        store: features of every utterance at speed 1 (and at other speeds, if they are asked for).
        cmvn: normalisation.
    """

    def __init__(
        self, utterances: Sequence[Utterance], tokens: Sequence[list[int]], store: FeatureStore, cmvn: Cmvn
    ) -> None:
        self.utterances, self.tokens, self.store, self.cmvn = utterances, tokens, store, cmvn
        self.seconds = np.array([u.duration for u in utterances])

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

        Lengths are jittered by ±10 % before sorting so that an utterance meets new company each epoch.
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

    def cost(self, items: Sequence[Item]) -> float:
        """Seconds of audio that a batch holds, its padding counted."""
        return len(items) * max(self.seconds[i] / speed for i, speed in items)

    def batch(
        self, items: Sequence[Item], *, augment: AugmentConfig | None = None, seed: int = 0, epoch: int = 0
    ) -> Batch:
        """Read, normalise and, if asked, mask the features of `items`, and pad them together."""
        features = [torch.from_numpy(self.store.read(self.utterances[i].id, speed)) for i, speed in items]
        feat_lens = torch.tensor([len(f) for f in features])
        feats = self.cmvn(torch.nn.utils.rnn.pad_sequence(features, batch_first=True), feat_lens)
        if augment is not None:
            for row, (index, _) in enumerate(items):
                generator = torch.Generator().manual_seed(step_seed(seed, epoch, index))
                valid = feats[row, : feat_lens[row]]
                valid.copy_(spec_augment(valid, generator, augment))
        tokens = [torch.tensor(self.tokens[i], dtype=torch.int64) for i, _ in items]
        return Batch(
            ids=[self.utterances[i].id for i, _ in items],
            feats=feats,
            feat_lens=feat_lens,
            tokens=torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True),
            token_lens=torch.tensor([len(t) for t in tokens]),
            seconds=sum(self.seconds[i] / speed for i, speed in items),
        )


def step_seed(*numbers: int) -> int:
    """One well-mixed seed of 63 bits from several small numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
