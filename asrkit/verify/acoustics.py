"""Weights, features and posteriors under conditions that must not matter."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from asrkit.learning.features.frontend import GivenFeatures
from asrkit.recognition.decoding.scorers import TokenModelScorer
from asrkit.recognition.recognizer import Recognizer
from asrkit.reference.features import log_mel
from asrkit.verify.checks import Finding, largest
from asrkit.verify.subject import Subject, attention_log_probs, posteriors, torch_acoustics

GIANT = 1e9  # no training gives such a weight; damaged bytes do
AUDIBLE = math.log(1e-6)  # bands 60 dB below their frame's loudest are rounding noise in single precision


def weights_sane(subject: Subject) -> Iterator[Finding]:
    """How many weights of each tensor are NaN, infinite or impossibly large."""
    for name, weights in torch_acoustics(subject.recognizer).model.state_dict().items():
        yield float((~(weights.abs() < GIANT)).sum()), f"tensor {name}"


def same_twice(subject: Subject) -> Iterator[Finding]:
    """The same audio gives the same posteriors, bit for bit."""
    for name, wave, log_probs, _ in subject.recordings:
        difference, frame = largest(posteriors(subject.recognizer, [wave])[0], log_probs)
        yield difference, f"{name}, output frame {frame}"


def padding(subject: Subject) -> Iterator[Finding]:
    """Audio alone gives the posteriors it gives in a batch beside audio of twice its length."""
    for name, wave, log_probs, _ in subject.recordings:
        padded, _ = posteriors(subject.recognizer, [wave, np.concatenate([wave, wave])])
        difference, frame = largest(padded, log_probs)
        yield difference, f"{name}, output frame {frame}"


def features(recognizer: Recognizer, wave: np.ndarray) -> np.ndarray:
    """Features f32[T, F] of a wave f32[N]."""
    samples = torch.from_numpy(wave)[None]
    feats: np.ndarray = torch_acoustics(recognizer).frontend(samples, torch.tensor([len(wave)]))[0][0].numpy()
    return feats


def audible(feats: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Log energies [T, F], floored 60 dB below the loudest band of each of `frames` [T, F]."""
    floored: np.ndarray = np.maximum(feats, frames.max(axis=1, keepdims=True) + AUDIBLE)
    return floored


def features_by_frame(subject: Subject) -> Iterator[Finding]:
    """Features of the whole recording equal those of each frame's neighbourhood alone."""
    frontend = torch_acoustics(subject.recognizer).frontend
    if isinstance(frontend, GivenFeatures):
        return
    reach = math.ceil(frontend.window_size / frontend.shift)
    for name, wave, *_ in subject.recordings:
        whole = features(subject.recognizer, wave)
        single = np.empty_like(whole)
        for t in range(len(whole)):
            first = max(0, t - reach)
            part = wave[first * frontend.shift : (t + reach) * frontend.shift + frontend.window_size]
            single[t] = features(subject.recognizer, part)[t - first]
        difference, frame = largest(audible(single, whole), audible(whole, whole))
        yield difference, f"{name}, frame {frame}"


def features_numpy(subject: Subject) -> Iterator[Finding]:
    """Log-mel energies equal the reference's; other kinds of features have no reference."""
    config = subject.recognizer.config.features
    if config.kind != "fbank":
        return
    for name, wave, *_ in subject.recordings:
        actual = features(subject.recognizer, wave)
        expected = log_mel(
            wave,
            config.sample_rate,
            config.mel_bins,
            config.frame_ms,
            config.shift_ms,
            config.low_hz,
            config.top_hz,
            config.preemphasis,
        )
        difference, frame = largest(audible(actual, expected), audible(expected, expected))
        yield difference, f"{name}, frame {frame}"


def attention_steps(subject: Subject) -> Iterator[Finding]:
    """The attention head token by token, as in beam search, and all at once, as in training."""
    recognizer = subject.recognizer
    for name, wave, _, texts in subject.recordings:
        for text in texts:
            encoded, tokens = recognizer.encode([wave]), np.array([text], np.int64)
            whole = attention_log_probs(encoded, [text])[0]
            scorer = TokenModelScorer(encoded.attention())
            state, steps = scorer.start(1), []
            for length in range(len(text) + 1):
                scores, state = scorer.score(tokens[:, :length], state)
                steps.append(scores[0])
            difference, length = largest(np.stack(steps), whole)
            yield difference, f"{name}, after {length} of {len(text)} tokens"
