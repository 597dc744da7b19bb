"""The loss that training minimises against the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from reference.posteriors import random_labels

from asrkit.config import ModelConfig, PyramidConfig
from asrkit.learning.models.asr import AsrModel, Batch
from asrkit.reference.ctc import ctc_loss_batch


@pytest.fixture(scope="module")
def model() -> AsrModel:
    return AsrModel(ModelConfig(pyramid=PyramidConfig(hidden=4, embed_channels=0)), 3, 5)


def test_ctc_loss_and_gradient_of_a_mixed_batch(model: AsrModel) -> None:
    rng = np.random.default_rng(0)
    infinite = 0
    for _ in range(60):
        lengths = rng.integers(1, 9, size=4)
        labels = [random_labels(rng, int(length), 5)[1] for length in lengths]
        logits = torch.tensor(rng.normal(scale=2.0, size=(4, 8, 5)), requires_grad=True)
        tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(x, dtype=torch.int64) for x in labels], True)
        sizes, lens = torch.tensor([len(x) for x in labels]), torch.tensor(lengths)
        batch = Batch([""] * 4, logits, lens, tokens, sizes)
        losses = model.ctc_loss(logits.log_softmax(-1), lens, batch)
        expected, gradient = ctc_loss_batch(logits.detach().numpy(), lengths.tolist(), labels)
        np.testing.assert_allclose(losses.detach().numpy(), expected, rtol=0, atol=1e-8)
        finite = losses.isfinite()
        infinite += int((~finite).sum())
        if finite.any():
            (actual,) = torch.autograd.grad(losses[finite].sum(), logits)
            np.testing.assert_allclose(actual[finite], gradient[finite.numpy()], rtol=0, atol=1e-8)
    assert 20 <= infinite <= 120
