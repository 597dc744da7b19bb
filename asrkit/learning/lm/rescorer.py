"""The neural language model of the second pass: it orders anew what a search with n-grams found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from asrkit.config import RescorerConfig
from asrkit.learning.lm.neural import NeuralLm, read_network
from asrkit.recognition.text.tokenizer import Tokenizer, load_tokenizer


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
        path = folder / "model.safetensors"
        return cls(read_network(config, path, len(tokenizer.tokens), device), tokenizer)

    @torch.inference_mode()
    def log_probs(self, texts: Sequence[str]) -> np.ndarray:
        """Natural log probabilities f64[N] of texts, their ends included.

        What texts begin with in common is read once: hypotheses of one utterance differ in a few words.
        """
        decoder, eos = self.network.decoder, self.network.eos
        device = next(decoder.parameters()).device
        lines = [[*self.tokenizer.encode(text), eos] for text in texts]
        totals = np.zeros(len(lines))
        reading = list(range(len(lines)))  # the texts that are not over
        node = dict.fromkeys(reading, 0)  # the row of each that has read the same so far
        state, last = decoder.start(), [eos]
        for position in range(max(map(len, lines), default=0)):
            logits, state = decoder.step(torch.tensor(last, device=device), state)
            rows = [node[text] for text in reading]
            tokens = [lines[text][position] for text in reading]
            log_probs = logits.log_softmax(dim=-1)
            totals[reading] += log_probs[rows, tokens].double().cpu().numpy()
            reading = [text for text in reading if len(lines[text]) > position + 1]
            ways: dict[tuple[int, int], int] = {}
            for text in reading:
                node[text] = ways.setdefault((node[text], lines[text][position]), len(ways))
            if reading:
                state = state.select(torch.tensor([row for row, _ in ways], device=device))
                last = [token for _, token in ways]
        return totals
