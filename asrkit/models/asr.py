"""The recogniser: one encoder and any of the heads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.config import Config, ModelConfig
from asrkit.models.encoders.pyramid import PyramidEncoder

ENCODERS = {"pyramid": PyramidEncoder}


class Encoded(NamedTuple):
    """Encoder output f32[B, T', D] and its lengths int64[B]."""

    out: Tensor
    lens: Tensor


@dataclass
class Batch:
    """Padded utterances.

    Attributes:
        ids: utterance ids, length B.
        feats: f32[B, T, F], normalised features, zero beyond `feat_lens`.
        feat_lens: int64[B].
        tokens: int64[B, U], zero (blank) beyond `token_lens`.
        token_lens: int64[B].
        seconds: audio in the batch, padding left out.
    """

    ids: list[str]
    feats: Tensor
    feat_lens: Tensor
    tokens: Tensor
    token_lens: Tensor
    seconds: float = 0.0

    def to(self, device: torch.device) -> Batch:
        move = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("feats", "feat_lens", "tokens", "token_lens")
        }
        return Batch(self.ids, **move, seconds=self.seconds)


@dataclass
class Loss:
    """Sum over the utterances of a batch.

    Attributes:
        total: scalar to minimise, summed over utterances.
        weight: utterances summed over; ``total / weight`` is what is reported.
        parts: detached sums of each head's loss.
        utterances: f32[B], detached total loss of each utterance, so that a bad one can be named.
    """

    total: Tensor
    weight: int
    parts: dict[str, Tensor] = field(default_factory=dict)
    utterances: Tensor = field(default_factory=lambda: torch.zeros(0))


class AsrModel(nn.Module):
    """Encoder plus heads; `vocab` counts all tokens, blank (0) included."""

    def __init__(self, config: ModelConfig, input_dim: int, vocab: int) -> None:
        super().__init__()
        self.heads = frozenset(config.heads)
        self.encoder = ENCODERS[config.encoder](getattr(config, config.encoder), input_dim)
        if "ctc" in self.heads:
            self.ctc = nn.Linear(self.encoder.dim, vocab)

    def encode(self, feats: Tensor, lens: Tensor) -> Encoded:
        """Features f32[B, T, F] with lengths int64[B] to encoder frames; T may be 0."""
        if feats.shape[1] == 0:
            feats = F.pad(feats, (0, 0, 0, 1))
        return Encoded(*self.encoder(feats, lens))

    def ctc_log_probs(self, encoded: Encoded) -> Tensor:
        """Log posteriors f32[B, T', V], always in single precision."""
        return self.ctc(encoded.out).float().log_softmax(dim=-1)

    def ctc_loss(self, log_probs: Tensor, lens: Tensor, batch: Batch) -> Tensor:
        """CTC loss f32[B] of each utterance (Graves et al. 2006, eq. 12); infinite where T' is too short."""
        return F.ctc_loss(
            log_probs.transpose(0, 1), batch.tokens, lens, batch.token_lens, blank=0, reduction="none"
        )

    def loss(self, batch: Batch) -> Loss:
        """The loss trained on, summed over the batch."""
        encoded = self.encode(batch.feats, batch.feat_lens)
        ctc = self.ctc_loss(self.ctc_log_probs(encoded), encoded.lens, batch)
        return Loss(ctc.sum(), len(batch.ids), {"ctc": ctc.detach().sum()}, ctc.detach())

    forward = loss


def build_model(config: Config, vocab: int) -> AsrModel:
    """The model a configuration describes, with freshly drawn weights (from torch's current seed)."""
    features = config.features
    return AsrModel(config.model, features.cepstra if features.kind == "mfcc" else features.mel_bins, vocab)
