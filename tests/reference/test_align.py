"""Forced alignment and edit distance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from reference.posteriors import KINDS, log_posteriors, needed_frames

from asrkit.reference import brute_force
from asrkit.reference.align import forced_alignment
from asrkit.reference.ctc import collapse, ctc_log_probability
from asrkit.reference.edit_distance import edit_distance

SENTENCES = st.lists(st.sampled_from("abc"), max_size=12)


@pytest.mark.parametrize("kind", KINDS)
def test_alignment_is_the_best_of_all_paths(kind: str) -> None:
    rng = np.random.default_rng(19)
    aligned = 0
    for _ in range(100):
        frames, vocabulary = int(rng.integers(0, 6)), int(rng.integers(2, 5))
        log_probs = log_posteriors(rng, frames, vocabulary, kind)
        labels = collapse(rng.integers(vocabulary, size=frames).tolist())
        path, score = brute_force.best_alignment(log_probs, labels)
        if score == -np.inf:
            with pytest.raises(ValueError, match="no path"):
                forced_alignment(log_probs, labels)
            continue
        actual = forced_alignment(log_probs, labels)
        assert actual.score == pytest.approx(score, abs=1e-12)
        assert brute_force.path_log_probability(log_probs, actual.path) == pytest.approx(score, abs=1e-12)
        assert collapse(actual.path) == labels
        if kind in ("flat", "peaky"):  # no ties
            assert actual.path == path
        aligned += 1
    assert aligned >= 10


def test_spans_are_the_frames_of_each_token() -> None:
    rng = np.random.default_rng(20)
    log_probs = log_posteriors(rng, 80, 6, "flat")
    labels = rng.integers(1, 6, size=30).tolist()
    actual = forced_alignment(log_probs, labels)
    covered = np.zeros(80, np.int64)
    for (first, after), label in zip(actual.spans, labels, strict=True):
        assert set(actual.path[first:after]) == {label}
        covered[first:after] = label
    np.testing.assert_array_equal(covered, actual.path)
    assert actual.score < ctc_log_probability(log_probs, labels)


def test_too_few_frames_are_refused() -> None:
    labels = [1, 1, 2]
    frames = needed_frames(labels)
    assert len(forced_alignment(np.zeros((frames, 3)), labels).spans) == 3
    with pytest.raises(ValueError, match="no path of 3 frames gives the labels"):
        forced_alignment(np.zeros((frames - 1, 3)), labels)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(SENTENCES, SENTENCES)
def test_edit_distance_agrees_with_rapidfuzz(reference: list[str], hypothesis: list[str]) -> None:
    actual = edit_distance(reference, hypothesis)
    assert actual.distance == Levenshtein.distance(reference, hypothesis)
    assert [meant for meant, _ in actual.pairs if meant is not None] == reference
    assert [said for _, said in actual.pairs if said is not None] == hypothesis
    assert actual.distance == sum(meant != said for meant, said in actual.pairs)
    assert actual.distance == actual.substitutions + actual.deletions + actual.insertions
    assert len(hypothesis) - len(reference) == actual.insertions - actual.deletions
    assert actual.substitutions == sum(
        meant != said for meant, said in actual.pairs if meant is not None and said is not None
    )
