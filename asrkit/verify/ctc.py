"""The CTC loss, its gradient and forced alignment beside the reference."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from asrkit.learning.models.asr import Batch
from asrkit.recognition.align.ctc import ctc_align
from asrkit.reference import ctc
from asrkit.reference.align import forced_alignment
from asrkit.verify.checks import Finding, largest
from asrkit.verify.subject import Subject, sentences, torch_acoustics


def loss_and_gradient(subject: Subject) -> tuple[torch.Tensor, torch.Tensor]:
    """The model's CTC loss f64[2B] of both texts of each recording, and its gradient f64[2B, T', V].

    All are one batch. The posteriors stand for the outputs before softmax.
    """
    texts = [torch.tensor(text, dtype=torch.int64) for r in subject.recordings for text in r.texts]
    frames = [torch.from_numpy(r.log_probs).double() for r in subject.recordings for _ in r.texts]
    tokens = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    logits = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True).requires_grad_()
    lens, token_lens = (torch.tensor([len(x) for x in many]) for many in (frames, texts))
    batch = Batch([r.name for r in subject.recordings for _ in r.texts], logits, lens, tokens, token_lens)
    losses = torch_acoustics(subject.recognizer).model.ctc_loss(logits.log_softmax(-1), lens, batch)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    return losses.detach(), gradient


def ctc_loss(subject: Subject) -> Iterator[Finding]:
    """The CTC loss that training minimises."""
    losses, _ = loss_and_gradient(subject)
    for actual, (where, log_probs, text) in zip(losses.tolist(), sentences(subject), strict=True):
        expected, _ = ctc.ctc_loss_from_logits(log_probs, text)
        yield largest(np.array([actual]), np.array([expected]))[0], where


def ctc_gradient(subject: Subject) -> Iterator[Finding]:
    """Its gradient with respect to the outputs before softmax, padding included."""
    _, gradients = loss_and_gradient(subject)
    for actual, (where, log_probs, text) in zip(gradients.numpy(), sentences(subject), strict=True):
        expected = np.zeros_like(actual)
        expected[: len(log_probs)] = ctc.ctc_loss_from_logits(log_probs, text)[1]
        difference, frame = largest(actual, expected)
        yield difference, f"{where}, output frame {frame}"


def alignment(subject: Subject) -> Iterator[Finding]:
    """The best path of known tokens: its score, and that it spells these tokens."""
    for where, log_probs, text in sentences(subject):
        spans, score = ctc_align(log_probs, text)
        path = np.zeros(len(log_probs), np.int64)
        for token, (first, after) in zip(text, spans, strict=True):
            path[first:after] = token
        if ctc.collapse(path.tolist()) != tuple(text):
            yield math.inf, f"{where}: the spans belong to other tokens"
        yield abs(score - forced_alignment(log_probs, text).score), where
