"""Random frame posteriors for the tests of the reference, ordinary and degenerate."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from asrkit.reference.softmax import log_softmax

KINDS = ("flat", "peaky", "uniform", "one-hot", "with zeros")


def log_posteriors(rng: np.random.Generator, frames: int, vocabulary: int, kind: str) -> np.ndarray:
    """float64[T, V], each frame's log probabilities."""
    shape = (frames, vocabulary)
    if kind == "uniform":
        return np.full(shape, -np.log(vocabulary))
    if kind == "one-hot":
        return np.where(np.eye(vocabulary)[rng.integers(vocabulary, size=frames)] > 0, 0.0, -np.inf)
    logits = rng.normal(scale=4.0 if kind == "peaky" else 1.0, size=shape)
    if kind == "with zeros":
        possible = rng.random(shape) < 0.5
        possible[np.arange(frames), rng.integers(vocabulary, size=frames)] = True
        logits = np.where(possible, logits, -np.inf)
    return log_softmax(logits)


def random_labels(rng: np.random.Generator, frames: int, vocabulary: int) -> tuple[str, list[int]]:
    """Labels of one of the kinds that matter to CTC, and the kind's name."""
    kind = str(rng.choice(["any", "empty", "repeated", "minimal", "too long"]))
    if kind == "empty":
        return kind, []
    if kind == "repeated":
        return kind, [int(rng.integers(1, vocabulary))] * int(rng.integers(2, 4))
    if kind == "any":
        return kind, rng.integers(1, vocabulary, size=rng.integers(1, frames + 2)).tolist()
    labels: list[int] = []
    while needed_frames(labels) < frames + (kind == "too long"):
        labels.append(int(rng.integers(1, vocabulary)))
    if kind == "minimal" and needed_frames(labels) > frames:
        labels.pop()
    return kind, labels


def needed_frames(labels: list[int]) -> int:
    """One frame a label, and one more for the blank between two of the same."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))
