"""The language model of the second pass, and the lines it learns from."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from asrkit.config import RescorerConfig, TextConfig, TransformerDecoderConfig, neural_lm_shape
from asrkit.learning.lm.neural import NeuralLm
from asrkit.learning.recipe.lm_stage import join_sentences
from asrkit.learning.torch_acoustics import TorchTokenModel
from asrkit.learning.training.data import Item, TextSource
from asrkit.recognition.decoding.rescorer import Rescorer
from asrkit.recognition.text.tokenizer import build_tokenizer

TEXTS = ["SHE SELLS SEA SHELLS", "BY THE SEA", "", "THE SHELLS SHE SELLS ARE SEA SHELLS I'M SURE"]


@pytest.fixture(scope="module", params=["lstm", "transformer"])
def models(request: pytest.FixtureRequest) -> tuple[NeuralLm, Rescorer]:
    tokenizer = build_tokenizer(TextConfig(tokenizer="bpe", vocab_size=30), TEXTS * 5)
    shape = TransformerDecoderConfig(dim=16, layers=2, heads=2, ff=24)
    torch.manual_seed(1)
    config = RescorerConfig(kind=request.param, model=shape)
    network = NeuralLm(neural_lm_shape(config), len(tokenizer.tokens)).eval()
    return network, Rescorer(TorchTokenModel(network.decoder, network.eos), tokenizer)


@torch.no_grad()
def test_log_probs_are_those_of_training(models: tuple[NeuralLm, Rescorer]) -> None:
    network, rescorer = models
    texts = [*TEXTS, "THE SHELLS SHE SELLS", "SHE SELLS SEA SHELLS BY THE SEA", TEXTS[0]]
    source = TextSource(texts, [rescorer.tokenizer.encode(text) for text in texts])
    losses = network.loss(source.batch([Item(n, 1.0) for n in range(len(texts))])).utterances
    np.testing.assert_allclose(rescorer.log_probs(texts), -losses.numpy(), atol=1e-4)


def test_log_probs_do_not_depend_on_company(models: tuple[NeuralLm, Rescorer]) -> None:
    _, rescorer = models
    many = TEXTS * 20
    alone = np.concatenate([rescorer.log_probs([text]) for text in TEXTS])
    np.testing.assert_allclose(rescorer.log_probs(many), np.tile(alone, 20), atol=1e-4)
    assert rescorer.log_probs([]).shape == (0,)


@torch.no_grad()
def test_it_is_a_distribution_over_texts(models: tuple[NeuralLm, Rescorer]) -> None:
    """All texts of at most two tokens, and what goes on after two, share a probability of one."""
    network, rescorer = models
    vocab, eos = len(rescorer.tokenizer.tokens), network.eos
    total = 0.0
    for length in (0, 1, 2):
        for tokens in itertools.product(range(vocab), repeat=length):
            if eos in tokens:
                continue
            state, last, log_prob = network.decoder.start(), eos, 0.0
            for token in tokens:
                logits, state = network.decoder.step(torch.tensor([last]), state)
                log_prob += float(logits.log_softmax(dim=-1)[0, token])
                last = token
            if length < 2:
                logits, _ = network.decoder.step(torch.tensor([last]), state)
                log_prob += float(logits.log_softmax(dim=-1)[0, eos])
            total += math.exp(log_prob)
    assert total == pytest.approx(1, abs=1e-4)


def test_lines_join_neighbouring_sentences() -> None:
    sentences = [f"{'A B C D E F G'[: 2 * (n % 5) + 1]} {n}" for n in range(400)]
    lines = list(join_sentences(sentences, 20, seed=1))
    assert " ".join(lines) == " ".join(sentences)
    lengths = [len(line.split()) for line in lines[1:]]
    assert max(lengths) < 20 + 6 and min(lengths) < 6 and 8 < np.mean(lengths) < 16
    assert (
        lines
        == list(join_sentences(iter(sentences), 20, seed=1))
        != list(join_sentences(sentences, 20, seed=2))
    )
    assert list(join_sentences([], 20, seed=1)) == []
