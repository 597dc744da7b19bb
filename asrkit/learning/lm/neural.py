"""Neural language models."""

from pathlib import Path

import torch
from torch import Tensor, nn

from asrkit.config import LmConfig, RescorerConfig, TransformerDecoderConfig, neural_lm_shape
from asrkit.learning.models.asr import Batch, Loss
from asrkit.learning.models.decoders import decoder_inputs, decoder_loss, decoder_targets
from asrkit.learning.models.decoders.transformer import TransformerDecoder
from asrkit.learning.models.weights import load_weights


class NeuralLm(nn.Module):
    """A transformer decoder, or LSTMs, without an encoder."""

    def __init__(self, config: TransformerDecoderConfig, vocab: int) -> None:
        super().__init__()
        self.decoder = TransformerDecoder(config, vocab)
        self.eos = vocab - 1

    def expected(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits f32[B, U + 1, V] of the next token, and what it is, int64[B, U + 1]; -100 in padding."""
        logits = self.decoder(decoder_inputs(batch.tokens, self.eos))
        return logits, decoder_targets(batch.tokens, batch.token_lens, self.eos)

    def loss(self, batch: Batch) -> Loss:
        """Negative log probability of each text, the end included, summed over the batch."""
        losses = decoder_loss(*self.expected(batch))
        return Loss(losses.sum(), len(batch.ids), {"lm": losses.detach().sum()}, losses.detach())

    forward = loss


def read_network(
    config: LmConfig | RescorerConfig, path: Path, vocab: int, device: torch.device | str = "cpu"
) -> NeuralLm:
    """A trained neural model. Raises ModelError when the weights are damaged or do not fit."""
    network = NeuralLm(neural_lm_shape(config), vocab)
    load_weights(path, network)
    return network.to(device).eval()
