"""The speller of "Listen, Attend and Spell" (Chan et al. 2016, section 3.2): an LSTM that attends."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asrkit.config import LstmDecoderConfig
from asrkit.learning.models.attention import split_heads
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.padding import valid_mask


class SpellerState(NamedTuple):
    """State of K hypotheses.

    Attributes:
        hidden: of each layer, output and cell f32[K, D].
        context: f32[K, M], the last context vector.
        weights: f32[K, H, T'], the last attention weights.
        memory, keys: f32[1 or K, T', M] and f32[1 or K, H, T', D / H].
        valid: bool[1 or K, 1, T'].
    """

    hidden: list[tuple[Tensor, Tensor]]
    context: Tensor
    weights: Tensor
    memory: Tensor
    keys: Tensor
    valid: Tensor

    def select(self, index: Tensor) -> SpellerState:
        """The state of the hypotheses int64[K'] `index`."""
        hidden = [(h[index], c[index]) for h, c in self.hidden]
        return self._replace(hidden=hidden, context=self.context[index], weights=self.weights[index])


class Attention(nn.Module):
    """Attention weights over the encoder's output, from the decoder's state.

    - ``dot``: q·k / sqrt(D / H) (Luong et al. 2015; scaled as by Vaswani et al. 2017, equation 1);
    - ``additive``: v·tanh(q + k) (Bahdanau et al. 2015, appendix A.1.2);
    - ``location``: v·tanh(q + k + f), f a convolution of the last weights (Chorowski et al.
      2015, equations 8 and 9).
    """

    def __init__(self, kind: str, dim: int, heads: int, memory_dim: int, filters: int = 16, width: int = 31):
        super().__init__()
        self.kind, self.heads, size = kind, heads, dim // heads
        self.query, self.key = nn.Linear(dim, dim), nn.Linear(memory_dim, dim)
        self.mix = nn.Linear(heads * memory_dim, memory_dim) if heads > 1 else nn.Identity()
        if kind != "dot":
            self.energy = nn.Parameter(torch.randn(heads, size) / size**0.5)
        if kind == "location":
            self.filter = nn.Conv1d(1, filters, width, padding=width // 2, bias=False)
            self.seen = nn.Linear(filters, size, bias=False)

    def keys(self, memory: Tensor) -> Tensor:
        """f32[B, H, T', D / H], computed once per utterance."""
        return split_heads(self.key(memory), self.heads)

    def forward(
        self, x: Tensor, memory: Tensor, keys: Tensor, valid: Tensor, last: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Queries [K, D] and last weights [K, H, T'] to context [K, M] and weights f32[K, H, T']."""
        q = self.query(x).unflatten(-1, (self.heads, -1))
        if self.kind == "dot":
            scores = torch.einsum("khd,khtd->kht", q, keys.expand(len(q), -1, -1, -1)) / q.shape[-1] ** 0.5
        else:
            summed = q[:, :, None] + keys
            if self.kind == "location":
                filtered = self.filter(last.flatten(0, 1)[:, None].to(q.dtype)).transpose(1, 2)
                summed = summed + self.seen(filtered).unflatten(0, (len(q), self.heads))
            scores = torch.einsum("khtd,hd->kht", summed.tanh(), self.energy.to(summed.dtype))
        weights = scores.float().masked_fill(~valid, -torch.inf).softmax(dim=-1)
        context = weights.to(memory.dtype) @ memory.expand(len(q), -1, -1)
        return self.mix(context.flatten(1)), weights


class LstmDecoder(nn.Module):
    """Tokens int64[B, U] and encoder output to logits f32[B, U, V].

    With input feeding the first LSTM sees the last context beside the token.

    Args:
        config: its shape.
        vocab: number of tokens V.
        memory_dim: width of the encoder's output.
    """

    def __init__(self, config: LstmDecoderConfig, vocab: int, memory_dim: int) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(vocab, config.embed)
        first = config.embed + (memory_dim if config.input_feeding else 0)
        self.cells = nn.ModuleList(
            nn.LSTMCell(config.hidden if layer else first, config.hidden) for layer in range(config.layers)
        )
        self.attention = Attention(config.attention, config.hidden, config.heads, memory_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.wide = nn.Linear(config.hidden + memory_dim, config.hidden)
        self.out = nn.Linear(config.hidden, vocab)

    def forward(self, tokens: Tensor, encoded: Encoded) -> Tensor:
        """All logits.

        Scheduled sampling (Bengio et al. 2015): in training each token after the first is drawn from the
        model's last output with probability `scheduled_sampling`.
        """
        state, outputs = self.start(encoded), list[Tensor]()
        for position in range(tokens.shape[1]):
            token = tokens[:, position]
            if self.training and self.config.scheduled_sampling and position:
                drawn = torch.multinomial(outputs[-1].detach().softmax(dim=-1), 1)[:, 0]
                use = torch.rand(len(token), device=token.device) < self.config.scheduled_sampling
                token = torch.where(use, drawn, token)
            logits, state = self.step(token, state)
            outputs.append(logits)
        return torch.stack(outputs, dim=1)

    def start(self, encoded: Encoded) -> SpellerState:
        """The state before the first token; the encoder's output is of one utterance or of each row."""
        memory = encoded.out
        zeros = memory.new_zeros(len(memory), self.config.hidden)
        # An utterance without frames attends to its padding: a softmax needs a frame.
        valid = valid_mask(encoded.lens.clamp(min=1), memory.shape[1])[:, None]
        return SpellerState(
            [(zeros, zeros)] * self.config.layers,
            memory.new_zeros(len(memory), memory.shape[2]),
            (valid / valid.sum(dim=-1, keepdim=True)).expand(-1, self.config.heads, -1),
            memory,
            self.attention.keys(memory),
            valid,
        )

    def step(self, tokens: Tensor, state: SpellerState) -> tuple[Tensor, SpellerState]:
        """Logits f32[K, V] after one more token int64[K] each."""
        x = self.dropout(self.embed(tokens))
        if self.config.input_feeding:
            x = torch.cat([x, state.context.to(x.dtype)], dim=-1)
        hidden = []
        for cell, before in zip(self.cells, state.hidden, strict=True):
            h, c = cell(x, before)
            hidden.append((h, c))
            x = self.dropout(h)
        context, weights = self.attention(x, state.memory, state.keys, state.valid, state.weights)
        wide = self.wide(torch.cat([x, context.to(x.dtype)], dim=-1))
        logits = self.out(self.dropout(F.silu(wide))).float()
        return logits, state._replace(hidden=hidden, context=context, weights=weights)

    def maps(self, tokens: Tensor, encoded: Encoded) -> Tensor:
        """Attention weights f32[B, H, U, T'] over the encoder's output."""
        state, maps = self.start(encoded), []
        for position in range(tokens.shape[1]):
            _, state = self.step(tokens[:, position], state)
            maps.append(state.weights)
        return torch.stack(maps, dim=2)
