"""The neural language model of the second pass: it orders anew what a search with n-grams found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from asrkit.config import RescorerConfig, neural_lm_shape
from asrkit.lm.model import NeuralLm
from asrkit.models.decoders import decoder_inputs, decoder_loss, decoder_targets
from asrkit.models.weights import load_weights
from asrkit.padding import pad_tokens
from asrkit.text.tokenizer import Tokenizer, load_tokenizer

AT_ONCE = 64  # texts


class Rescorer:
    """A neural language model with sub-words of its own.

    Args:
        network: the model.
        tokenizer: its sub-words.
    """

    def __init__(self, network: NeuralLm, tokenizer: Tokenizer) -> None:
        self.network, self.tokenizer = network, tokenizer

    @classmethod
    def load(cls, config: RescorerConfig, folder: Path, device: torch.device) -> Rescorer:
        """Read what the stage rescorer left in `folder`.

        Raises:
            ModelError: it is damaged, or does not fit the configuration.
        """
        tokenizer = load_tokenizer(folder)
        network = NeuralLm(neural_lm_shape(config), len(tokenizer.tokens))
        load_weights(folder / "model.safetensors", network)
        return cls(network.to(device).eval(), tokenizer)

    @torch.inference_mode()
    def log_probs(self, texts: Sequence[str]) -> np.ndarray:
        """Natural log probabilities f64[N] of texts, their ends included."""
        device, eos = next(self.network.parameters()).device, self.network.eos
        found: list[float] = []
        for begin in range(0, len(texts), AT_ONCE):
            padded = pad_tokens([self.tokenizer.encode(text) for text in texts[begin : begin + AT_ONCE]])
            tokens, lens = (tensor.to(device) for tensor in padded)
            logits = self.network.decoder(decoder_inputs(tokens, eos))
            found += (-decoder_loss(logits, decoder_targets(tokens, lens, eos))).tolist()
        return np.array(found)
