"""CTC forced alignment against enumeration, and what cannot be aligned."""

from __future__ import annotations

import math

import numpy as np
import pytest

from asrkit.errors import DataError, UsageError
from asrkit.recognition.align.ctc import ctc_align
from asrkit.reference import brute_force
from asrkit.reference.ctc import collapse


def test_alignment_is_the_likeliest_path() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        frames, vocab = int(rng.integers(1, 6)), int(rng.integers(2, 5))
        logits = rng.normal(size=(frames, vocab))
        logits[rng.random(logits.shape) < 0.2] = -np.inf
        logits[:, 0] = rng.normal(size=frames)
        log_probs = logits.astype(np.float32)
        for text in brute_force.every_string(frames, range(1, vocab)):
            paths = [
                brute_force.path_log_probability(log_probs.astype(np.float64), path)
                for path in brute_force.every_path(frames, vocab)
                if collapse(path) == text
            ]
            if max(paths, default=-math.inf) == -math.inf:
                with pytest.raises(DataError, match="no path"):
                    ctc_align(log_probs, text)
            else:
                spans, score = ctc_align(log_probs, text)
                assert score == pytest.approx(max(paths), abs=1e-9)
                assert spans.shape == (len(text), 2) and (spans[:, 0] < spans[:, 1]).all()


@pytest.mark.parametrize("tokens", [[0], [4], [-1], [1, 0]])
def test_tokens_that_cannot_be_aligned_are_refused(tokens: list[int]) -> None:
    with pytest.raises(UsageError, match="cannot align"):
        ctc_align(np.zeros((5, 4), np.float32), tokens)


def test_alignment_of_nothing() -> None:
    assert ctc_align(np.zeros((0, 4), np.float32), [])[1] == 0.0
    with pytest.raises(DataError, match="no path of 0 frames"):
        ctc_align(np.zeros((0, 4), np.float32), [1])
