"""Language models: the neural one, and reading back whichever a recogniser has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from asrkit.config import LmConfig, RescorerConfig, TransformerDecoderConfig, neural_lm_shape
from asrkit.learning.models.asr import Batch, Loss
from asrkit.learning.models.decoders import decoder_inputs, decoder_loss, decoder_targets
from asrkit.learning.models.decoders.transformer import TransformerDecoder
from asrkit.learning.models.weights import load_weights
from asrkit.recognition.ngram.model import NgramModel
from asrkit.recognition.stored_lm import WEIGHTS, read_stored_ngram, stored_spellings
from asrkit.recognition.text.spellings import Spellings


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


@dataclass(frozen=True)
class LanguageModel:
    """A recogniser's language model.

    Attributes:
        kind: as in ``lm.kind``.
        ngram: an n-gram model, of words or of tokens.
        spellings: of the words of an n-gram model, where the stage lm left them.
        network: of a neural model.
    """

    kind: str
    ngram: NgramModel | None = None
    spellings: Spellings | None = None
    network: NeuralLm | None = None


def load_lm(config: LmConfig, folder: Path, vocab: int, device: torch.device) -> LanguageModel | None:
    """What the stage lm left in `folder`; None when the configuration has no language model.

    Raises:
        ModelError: the weights are damaged or do not fit.
        DataError: the n-gram model is damaged.
    """
    if config.kind == "none":
        return None
    if config.kind.endswith("-ngram"):
        return ngram_lm(config.kind, read_stored_ngram(folder), folder)
    return LanguageModel(config.kind, network=read_network(config, folder / WEIGHTS, vocab, device))


def ngram_lm(kind: str, ngram: NgramModel, folder: Path) -> LanguageModel:
    """That of an n-gram model, with the spellings beside it in `folder`, if there are any.

    Raises:
        ModelError: they are damaged.
    """
    return LanguageModel(kind, ngram=ngram, spellings=stored_spellings(folder, ngram.vocabulary))


def read_network(
    config: LmConfig | RescorerConfig, path: Path, vocab: int, device: torch.device | str = "cpu"
) -> NeuralLm:
    """A trained neural model. Raises ModelError when the weights are damaged or do not fit."""
    network = NeuralLm(neural_lm_shape(config), vocab)
    load_weights(path, network)
    return network.to(device).eval()
