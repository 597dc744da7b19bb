"""CTC: brute force = NumPy = torch, in ordinary and degenerate cases."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference.posteriors import KINDS, log_posteriors, needed_frames, random_labels

from asrkit.reference import brute_force
from asrkit.reference.ctc import (
    backward_variables,
    collapse,
    ctc_log_probability,
    ctc_loss,
    ctc_loss_batch,
    ctc_loss_from_logits,
    forward_variables,
)
from asrkit.reference.gradient_check import gradient_error


def torch_ctc(
    logits: np.ndarray, lengths: list[int], labels: list[list[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """torch's losses [B], and gradient of the sum of the finite ones with respect to the logits [B, T, V]."""
    leaf = torch.tensor(logits, requires_grad=True)
    log_probs = leaf.log_softmax(-1).transpose(0, 1)
    targets = torch.tensor([token for sequence in labels for token in sequence], dtype=torch.long)
    sizes = torch.tensor([len(sequence) for sequence in labels])

    def loss(zero_infinity: bool) -> torch.Tensor:
        return F.ctc_loss(
            log_probs, targets, torch.tensor(lengths), sizes, reduction="none", zero_infinity=zero_infinity
        )

    loss(zero_infinity=True).sum().backward()
    assert leaf.grad is not None
    return loss(zero_infinity=False).detach().numpy(), leaf.grad.numpy()


def test_collapse_is_merge_then_drop() -> None:
    for path in brute_force.every_path(6, 3):
        assert collapse(path) == tuple(symbol for symbol, _ in groupby(path) if symbol != 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocabulary", [2, 3, 4])
def test_all_strings_sum_to_one(kind: str, vocabulary: int) -> None:
    rng = np.random.default_rng(vocabulary)
    for frames in range(6):
        log_probs = log_posteriors(rng, frames, vocabulary, kind)
        strings = list(brute_force.every_string(frames, range(1, vocabulary)))
        total = sum(np.exp(ctc_log_probability(log_probs, string)) for string in strings)
        enumerated = brute_force.string_log_probabilities(log_probs)
        assert abs(total - 1.0) < 1e-10
        assert abs(sum(np.exp(list(enumerated.values()))) - 1.0) < 1e-10
        assert set(enumerated) <= set(strings)


def test_brute_force_numpy_and_torch_agree() -> None:
    rng = np.random.default_rng(1)
    seen: Counter[str] = Counter()
    for _ in range(130):
        vocabulary = int(rng.integers(2, 5))
        lengths = rng.integers(1, 6, size=4).tolist()
        kinds, labels = zip(*(random_labels(rng, length, vocabulary) for length in lengths), strict=True)
        logits = rng.normal(scale=rng.choice([0.5, 4.0]), size=(4, max(lengths), vocabulary))
        losses, gradient = ctc_loss_batch(logits, lengths, labels)
        torch_losses, torch_gradient = torch_ctc(logits, lengths, list(labels))
        np.testing.assert_allclose(losses, torch_losses, rtol=0, atol=1e-8)
        np.testing.assert_allclose(gradient, torch_gradient, rtol=0, atol=1e-8)

        for b, length in enumerate(lengths):
            posteriors = torch.tensor(logits[b, :length]).softmax(-1).numpy()
            loss, log_gradient = brute_force.ctc_loss(np.log(posteriors), labels[b])
            np.testing.assert_allclose(losses[b], loss, rtol=0, atol=1e-8)
            np.testing.assert_allclose(
                gradient[b, :length], log_gradient + posteriors * (loss < np.inf), rtol=0, atol=1e-8
            )
            assert np.all(gradient[b, length:] == 0.0)
            possible = needed_frames(labels[b]) <= length
            assert possible == (losses[b] < np.inf)
            assert possible or np.all(gradient[b] == 0.0)
            seen[kinds[b]] += 1
            seen["exactly enough frames"] += needed_frames(labels[b]) == length
    assert seen.total() - seen["exactly enough frames"] >= 500
    assert min(seen.values()) >= 50, seen


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_of_log_probabilities_with_zeros_and_ones(kind: str) -> None:
    rng = np.random.default_rng(2)
    finite = 0
    for _ in range(60):
        frames, vocabulary = int(rng.integers(0, 6)), int(rng.integers(2, 5))
        log_probs = log_posteriors(rng, frames, vocabulary, kind)
        labels = collapse(rng.integers(vocabulary, size=frames).tolist())
        if kind == "one-hot" and rng.random() < 0.5:
            labels = collapse(log_probs.argmax(-1).tolist())
        with np.errstate(all="raise", under="ignore"):
            loss, gradient = ctc_loss(log_probs, labels)
        expected, expected_gradient = brute_force.ctc_loss(log_probs, labels)
        np.testing.assert_allclose(loss, expected, rtol=0, atol=1e-8)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=0, atol=1e-8)
        if loss < np.inf:
            np.testing.assert_allclose(gradient.sum(axis=-1), -1.0, atol=1e-10)
            finite += 1
    assert finite >= 15


def test_no_frames() -> None:
    empty = np.zeros((0, 3))
    assert ctc_loss(empty, [])[0] == 0.0
    assert ctc_loss(empty, [1])[0] == np.inf


def test_forward_and_backward_variables_meet_in_every_frame() -> None:
    rng = np.random.default_rng(3)
    log_probs = log_posteriors(rng, 12, 5, "flat")
    labels = [1, 1, 2, 4, 4, 3]
    both = forward_variables(log_probs, labels) + backward_variables(log_probs, labels)
    np.testing.assert_allclose(
        np.logaddexp.reduce(both, axis=-1), ctc_log_probability(log_probs, labels), rtol=0, atol=1e-10
    )


def test_sizes_of_real_speech_agree_with_torch() -> None:
    rng = np.random.default_rng(4)
    lengths = [300, 211, 90, 61]
    labels = [rng.integers(1, 40, size=size).tolist() for size in (80, 100, 0, 60)]
    logits = rng.normal(scale=5.0, size=(4, 300, 40))
    losses, gradient = ctc_loss_batch(logits, lengths, labels)
    torch_losses, torch_gradient = torch_ctc(logits, lengths, labels)
    np.testing.assert_allclose(losses, torch_losses, rtol=0, atol=1e-8)
    np.testing.assert_allclose(gradient, torch_gradient, rtol=0, atol=1e-8)


def test_extreme_logits_give_no_nan() -> None:
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, -1e4, 1e4]])
    loss, gradient = ctc_loss_from_logits(logits, [2, 1])
    assert np.isfinite(loss) and loss > 1e4
    assert np.isfinite(gradient).all()


def test_gradient_agrees_with_finite_differences() -> None:
    logits = np.random.default_rng(5).normal(size=(7, 4))
    _, gradient = ctc_loss_from_logits(logits, [1, 3, 3])
    assert gradient_error(lambda: ctc_loss_from_logits(logits, [1, 3, 3])[0], logits, gradient) < 1e-8


def test_blank_among_the_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="blank 0"):
        ctc_loss(np.zeros((3, 2)), [1, 0])
