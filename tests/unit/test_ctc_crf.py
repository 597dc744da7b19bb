"""CTC-CRF against the enumeration of every string, with the trigram's probabilities taken from its model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from asrkit.config import ModelConfig
from asrkit.errors import UsageError
from asrkit.learning.lm.trigram import token_trigram
from asrkit.learning.models.asr import AsrModel, Batch
from asrkit.learning.models.ctc_crf import TokenTrigram
from asrkit.recognition.ngram.model import EOS, NgramModel, estimate
from asrkit.reference.brute_force import string_log_probabilities

SENTENCES = [[1, 2, 2, 1], [2, 1, 3], [3, 3, 1], [1, 2], []]
NAMES = ["1", "2", "3"]


def words(sentences: list[list[int]]) -> list[list[str]]:
    return [[str(token) for token in sentence] for sentence in sentences]


@pytest.fixture(scope="module")
def model() -> NgramModel:
    return estimate(words(SENTENCES), 3, vocabulary=NAMES)


@pytest.fixture(scope="module")
def trigram() -> TokenTrigram:
    return token_trigram(SENTENCES, 3)


def scored(model: NgramModel, sentence: list[int]) -> float:
    """log p of a sentence, one word after the other."""
    context, total = model.start, 0.0
    for word in (*words([sentence])[0], EOS):
        total += float(model.next_log_probs(context)[model.ids[word]])
        context = int(model.advance(np.array([context]), np.array([model.ids[word]]))[0])
    return total


def log_posteriors(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(*shape, generator=generator)).log_softmax(-1).requires_grad_()


def test_probabilities_are_those_of_the_ngram_model(model: NgramModel, trigram: TokenTrigram) -> None:
    assert trigram.probs[:, :, 0].abs().max() == 0, "blank is never a next token"
    for sentence in (*SENTENCES[:-1], [3, 2, 1, 1, 2, 3]):
        tokens = torch.tensor([[*sentence, 0, 0]])
        actual = trigram.score(tokens, torch.tensor([len(sentence)]))
        assert float(actual) == pytest.approx(scored(model, sentence), abs=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_sum_and_gradient_are_those_of_every_string(trigram: TokenTrigram, seed: int) -> None:
    log_probs = log_posteriors(2, 5, 5, seed=seed)  # id 4 is the end token, which CTC never gives
    lens = [5, 3]
    actual = trigram.log_sum(log_probs, torch.tensor(lens))
    torch.autograd.backward(actual.sum())
    assert log_probs.grad is not None
    for row, length in enumerate(lens):
        posteriors = log_probs.detach()[row, :length, :4].double().numpy()

        def total(posteriors: np.ndarray) -> float:
            return float(
                np.logaddexp.reduce(
                    [
                        score
                        + float(trigram.score(torch.tensor([[*string, 0]]), torch.tensor([len(string)])))
                        for string, score in string_log_probabilities(posteriors).items()
                    ]
                )
            )

        assert float(actual[row].detach()) == pytest.approx(total(posteriors), abs=1e-4)
        if seed < 2:
            for place in np.ndindex(posteriors.shape):
                moved = posteriors.copy()
                moved[place] += 1e-4
                slope = (total(moved) - total(posteriors)) / 1e-4
                assert float(log_probs.grad[row][place]) == pytest.approx(slope, abs=1e-3)
        assert (log_probs.grad[row, length:] == 0).all()
    assert (log_probs.grad[:, :, 4] == 0).all()


def test_long_utterances_neither_overflow_nor_vanish(trigram: TokenTrigram) -> None:
    log_probs = log_posteriors(2, 3000, 5)
    actual = trigram.log_sum(10 * log_probs, torch.tensor([3000, 0]))
    assert torch.isfinite(actual).all()
    assert float(actual[1].detach()) == pytest.approx(float(trigram.ends[0, 0].log())), "nothing was said"


def test_the_loss_is_the_transcripts_share(trigram: TokenTrigram) -> None:
    config = ModelConfig(crf_weight=0.75)
    config.pyramid.hidden = config.pyramid.embed_channels = 8
    torch.manual_seed(0)
    model = AsrModel(config, 8, 5).eval()
    tokens, token_lens = torch.tensor([[1, 2], [3, 0]]), torch.tensor([2, 1])
    batch = Batch(["a", "b"], torch.randn(2, 24, 8), torch.tensor([24, 17]), tokens, token_lens)
    plain = model.loss(batch)
    assert set(plain.parts) == {"ctc"}, "without a trigram the loss is CTC's"
    model.trigram = trigram
    loss = model.loss(batch)
    log_probs, lens = model.ctc_log_probs(model.encode(batch.feats, batch.feat_lens))
    for row in range(2):
        strings = string_log_probabilities(log_probs[row, : lens[row], :4].detach().double().numpy())
        weighed = {
            string: score + float(trigram.score(torch.tensor([[*string, 0]]), torch.tensor([len(string)])))
            for string, score in strings.items()
        }
        ctc, string = plain.utterances[row], tuple(tokens[row, : token_lens[row]].tolist())
        share = np.logaddexp.reduce([*weighed.values()]) - weighed[string]
        assert float(loss.utterances[row]) == pytest.approx(0.25 * float(ctc) + 0.75 * share, abs=1e-3)
    assert all(name.startswith(("encoder.", "ctc.")) for name in model.state_dict()), (
        "the trigram is not kept"
    )


def test_learning_needs_no_sound_where_the_trigram_knows() -> None:
    """Where only one sentence is ever said, CTC-CRF has nothing to learn from any posteriors."""
    trigram = token_trigram([[1, 2]], 2)
    sure = TokenTrigram(torch.zeros_like(trigram.probs), torch.zeros_like(trigram.ends))
    sure.probs[0, 0, 1] = sure.probs[0, 1, 2] = sure.ends[1, 2] = 1.0
    logits = log_posteriors(1, 6, 4)
    log_probs = logits.log_softmax(-1)
    tokens, lens = torch.tensor([[1, 2]]), torch.tensor([2])
    ctc = F.ctc_loss(log_probs.transpose(0, 1), tokens, torch.tensor([6]), lens, reduction="none")
    loss = ctc - sure.score(tokens, lens) + sure.log_sum(log_probs, torch.tensor([6]))
    torch.autograd.backward(loss.sum())
    assert logits.grad is not None
    assert float(loss.detach()) == pytest.approx(0, abs=1e-5)
    assert logits.grad.abs().max() < 1e-5


def test_too_many_tokens_are_refused() -> None:
    with pytest.raises(UsageError, match="250,000 histories"):
        token_trigram(SENTENCES, 500)
