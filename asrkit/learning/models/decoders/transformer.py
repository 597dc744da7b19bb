"""Transformer decoder (Vaswani et al. 2017, section 3.1), pre-norm; or with LSTMs in place of self-attention.

Without an encoder it is a language model and has no cross-attention. Weights trained that way fit a decoder
of the same shape, in which only the cross-attention is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from asrkit.config import TransformerDecoderConfig
from asrkit.learning.models.attention import Cache, CrossAttention, SelfAttention, sinusoids
from asrkit.learning.models.blocks import Branch, FeedForward
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.padding import valid_mask


class DecoderState(NamedTuple):
    """State of K hypotheses.

    Attributes:
        past: of each layer, the cache of its self-attention or LSTM: [K, …] each.
        memory: of each layer, keys and values of the encoder's output [1 or K, …]; None: a language model.
        valid: bool[1 or K, T'].
        length: tokens read.
    """

    past: Sequence[Cache | None]
    memory: Sequence[Cache | None]
    valid: Tensor | None
    length: int

    def select(self, index: Tensor) -> DecoderState:
        """The state of the hypotheses int64[K'] `index`."""
        past = [None if p is None else (p[0][index], p[1][index]) for p in self.past]
        return self._replace(past=past)


class Recurrence(nn.Module):
    """An LSTM with the interface of causal self-attention."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(dim, dim, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(x)
        return x

    def step(self, x: Tensor, past: Cache | None) -> tuple[Tensor, Cache]:
        before = None if past is None else (past[0].transpose(0, 1), past[1].transpose(0, 1))
        y, (h, c) = self.lstm(x, before)
        return y, (h.transpose(0, 1), c.transpose(0, 1))


class DecoderLayer(nn.Module):
    """Residual branches: self-attention (or an LSTM) over tokens, cross-attention, feed-forward."""

    def __init__(self, config: TransformerDecoderConfig, memory_dim: int) -> None:
        super().__init__()
        dim, drops = config.dim, (config.dropout, config.layer_drop)
        past = SelfAttention(dim, config.heads) if config.look_back == "attention" else Recurrence(dim)
        self.look_back: Branch[SelfAttention | Recurrence] = Branch(dim, past, *drops)
        self.attend: Branch[CrossAttention] | None = None
        if memory_dim:
            self.attend = Branch(dim, CrossAttention(dim, config.heads, memory_dim), *drops)
        self.feed = Branch(dim, FeedForward(dim, config.ff, config.dropout), *drops)

    def forward(self, x: Tensor, memory: Cache | None, valid: Tensor | None) -> Tensor:
        return self._after(self.look_back(x), memory, valid)

    def step(
        self, x: Tensor, past: Cache | None, memory: Cache | None, valid: Tensor | None
    ) -> tuple[Tensor, Cache]:
        """The same for one more position [K, 1, D]."""
        y, past = self.look_back.module.step(self.look_back.norm(x), past)
        return self._after(x + y, memory, valid), past

    def remember(self, encoded: Encoded) -> Cache:
        assert self.attend is not None, "a language model has no encoder"
        return self.attend.module.remember(encoded.out)

    def weights(self, x: Tensor, memory: Cache, valid: Tensor | None) -> Tensor:
        """The attention weights f32[B, H, U, T'] of this layer over the encoder's output."""
        assert self.attend is not None
        return self.attend.module.weights(self.attend.norm(self.look_back(x)), memory, valid)

    def _after(self, x: Tensor, memory: Cache | None, valid: Tensor | None) -> Tensor:
        if self.attend is not None and memory is not None:
            x = self.attend(x, memory, valid)
        x = self.feed(x)
        return x


class TransformerDecoder(nn.Module):
    """Tokens int64[B, U] and encoder output to logits f32[B, U, V].

    Args:
        config: its shape.
        vocab: number of tokens V.
        memory_dim: width of the encoder's output; 0: a language model.
    """

    def __init__(self, config: TransformerDecoderConfig, vocab: int, memory_dim: int = 0) -> None:
        super().__init__()
        self.dim = config.dim
        self.absolute = config.look_back == "attention"
        self.embed = nn.Embedding(vocab, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(config, memory_dim) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim)
        self.out = nn.Linear(config.dim, vocab)

    def forward(self, tokens: Tensor, encoded: Encoded | None = None) -> Tensor:
        x, memory, valid = self._embed(tokens, 0), self._remember(encoded), _valid(encoded)
        for layer, remembered in zip(self._layers, memory, strict=True):
            x = layer(x, remembered, valid)
        logits: Tensor = self.out(self.norm(x))
        return logits.float()

    def start(self, encoded: Encoded | None = None) -> DecoderState:
        """The state before the first token; the encoder's output is of one utterance or of each row."""
        return DecoderState([None] * len(self.layers), self._remember(encoded), _valid(encoded), 0)

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Logits f32[K, V] after one more token int64[K] each."""
        x = self._embed(tokens[:, None], state.length)
        past: list[Cache | None] = []
        for layer, before, remembered in zip(self._layers, state.past, state.memory, strict=True):
            x, cache = layer.step(x, before, remembered, state.valid)
            past.append(cache)
        logits = self.out(self.norm(x[:, 0])).float()
        return logits, state._replace(past=past, length=state.length + 1)

    def maps(self, tokens: Tensor, encoded: Encoded) -> Tensor:
        """Attention weights f32[B, L * H, U, T'] over the encoder's output, of all layers and heads."""
        x, maps, valid = self._embed(tokens, 0), [], _valid(encoded)
        for layer in self._layers:
            remembered = layer.remember(encoded)
            maps.append(layer.weights(x, remembered, valid))
            x = layer(x, remembered, valid)
        return torch.cat(maps, dim=1)

    def _embed(self, tokens: Tensor, first: int) -> Tensor:
        x: Tensor = self.embed(tokens)
        if self.absolute:
            x = x + sinusoids(tokens.shape[1], self.dim, first).to(x)
        x = self.dropout(x)
        return x

    def _remember(self, encoded: Encoded | None) -> Sequence[Cache | None]:
        return [None if encoded is None else layer.remember(encoded) for layer in self._layers]

    @property
    def _layers(self) -> list[DecoderLayer]:
        return cast(list[DecoderLayer], list(self.layers))


def _valid(encoded: Encoded | None) -> Tensor | None:
    """bool[B, T']; an utterance without frames attends to its padding: a softmax needs a frame."""
    return None if encoded is None else valid_mask(encoded.lens.clamp(min=1), encoded.out.shape[1])
