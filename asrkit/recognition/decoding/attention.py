"""Decoding with an attention head: greedy search, rescoring, and times of the tokens."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from asrkit.recognition.acoustics import AcousticModel, EncodedBatch
from asrkit.recognition.decoding.ctc_kernels import align
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.posteriors import IMPOSSIBLE, utterances

SHORTEST = 4  # feature frames: at most one token every 40 ms, 25 a second


def longest(model: AcousticModel, encoded: EncodedBatch) -> np.ndarray:
    """The most tokens each utterance may have, int64[B], if nothing else bounds them."""
    return encoded.lens * model.stride // SHORTEST + (encoded.lens > 0)


def attention_greedy_search(model: AcousticModel, encoded: EncodedBatch) -> list[Hypothesis]:
    """The likeliest next token until the end, all utterances of a batch at once.

    Blank is never chosen, and an utterance ends at the latest after :func:`longest` tokens.
    """
    head, eos, room = encoded.attention(), model.eos, longest(model, encoded)
    count = len(room)
    state, token = head.start(), np.full(count, eos)
    running, total = np.ones(count, bool), np.zeros(count)
    tokens: list[np.ndarray] = []
    while running.any():
        log_probs, state = head.step(token, state)
        log_probs[:, 0] = -np.inf
        token = np.where(len(tokens) >= room, eos, log_probs.argmax(axis=1))
        total += np.where(running, log_probs[np.arange(count), token], 0.0)
        token = np.where(running, token, eos)
        tokens.append(token)
        running &= token != eos
    paths = np.stack(tokens, axis=1).tolist() if tokens else []
    return [
        Hypothesis(tuple(path[: path.index(eos)]), score, {"attention": score})
        for path, score in zip(paths, total.tolist(), strict=True)
    ]


def with_times(
    model: AcousticModel, encoded: EncodedBatch, hypotheses: Sequence[Hypothesis], frame_seconds: float
) -> list[Hypothesis]:
    """Give hypotheses of an attention head the times and confidences that its search did not need.

    Times come from the CTC head by forced alignment. Without one, or with too few frames, a token is at the
    frame of its largest attention weight (mean over layers and heads), but not before the previous token.
    Confidences are the head's posteriors, given the previous tokens; that of the hypothesis is their
    geometric mean, the end included.

    Args:
        model: has an attention head.
        encoded: one utterance, without padding, to which the `hypotheses` belong.
        frame_seconds: seconds between two encoder frames.
    """
    if not hypotheses:
        return []
    head, texts, maps = encoded.attention(), [h.tokens for h in hypotheses], None
    log_probs = head.log_probs(texts)
    finished = []
    for k, span in enumerate(_ctc_spans(model, encoded, texts)):
        length = len(texts[k])
        if span is None:
            maps = head.maps(texts).mean(axis=1) if maps is None else maps
            span = _attended(maps[k, :length])
        times, confidence = (span * frame_seconds).astype(np.float32), np.exp(log_probs[k, :length])
        whole = float(np.exp(log_probs[k, : length + 1].mean()))
        finished.append(replace(hypotheses[k], times=times, token_confidence=confidence, confidence=whole))
    return finished


def rescore(encoded: EncodedBatch, hypotheses: Sequence[Hypothesis], ctc_weight: float) -> list[Hypothesis]:
    """Rescore hypotheses of a CTC search by the attention head, best first.

    Their CTC score is replaced by ``ctc_weight * ctc + (1 - ctc_weight) * attention``; scores of a language
    model or a word bonus stay (Zhang et al. 2020, "Unified Streaming and Non-streaming Two-pass
    End-to-end Model", section 3.3, with a language model in both passes).

    Args:
        encoded: one utterance, without padding, of a model with an attention head.
        hypotheses: of this utterance, with the part ``ctc``.
        ctc_weight: 0..1.
    """
    if not hypotheses:
        return []
    rescored, rows = [], encoded.attention().log_probs([h.tokens for h in hypotheses])
    for row, hypothesis in zip(rows, hypotheses, strict=True):
        attention = float(row[: len(hypothesis.tokens) + 1].sum(dtype=np.float64))
        change = (1 - ctc_weight) * (attention - hypothesis.parts["ctc"])
        parts = {**hypothesis.parts, "attention": attention}
        rescored.append(replace(hypothesis, score=hypothesis.score + change, parts=parts))
    return sorted(rescored, key=lambda h: -h.score)


def _ctc_spans(
    model: AcousticModel, encoded: EncodedBatch, texts: Sequence[tuple[int, ...]]
) -> Iterator[np.ndarray | None]:
    """Each token's first encoder frame and the one after its last, f64[U, 2]; None where CTC cannot tell."""
    if "ctc" not in model.heads:
        yield from [None] * len(texts)
        return
    frames, _, best = utterances(*encoded.ctc_log_probs())[0]
    for text in texts:
        if len(text) + sum(a == b for a, b in pairwise(text)) > len(frames):
            yield None
        else:
            yield (
                align(np.maximum(frames, IMPOSSIBLE), best, np.array(text, np.int32), 0)[0] / model.ctc_frames
            )


def _attended(weights: np.ndarray) -> np.ndarray:
    """Each token's frame and the one after it, int64[U, 2], from attention weights f32[U, T']."""
    peaks = np.maximum.accumulate(weights.argmax(axis=1)) if len(weights) else np.zeros(0, np.int64)
    return np.stack([peaks, peaks + 1], axis=1)
