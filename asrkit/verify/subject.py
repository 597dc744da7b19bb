"""What is verified: a model, recordings, and their posteriors."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from asrkit.errors import DataError
from asrkit.learning.torch_acoustics import TorchAcoustics, TorchAttentionHead
from asrkit.recognition.acoustics import EncodedBatch
from asrkit.recognition.decoding.attention import attention_greedy_search
from asrkit.recognition.recognizer import Recognizer
from asrkit.reference import ctc_decode


class Recording(NamedTuple):
    """Audio f32[N], its log posteriors f32[T', V], and two texts.

    Posteriors come from the CTC head, else the frame head, else the attention head for its greedy text.
    With CTC, the first text is the best path's; the second is wrong: the best token other than blank of every
    third frame. T' frames can hold both. Without CTC, they are the greedy text and its reverse.
    """

    name: str
    wave: np.ndarray
    log_probs: np.ndarray
    texts: tuple[Sequence[int], Sequence[int]]


class Subject(NamedTuple):
    """What is verified."""

    recognizer: Recognizer
    recordings: list[Recording]


def recording(recognizer: Recognizer, name: str, wave: np.ndarray) -> Recording:
    """Run the model on one recording. Raises DataError if it is too short for one output frame."""
    log_probs = posteriors(recognizer, [wave])[0]
    if len(log_probs) == 0:
        raise DataError(f"{name} is too short to verify anything on it", "give a second or more")
    texts: tuple[Sequence[int], Sequence[int]] = ([], [])
    if "ctc" in recognizer.model.heads:
        wrong = log_probs[::3, 1:].argmax(axis=1) + 1
        texts = (ctc_decode.greedy(log_probs).tokens, wrong.tolist())
    elif "attention" in recognizer.model.heads:
        text = attention_text(recognizer, wave)
        texts = (text, text[::-1])
    return Recording(name, wave, log_probs, texts)


def posteriors(recognizer: Recognizer, waves: list[np.ndarray]) -> list[np.ndarray]:
    """Log posteriors f32[T', V] of each wave f32[N], all run in one batch; see :class:`Recording`."""
    encoded = recognizer.encode(waves)
    if "ctc" in recognizer.model.heads:
        log_probs, lens = encoded.ctc_log_probs()
    elif "frame" in recognizer.model.heads:
        log_probs, lens = encoded.frame_log_probs(), encoded.lens
    else:
        text = attention_text(recognizer, waves[0])
        log_probs = attention_log_probs(encoded, [text] * len(waves))
        lens = np.full(len(waves), len(text) + 1)
    return [x[:n] for x, n in zip(log_probs, lens.tolist(), strict=True)]


def attention_text(recognizer: Recognizer, wave: np.ndarray) -> list[int]:
    """The greedy text of the attention head for a wave f32[N]."""
    return list(attention_greedy_search(recognizer.model, recognizer.encode([wave]))[0].tokens)


def attention_log_probs(encoded: EncodedBatch, texts: Sequence[Sequence[int]]) -> np.ndarray:
    """The attention head's teacher-forced log posteriors f32[B, U + 1, V] of a text each."""
    head = encoded.attention()
    assert isinstance(head, TorchAttentionHead)
    return head.teacher_forced(texts)


def torch_acoustics(recognizer: Recognizer) -> TorchAcoustics:
    """The torch acoustics of a recogniser."""
    assert isinstance(recognizer.acoustics, TorchAcoustics)
    return recognizer.acoustics


def sentences(subject: Subject) -> Iterator[tuple[str, np.ndarray, Sequence[int]]]:
    """Each text of each recording: its position, log posteriors f64[T', V] and tokens."""
    for name, _, log_probs, texts in subject.recordings:
        for kind, text in zip(("best path's text", "wrong text"), texts, strict=True):
            yield f"{name}, {kind} of {len(text)} tokens", log_probs.astype(np.float64), text
