"""The recogniser: one encoder and any of the heads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.config import Config, ModelConfig
from asrkit.learning.models.ctc_crf import TokenTrigram
from asrkit.learning.models.decoders import decoder_inputs, decoder_loss, decoder_targets
from asrkit.learning.models.decoders.lstm import LstmDecoder
from asrkit.learning.models.decoders.transformer import TransformerDecoder
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.models.encoders.mlp import MlpEncoder
from asrkit.learning.models.encoders.pyramid import PyramidEncoder
from asrkit.learning.models.encoders.tdnn import TdnnEncoder
from asrkit.learning.models.encoders.transformer import ConformerEncoder, TransformerEncoder
from asrkit.learning.padding import valid_mask

ENCODERS = {
    "mlp": MlpEncoder,
    "pyramid": PyramidEncoder,
    "tdnn": TdnnEncoder,
    "transformer": TransformerEncoder,
    "conformer": ConformerEncoder,
}
ATTENTION_DECODERS = {"lstm": LstmDecoder, "transformer": TransformerDecoder}


@dataclass
class Batch:
    """Padded utterances.

    Attributes:
        ids: utterance ids, length B.
        feats: f32[B, T, F], normalised features, zero beyond `feat_lens`.
        feat_lens: int64[B].
        tokens: int64[B, U], zero (blank) beyond `token_lens`.
        token_lens: int64[B].
        labels: int64[B, T], the label of each feature frame, for a frame head.
        seconds: audio in the batch, padding excluded.
        views: augmented copies of each utterance, one copy of all after the other; B counts every copy.
    """

    ids: list[str]
    feats: Tensor
    feat_lens: Tensor
    tokens: Tensor
    token_lens: Tensor
    labels: Tensor | None = None
    seconds: float = 0.0
    views: int = 1

    def to(self, device: torch.device) -> Batch:
        moved: dict[str, Any] = {
            name: tensor.to(device, non_blocking=True)
            for name, tensor in vars(self).items()
            if isinstance(tensor, Tensor)
        }
        return replace(self, **moved)


@dataclass
class Loss:
    """Sum over the utterances of a batch.

    Attributes:
        total: scalar to minimise, summed over utterances.
        weight: utterances summed over; ``total / weight`` is what is reported.
        parts: detached sums of each head's loss.
        utterances: f32[B], detached total loss of each utterance, to report bad ones.
    """

    total: Tensor
    weight: int
    parts: dict[str, Tensor] = field(default_factory=dict)
    utterances: Tensor = field(default_factory=lambda: torch.zeros(0))


class AsrModel(nn.Module):
    """Encoder plus heads.

    Args:
        config: encoder, heads and their shapes.
        input_dim: numbers in a feature frame.
        vocab: number of tokens V, with blank (0) and ``<sos/eos>`` (the last).
        labels: number of frame labels C, for a frame head.
    """

    def __init__(self, config: ModelConfig, input_dim: int, vocab: int, labels: int = 0) -> None:
        super().__init__()
        self.config, self.vocab = config, vocab
        self.heads = frozenset(config.heads)
        self.encoder = ENCODERS[config.encoder](getattr(config, config.encoder), input_dim)
        if "ctc" in self.heads:
            self.ctc = nn.Linear(self.encoder.dim, config.ctc_frames * vocab)
        self.trigram: TokenTrigram | None = None
        if "attention" in self.heads:
            shape = getattr(config, f"{config.decoder}_decoder")
            self.decoder = ATTENTION_DECODERS[config.decoder](shape, vocab, self.encoder.dim)
        if "frame" in self.heads:
            self.frame = nn.Linear(self.encoder.dim, labels)

    @property
    def eos(self) -> int:
        """The id of ``<sos/eos>``."""
        return self.vocab - 1

    @property
    def ctc_frames(self) -> int:
        """CTC frames to one encoder frame."""
        return self.config.ctc_frames

    @property
    def stride(self) -> int:
        """Feature frames to one encoder frame."""
        features = 1_000_000  # large enough that rounding up does not matter
        return round(features / int(self.encoder.output_frames(torch.tensor(features))))

    def encode(self, feats: Tensor, lens: Tensor) -> Encoded:
        """Features f32[B, T, F] with lengths int64[B] to encoder frames; T may be 0."""
        if feats.shape[1] == 0:
            feats = F.pad(feats, (0, 0, 0, 1))
        return Encoded(*self.encoder(feats, lens))

    def output_frames(self, frames: int) -> int:
        """CTC output frames (encoder frames, without a CTC head) for `frames` feature frames."""
        encoder_frames = int(self.encoder.output_frames(torch.tensor(frames)))
        return encoder_frames * (self.config.ctc_frames if "ctc" in self.heads else 1)

    def ctc_log_probs(self, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Log posteriors f32[B, T'', V], always in single precision, and lengths int64[B].

        T'' is T' times ``ctc_frames``.
        """
        logits = self.ctc(encoded.out).float().unflatten(-1, (-1, self.vocab)).flatten(1, 2)
        return logits.log_softmax(dim=-1), encoded.lens * self.config.ctc_frames

    def ctc_loss(self, log_probs: Tensor, lens: Tensor, batch: Batch) -> Tensor:
        """CTC loss f32[B] of each utterance (Graves et al. 2006, eq. 12); infinite where T'' is too short."""
        return F.ctc_loss(
            log_probs.transpose(0, 1), batch.tokens, lens, batch.token_lens, blank=0, reduction="none"
        )

    def attention_loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Cross-entropy f32[B] of the tokens and the end, given those before, summed over each utterance.

        In the share ``lm_share`` of updates the decoder does not see the encoder, so that it remains a
        language model.
        """
        hidden = self.training and self.config.lm_share > 0 and torch.rand(()) < self.config.lm_share
        logits = self.decoder(decoder_inputs(batch.tokens, self.eos), None if hidden else encoded)
        targets = decoder_targets(batch.tokens, batch.token_lens, self.eos)
        return decoder_loss(logits, targets, self.config.label_smoothing)

    @torch.no_grad()
    def attention_maps(self, batch: Batch) -> Tensor:
        """Attention weights for each token and the end, f32[B, H, U + 1, T'], on the CPU.

        Without dropout, whether or not the model is in training. H counts the heads of all layers.
        """
        training, device = self.training, next(self.parameters()).device
        self.eval()
        batch = batch.to(device)
        encoded = self.encode(batch.feats, batch.feat_lens)
        maps: Tensor = self.decoder.maps(decoder_inputs(batch.tokens, self.eos), encoded)
        self.train(training)
        return maps.float().cpu()

    def frame_log_probs(self, encoded: Encoded) -> Tensor:
        """Log posteriors of the frame labels f32[B, T', C], always in single precision."""
        logits: Tensor = self.frame(encoded.out)
        return logits.float().log_softmax(dim=-1)

    def frame_loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """Cross-entropy f32[B] of the frame labels, summed over each utterance."""
        log_probs = self.frame_log_probs(encoded)
        targets = self.frame_targets(encoded, batch)
        return F.nll_loss(log_probs.transpose(1, 2), targets, reduction="none").sum(dim=1)

    def frame_targets(self, encoded: Encoded, batch: Batch) -> Tensor:
        """The label of each encoder frame int64[B, T'], that of its first feature frame; -100 in padding."""
        assert batch.labels is not None, "a frame head is trained on frame labels"
        frames = encoded.out.shape[1]
        place = torch.arange(frames, device=batch.labels.device) * self.stride
        labels = batch.labels[:, place.clamp(max=batch.labels.shape[1] - 1)]
        return labels.masked_fill(~valid_mask(encoded.lens, frames), -100)

    def loss(self, batch: Batch, encoded: Encoded | None = None) -> Loss:
        """The loss trained on, summed over the batch: CTC and attention share by ``ctc_weight``.

        With several views of the utterances it is their mean.

        Args:
            batch: the utterances.
            encoded: their encoder output, if already computed.
        """
        encoded = encoded or self.encode(batch.feats, batch.feat_lens)
        losses = {}
        if "ctc" in self.heads:
            log_probs, lens = self.ctc_log_probs(encoded)
            losses["ctc"] = self.ctc_loss(log_probs, lens, batch)
            if self.trigram is not None:
                expected = self.trigram.score(batch.tokens, batch.token_lens)
                losses["crf"] = losses["ctc"] - expected + self.trigram.log_sum(log_probs, lens)
            if batch.views == 2:
                losses["consistency"] = consistency_loss(log_probs, lens)
        if "attention" in self.heads:
            losses["attention"] = self.attention_loss(encoded, batch)
        if "frame" in self.heads:
            losses["frame"] = self.frame_loss(encoded, batch)
        both = {"ctc", "attention"} <= self.heads
        share = self.config.ctc_weight if both else 1.0
        crf = self.config.crf_weight if "crf" in losses else 0.0
        weights = {
            "ctc": share * (1 - crf),
            "crf": share * crf,
            "consistency": self.config.consistency,
            "attention": 1 - share if both else 1.0,
            "frame": 1.0,
        }
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum(dim=0)
        parts = {name: loss.detach().sum() / batch.views for name, loss in losses.items()}
        return Loss(total.sum() / batch.views, len(batch.ids) // batch.views, parts, total.detach())

    def expected(self, batch: Batch, encoded: Encoded) -> tuple[Tensor, Tensor]:
        """Scores [B, S, …] of the attention or frame head, and the targets int64[B, S]; -100 is ignored.

        The attention head is given the preceding target tokens.
        """
        if "frame" in self.heads:
            return self.frame_log_probs(encoded), self.frame_targets(encoded, batch)
        logits = self.decoder(decoder_inputs(batch.tokens, self.eos), encoded)
        return logits, decoder_targets(batch.tokens, batch.token_lens, self.eos)

    forward = loss


def consistency_loss(log_probs: Tensor, lens: Tensor) -> Tensor:
    """Disagreement f32[B] of two views of each utterance; each view takes the other as a constant target.

    Yao et al., "CR-CTC: Consistency regularization on CTC for improved speech recognition", 2024, section 3:
    the Kullback-Leibler divergence of the posteriors of each frame, summed over frames, in either direction.

    Args:
        log_probs: CTC log posteriors f32[B, T, V], the first half of B being one view, the second the other.
        lens: int64[B].
    """
    others = log_probs.detach().roll(len(log_probs) // 2, dims=0)
    divergence = F.kl_div(log_probs, others, reduction="none", log_target=True).sum(dim=2)
    return divergence.masked_fill(~valid_mask(lens, log_probs.shape[1]), 0.0).sum(dim=1)


def build_model(config: Config, vocab: int, labels: int = 0) -> AsrModel:
    """The model a configuration describes, with freshly drawn weights (from torch's current seed)."""
    return AsrModel(config.model, config.features.dim, vocab, labels)
