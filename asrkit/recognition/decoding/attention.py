"""Decoding with an attention decoder: as a scorer of the next token, greedily, and times for the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from asrkit.learning.models.asr import AsrModel
from asrkit.learning.models.decoders import decoder_inputs
from asrkit.learning.models.encoded import Encoded
from asrkit.recognition.decoding.ctc_kernels import align
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.posteriors import IMPOSSIBLE, utterances

SHORTEST = 4  # feature frames: at most one token every 40 ms, 25 a second


def longest(model: AsrModel, encoded: Encoded) -> Tensor:
    """The most tokens each utterance may have, int64[B], where nothing else bounds them."""
    return encoded.lens * model.stride // SHORTEST + (encoded.lens > 0)


class DecoderScorer:
    """log p(token | prefix) by an attention decoder of an utterance, or by a neural language model.

    Args:
        decoder: an attention decoder, or a language model of the same interface.
        eos: id of ``<sos/eos>``.
        encoded: of one utterance, without padding; None for a language model.
    """

    highest = 0.0

    def __init__(self, decoder: Any, eos: int, encoded: Encoded | None = None) -> None:
        self.decoder, self.eos, self.encoded = decoder, eos, encoded
        self.device = next(decoder.parameters()).device

    def start(self, count: int) -> Any:
        state = self.decoder.start(self.encoded)
        return state.select(torch.zeros(count, dtype=torch.int64, device=self.device))

    def score(self, prefixes: Tensor, state: Any) -> tuple[Tensor, Any]:
        last = prefixes[:, -1] if prefixes.shape[1] else torch.full((len(prefixes),), self.eos)
        logits, state = self.decoder.step(last.to(self.device), state)
        return logits.log_softmax(dim=-1), state

    def select(self, state: Any, index: Tensor) -> Any:
        return state.select(index.to(self.device))


def attention_greedy_search(model: AsrModel, encoded: Encoded) -> list[Hypothesis]:
    """The likeliest next token until the end, all utterances of a batch at once.

    Blank is never chosen, and an utterance ends at the latest after :func:`longest` tokens.
    """
    count, device = len(encoded.lens), encoded.out.device
    room = longest(model, encoded)
    only_end = torch.full((model.vocab,), -torch.inf, device=device)
    only_end[model.eos] = 0.0
    no_blank = torch.zeros(model.vocab, device=device)
    no_blank[0] = -torch.inf

    state = model.decoder.start(encoded)
    token = torch.full((count,), model.eos, device=device)
    running = torch.ones(count, dtype=torch.bool, device=device)
    tokens: list[Tensor] = []
    total = torch.zeros(count, dtype=torch.float64, device=device)
    while bool(running.any()):
        logits, state = model.decoder.step(token, state)
        log_probs = logits.log_softmax(dim=-1) + no_blank
        full = (len(tokens) >= room)[:, None]
        score, token = torch.where(full, log_probs + only_end, log_probs).max(dim=-1)
        total += torch.where(running, score, 0.0)
        token = torch.where(running, token, model.eos)
        tokens.append(token)
        running = running & (token != model.eos)
    paths = torch.stack(tokens, dim=1).tolist()
    return [
        Hypothesis(tuple(path[: path.index(model.eos)]), score, {"attention": score})
        for path, score in zip(paths, total.tolist(), strict=True)
    ]


def with_times(
    model: AsrModel, encoded: Encoded, hypotheses: Sequence[Hypothesis], frame_seconds: float
) -> list[Hypothesis]:
    """Give hypotheses of an attention decoder the times and confidences that its search did not need.

    Times come from the CTC head by forced alignment. Where there is none, or its frames are too few, a token
    is where the decoder looked: at the frame of its largest weight (mean over layers and heads), but not
    before the token in front of it. Confidences are the decoder's own posteriors, given the tokens before;
    that of the whole is their geometric mean, the end included.

    Args:
        model: has an attention head.
        encoded: of one utterance, without padding.
        hypotheses: of this utterance.
        frame_seconds: seconds between two encoder frames.
    """
    if not hypotheses:
        return []
    inputs, rows, gained = _read_again(model, encoded, hypotheses)
    spans = _ctc_spans(model, encoded, hypotheses)
    if any(found is None for found in spans):
        maps = model.decoder.maps(inputs, rows).mean(dim=1).cpu().numpy()
        spans = [
            _looked_at(maps[k, : len(h.tokens)]) if spans[k] is None else spans[k]
            for k, h in enumerate(hypotheses)
        ]
    finished = []
    for k, hypothesis in enumerate(hypotheses):
        length = len(hypothesis.tokens)
        found = spans[k]
        assert found is not None
        finished.append(
            replace(
                hypothesis,
                times=(found * frame_seconds).astype(np.float32),
                token_confidence=np.exp(gained[k, :length]),
                confidence=float(np.exp(gained[k, : length + 1].mean())),
            )
        )
    return finished


def rescore(
    model: AsrModel, encoded: Encoded, hypotheses: Sequence[Hypothesis], ctc_weight: float
) -> list[Hypothesis]:
    """Order hypotheses of a CTC search by what the attention decoder says of them too, best first.

    Their CTC score is replaced by ``ctc_weight * ctc + (1 - ctc_weight) * attention``; what a language model
    or a word bonus gave stays as it is (Zhang et al. 2020, "Unified Streaming and Non-streaming Two-pass
    End-to-end Model", section 3.3, with a language model in both passes).

    Args:
        model: has an attention head.
        encoded: of one utterance, without padding.
        hypotheses: of this utterance, with the part ``ctc``.
        ctc_weight: 0..1.
    """
    if not hypotheses:
        return []
    _, _, gained = _read_again(model, encoded, hypotheses)
    rescored = []
    for row, hypothesis in zip(gained, hypotheses, strict=True):
        attention = float(row[: len(hypothesis.tokens) + 1].sum(dtype=np.float64))
        change = (1 - ctc_weight) * (attention - hypothesis.parts["ctc"])
        parts = {**hypothesis.parts, "attention": attention}
        rescored.append(replace(hypothesis, score=hypothesis.score + change, parts=parts))
    return sorted(rescored, key=lambda h: -h.score)


def _read_again(
    model: AsrModel, encoded: Encoded, hypotheses: Sequence[Hypothesis]
) -> tuple[Tensor, Encoded, np.ndarray]:
    """Decoder inputs int64[N, U + 1], encoder frames repeated, log p of each token and end f32[N, U + 1]."""
    tokens = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor([*h.tokens, model.eos]) for h in hypotheses], batch_first=True, padding_value=model.eos
    ).to(encoded.out.device)
    inputs = decoder_inputs(tokens[:, :-1], model.eos)
    rows = Encoded(encoded.out.expand(len(tokens), -1, -1), encoded.lens.expand(len(tokens)))
    log_probs = model.decoder(inputs, rows).log_softmax(dim=-1)
    return inputs, rows, log_probs.gather(2, tokens[..., None])[..., 0].cpu().numpy()


def _ctc_spans(
    model: AsrModel, encoded: Encoded, hypotheses: Sequence[Hypothesis]
) -> list[np.ndarray | None]:
    """Each token's first encoder frame and the one after its last, f64[U, 2]; None where CTC cannot tell."""
    if "ctc" not in model.heads:
        return [None] * len(hypotheses)
    log_probs, lens = model.ctc_log_probs(encoded)
    frames, _, best = utterances(log_probs.cpu().numpy(), lens.cpu().numpy())[0]
    spans: list[np.ndarray | None] = []
    for hypothesis in hypotheses:
        tokens = np.array(hypothesis.tokens, np.int32)
        needed = len(tokens) + sum(a == b for a, b in pairwise(hypothesis.tokens))
        if needed > len(frames):
            spans.append(None)
        else:
            found, _ = align(np.maximum(frames, IMPOSSIBLE), best, tokens, 0)
            spans.append(found / model.config.ctc_frames)
    return spans


def _looked_at(weights: np.ndarray) -> np.ndarray:
    """Each token's frame and the one after it, int64[U, 2], from attention weights f32[U, T']."""
    peaks = np.maximum.accumulate(weights.argmax(axis=1)) if len(weights) else np.zeros(0, np.int64)
    return np.stack([peaks, peaks + 1], axis=1)
