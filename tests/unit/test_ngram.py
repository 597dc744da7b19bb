"""N-gram models against a hand-worked example, figures of KenLM's lmplz, and KenLM's scores of the file."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.decoding.ngram_scorer import TokenNgramScorer
from asrkit.errors import DataError, UsageError
from asrkit.lm.ngram import BOS_ID, LOG_10, NgramModel, estimate
from asrkit.text.normalize import english

PROMPTS = Path(__file__).parents[2] / "recipes/prompts/data/transcripts.tsv"

LMPLZ = """
-3.3056433	<unk>	0
-1.5729902	THE	-0.21210308
-2.6651585	CALLER	-0.098279595
-2.9521601	CALLING	-0.15344891
-1.292742	<s> PLEASE	-0.4079617
-1.8246772	NOT MEET	-0.11146241
-1.4886739	ONE OR	-0.11146241
-1.4063915	VOLUME OF	-0.251308
-0.4301827	THE CONNECTION </s>
-0.33328086	<s> PLEASE ENTER
-0.77974474	THE ONLY PERSON
-0.7803806	AGENT LOGGED OFF
"""
"""Of what KenLM 0.3's `lmplz -o 3` prints for the normalised prompts."""


@pytest.fixture(scope="module")
def prompts() -> list[list[str]]:
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    return [english(line.split("\t")[2]).split() for line in lines]


def lookup(model: NgramModel, words: list[str]) -> int:
    node = np.zeros(1, np.int64)
    for word in words:
        node = model.find(node, np.array([model.ids[word]]))
    return int(node[0])


def assert_every_context_sums_to_one(model: NgramModel) -> None:
    for context in range(int(model.first[-1])):
        probabilities = np.exp(model.next_log_probs(context).astype(float))
        assert np.delete(probabilities, BOS_ID).sum() == pytest.approx(1.0, abs=1e-5)


def test_a_model_worked_out_by_hand() -> None:
    """`a b` and `a`, with discounts 0.5 and 1, since counts of counts are too few to say.

    Unigrams count the words before them: a 1, b 1, </s> 2. They give up 2 of 4, so half goes to the uniform
    distribution over <unk>, </s>, a and b: a, b (1 - 0.5) / 4 + 0.5 / 4, </s> (2 - 1) / 4 + 0.5 / 4. Of what
    follows <s> (a twice), a (b, </s>) and b (</s>), half is given up too.
    """
    model = estimate([["a", "b"], ["a"]], order=2)
    expected = {
        "<unk>": 0.125,
        "</s>": 0.375,
        "a": 0.25,
        "b": 0.25,
        "<s> a": (2 - 1) / 2 + 0.5 * 0.25,
        "a b": (1 - 0.5) / 2 + 0.5 * 0.25,
        "a </s>": (1 - 0.5) / 2 + 0.5 * 0.375,
        "b </s>": (1 - 0.5) / 1 + 0.5 * 0.375,
    }
    for ngram, probability in expected.items():
        assert math.exp(model.log_probs[lookup(model, ngram.split())]) == pytest.approx(probability)
    assert model.first[-1] - 1 == len(expected) + 1
    for context in ("<s>", "a", "b"):
        assert math.exp(model.backoffs[lookup(model, [context])]) == pytest.approx(0.5)
    assert model.log_prob(["a", "b"]) == pytest.approx(math.log(0.625 * 0.375 * 0.6875))
    assert model.log_prob(["b", "c"]) == pytest.approx(math.log(0.5 * 0.25 * 0.5 * 0.125 * 0.375))

    perplexity = model.perplexity([["a", "b"], ["c"]])
    known = [0.625, 0.375, 0.6875, 0.375]  # the last: </s> after the unknown word, which has no context
    assert (perplexity.words, perplexity.oov) == (5, 1)
    assert perplexity.excluding_oov == pytest.approx(math.prod(known) ** (-1 / 4))
    assert perplexity.including_oov == pytest.approx((math.prod(known) * 0.5 * 0.125) ** (-1 / 5))


def test_probabilities_are_those_of_lmplz(prompts: list[list[str]]) -> None:
    model = estimate(prompts, order=3)
    assert np.diff(model.first[1:]).tolist() == [685, 1913, 2099]
    for line in LMPLZ.strip().splitlines():
        log_prob, ngram, *backoff = line.split("\t")
        node = lookup(model, ngram.split())
        assert model.log_probs[node] / LOG_10 == pytest.approx(float(log_prob), abs=2e-6)
        assert model.backoffs[node] / LOG_10 == pytest.approx(float(backoff[0]) if backoff else 0.0, abs=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    sentences=st.lists(st.lists(st.sampled_from("abcde"), max_size=7), min_size=1, max_size=12),
    order=st.integers(1, 5),
)
def test_probabilities_of_every_context_sum_to_one(sentences: list[list[str]], order: int) -> None:
    model = estimate(sentences, order)
    assert 1 <= model.order <= order
    assert_every_context_sums_to_one(model)


def test_contexts_of_real_text_sum_to_one(prompts: list[list[str]]) -> None:
    assert_every_context_sums_to_one(estimate([*prompts[:150], ["<unk>", "AND", "<unk>"]], order=4))


@pytest.mark.parametrize("order", range(2, 6))  # KenLM reads no unigram models
def test_arpa_files_are_read_back_and_score_as_in_kenlm(
    prompts: list[list[str]], order: int, tmp_path: Path
) -> None:
    kenlm = pytest.importorskip("flashlight.lib.text.decoder.kenlm")
    dictionary = pytest.importorskip("flashlight.lib.text.dictionary")
    trained, unseen = prompts[::2], prompts[1::2]
    model = estimate(trained, order)
    model.write_arpa(tmp_path / "lm.arpa")
    again = NgramModel.read_arpa(tmp_path / "lm.arpa")
    assert again.words == model.words and again.vocabulary == model.words[3:]
    assert np.array_equal(again.keys, model.keys) and np.array_equal(again.suffixes, model.suffixes)
    assert again.log_probs == pytest.approx(model.log_probs, abs=1e-5, rel=1e-6)
    assert again.backoffs == pytest.approx(model.backoffs, abs=1e-5)

    names = dictionary.Dictionary()
    for word in model.words:
        names.add_entry(word)
    peer = kenlm.KenLM(str(tmp_path / "lm.arpa"), names)
    total = 0.0
    for sentence in unseen:
        state, score = peer.start(False), 0.0
        for word in sentence:
            state, added = peer.score(state, names.get_index(word if word in model.ids else "<unk>"))
            score += added
        score += peer.finish(state)[1]
        assert model.log_prob(sentence) == pytest.approx(score * LOG_10, abs=1e-3)
        total += score * LOG_10
    perplexity = again.perplexity(unseen)
    assert perplexity.words == sum(len(sentence) + 1 for sentence in unseen)
    assert perplexity.oov == sum(word not in model.ids for sentence in unseen for word in sentence) > 0
    assert perplexity.including_oov == pytest.approx(math.exp(-total / perplexity.words), rel=1e-4)


def test_arpa_files_of_others(tmp_path: Path) -> None:
    """Without <unk>, with an n-gram whose suffix is not listed, and fields apart by blanks."""
    (tmp_path / "lm.arpa").write_text(
        "made by hand\n\n\\data\\\nngram 1=4\nngram 2=2\nngram 3=1\n"
        + "\n\\1-grams:\n-0.5 b -0.2\n-1 </s>\n-99 <s> -0.3\n-0.7 a -0.1\n"
        + "\n\\2-grams:\n-0.25\t<s> a\t-0.4\n-0.35\ta a\n\n\\3-grams:\n-0.125\t<s> a b\n\n\\end\\\n"
    )
    model = NgramModel.read_arpa(tmp_path / "lm.arpa")
    assert model.order == 3
    assert model.log_prob(["a", "b"]) == pytest.approx(LOG_10 * (-0.25 - 0.125 - 0.2 - 1))
    assert model.log_prob(["a", "a"]) == pytest.approx(LOG_10 * (-0.25 - 0.4 - 0.35 - 0.1 - 1))
    assert model.log_prob(["c"]) == pytest.approx(LOG_10 * (-0.3 - 100 - 1))
    state = np.array([model.start])
    for word in "ab":
        row = model.next_log_probs(int(state[0]))
        state = model.advance(state, np.array([model.ids[word]]))
    assert row[model.ids["b"]] == pytest.approx(-0.125 * LOG_10)
    assert state.tolist() == [lookup(model, ["b"])]


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("", "no .data"),
        ("\\data\\\n", "announces"),
        ("\\data\\\nngram 1=2\n\n\\1-grams:\n-1 a\n", "where"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1 a\n", "end"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\nx a\n\\end\\\n", "could not convert"),
        ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1 a b c\n\\end\\\n", "among the 1-grams"),
        ("\\data\\\nngram 1=1\nngram 2=1\n\n\\1-grams:\n-1 a\n\\2-grams:\n-1 a b\n\\end\\\n", "not among"),
        ("\\data\\\nngram 1=2\n\n\\1-grams:\n-1 a\n-1 a\n\\end\\\n", "twice"),
    ],
)
def test_damaged_arpa_files_are_refused(text: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "lm.arpa").write_text(text)
    with pytest.raises(DataError, match=wrong) as caught:
        NgramModel.read_arpa(tmp_path / "lm.arpa")
    assert "lm.arpa" in str(caught.value)
    with pytest.raises(DataError, match="cannot read"):
        NgramModel.read_arpa(tmp_path / "none.arpa")


def test_what_gives_no_model_is_refused() -> None:
    for order in (0, 6):
        with pytest.raises(UsageError, match="order"):
            estimate([["a"]], order)
    with pytest.raises(DataError, match="no text"):
        estimate([], 2)
    for sentence in (["a", "<s>"], ["</s>", "a"], ["a", "</s>"]):
        with pytest.raises(DataError, match="<s>"):
            estimate([["a"], sentence], 2)


def test_the_same_text_gives_the_same_file(prompts: list[list[str]], tmp_path: Path) -> None:
    for name in ("one", "two"):
        estimate(iter(prompts), 3).write_arpa(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_token_scores_add_up_to_the_sentence(prompts: list[list[str]], order: int) -> None:
    texts = [list("".join(words)) for words in prompts]
    model = estimate(texts[:300], order)
    letters = sorted({letter for text in texts for letter in text})
    tokens = ["<blank>", "<unk>", *letters, "*", "<sos/eos>"]
    eos = len(tokens) - 1
    scorer = TokenNgramScorer(model, tokens, eos=eos)
    sentences = [*texts[400:404], ["*", "A", "*"], []]
    longest = max(map(len, sentences))
    ids = torch.tensor([[tokens.index(c) for c in s] + [eos] * (longest + 1 - len(s)) for s in sentences])
    totals, state = torch.zeros(len(sentences), dtype=torch.float64), scorer.start(len(sentences))
    order_of = torch.arange(len(sentences))
    for u in range(longest + 1):
        scores, state = scorer.score(ids[order_of, :u], state)
        assert scores.shape == (len(sentences), len(tokens)) and (scores[:, 0] == -torch.inf).all()
        assert (scores[:, 1:] <= scorer.highest).all()
        live = torch.tensor([u <= len(sentences[k]) for k in order_of.tolist()])
        totals[order_of[live]] += scores[live, ids[order_of[live], u]].double()
        turned = torch.arange(len(sentences)).flip(0)
        state, order_of = scorer.select(state, turned), order_of[turned]
    assert totals.tolist() == pytest.approx([model.log_prob(s) for s in sentences], abs=1e-3)
