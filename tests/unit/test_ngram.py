"""N-gram models against a hand-worked example, figures of KenLM's lmplz, and KenLM's scores of the file."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import math
import zlib
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import ConfigError, DataError, UsageError
from asrkit.recognition.decoding.ngram_scorer import TokenNgramScorer
from asrkit.recognition.ngram import binary
from asrkit.recognition.ngram.model import (
    BOS_ID,
    LOG_10,
    WORD_UNK_ID,
    EncodedText,
    NgramModel,
    estimate,
    read_arpa,
    read_binary,
    read_ngram,
    read_texts,
    write_arpa,
    write_binary,
    write_ngram,
)
from asrkit.recognition.text.normalize import english

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

LMPLZ_PRUNED = """
-3.3056433	<unk>	0
-0.74751645	</s>	0
-3.1809282	ACTIVATED	0
-1.5729902	THE	-0.1640065
-2.9521601	CALLING	-0.09495717
-2.6651585	CALLER	-0.036688082
-1.2858539	<s> PLEASE	-0.38087878
-1.4063915	VOLUME OF	0
-0.3297271	<s> PLEASE ENTER
"""
"""The same with `--prune 0 1 2`."""

LMPLZ_LIMITED = """
-2.0672688	<unk>	0
-1.7429607	PLEASE	-0.20678917
-1.6843009	YOUR	-0.064657666
-1.4584079	THE	-0.09256322
-1.2378786	<s> PLEASE	-0.34591118
-0.8068666	PLEASE ENTER	-0.5060082
-1.3599815	ENTER YOUR	-0.044616915
-1.4005929	ONE OR	0
-0.32276195	<s> PLEASE ENTER
-0.44284692	PLEASE ENTER YOUR
-1.0974791	<s> PRESS STAR
"""
"""With `--prune 0 0 1 --limit_vocab_file` and the words that occur at least ten times."""


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


def assert_figures(model: NgramModel, lines: str) -> None:
    for line in lines.strip().splitlines():
        log_prob, ngram, *backoff = line.split("\t")
        node = lookup(model, ngram.split())
        assert model.log_probs[node] / LOG_10 == pytest.approx(float(log_prob), abs=2e-6)
        assert model.backoffs[node] / LOG_10 == pytest.approx(float(backoff[0]) if backoff else 0.0, abs=2e-6)


def test_probabilities_are_those_of_lmplz(prompts: list[list[str]]) -> None:
    model = estimate(prompts, order=3)
    assert np.diff(model.first[1:]).tolist() == [685, 1913, 2099]
    assert_figures(model, LMPLZ)


def test_pruning_is_that_of_lmplz(prompts: list[list[str]]) -> None:
    model = estimate(prompts, 3, [0, 1, 2])
    assert np.diff(model.first[1:]).tolist() == [685, 555, 195]
    assert_figures(model, LMPLZ_PRUNED)
    assert np.array_equal(estimate(prompts, 3, [0, 1]).keys, estimate(prompts, 3, [0, 1, 1]).keys)


def test_a_given_vocabulary_is_that_of_lmplz(prompts: list[list[str]]) -> None:
    often = [word for word, count in Counter(chain.from_iterable(prompts)).items() if count >= 10]
    model = estimate(prompts, 3, [0, 0, 1], often)
    assert np.diff(model.first[1:]).tolist() == [64, 343, 158]
    assert_figures(model, LMPLZ_LIMITED)
    assert {*model.vocabulary} == {*often} == {*EncodedText.of(prompts).most_frequent(len(often))}

    unheard = estimate(prompts, 3, [0, 0, 1], [*often, "UNHEARD"])
    assert unheard.vocabulary == [*model.vocabulary, "UNHEARD"]
    row = unheard.next_log_probs(0)
    assert row[-1] == row[WORD_UNK_ID], "what does not occur has an equal share of what is given up"


@settings(max_examples=60, deadline=None)
@given(
    sentences=st.lists(st.lists(st.sampled_from("abcde"), max_size=7), min_size=1, max_size=12),
    order=st.integers(1, 5),
    prune=st.lists(st.integers(0, 3), min_size=1, max_size=5).map(sorted),
    vocabulary=st.none() | st.lists(st.sampled_from("abcdx"), max_size=4),
    entropy=st.sampled_from([0.0, 0.001, 0.01, 0.1]),
)
def test_probabilities_of_every_context_sum_to_one(
    sentences: list[list[str]], order: int, prune: list[int], vocabulary: list[str] | None, entropy: float
) -> None:
    model = estimate(sentences, order, prune[:order], vocabulary, entropy)
    assert 1 <= model.order <= order
    assert vocabulary is None or {*model.vocabulary} <= {*vocabulary}
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
    write_arpa(model, tmp_path / "lm.arpa")
    again = read_arpa(tmp_path / "lm.arpa")
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


def test_n_grams_of_little_use_are_left_out(prompts: list[list[str]]) -> None:
    """Each bigram that is left out, and no other, costs less than the threshold when it alone is."""
    model, threshold = estimate(prompts, 2), 1e-4
    text = EncodedText.of(prompts)
    counts = np.bincount(text.ids, minlength=len(text.words))
    gains = {}
    lower = np.exp(model.next_log_probs(0).astype(float))
    for context in range(1, len(model.words) + 1):
        row = np.exp(model.next_log_probs(context).astype(float))
        row[BOS_ID] = lower[BOS_ID] = 0.0
        known = model.find(np.full(len(row), context), np.arange(len(row))) >= 0
        for word in np.flatnonzero(known):
            others = known.copy()
            others[word] = False
            weight = (1 - row[others].sum()) / (1 - lower[others].sum())
            less = np.where(others, row, weight * lower)
            here = row > 0
            entropy = (row[here] * np.log(row[here] / less[here])).sum()
            gains[context, word] = math.expm1(
                entropy * counts[context - 1] / (len(text.ids) - counts[BOS_ID])
            )
    pruned = estimate(prompts, 2, entropy=threshold)
    kept = {(key // len(model.words), key % len(model.words)) for key in pruned.keys[len(model.words) :]}
    assert kept == {ngram for ngram, gain in gains.items() if gain >= threshold}
    assert 0.2 < len(kept) / len(gains) < 0.8
    assert_every_context_sums_to_one(pruned)

    by_count, by_entropy = (
        estimate(prompts[::2], 3, prune, entropy=entropy)
        for prune, entropy in (([0, 0, 1], 0.0), ([0], 1e-4))
    )
    assert by_entropy.first[-1] < by_count.first[-1]
    assert (
        by_entropy.perplexity(prompts[1::2]).including_oov < by_count.perplexity(prompts[1::2]).including_oov
    )


def test_arpa_files_of_others(tmp_path: Path) -> None:
    """Without <unk>, with an n-gram whose suffix is not listed, and fields apart by blanks."""
    (tmp_path / "lm.arpa").write_text(
        "made by hand\n\n\\data\\\nngram 1=4\nngram 2=2\nngram 3=1\n"
        + "\n\\1-grams:\n-0.5 b -0.2\n-1 </s>\n-99 <s> -0.3\n-0.7 a -0.1\n"
        + "\n\\2-grams:\n-0.25\t<s> a\t-0.4\n-0.35\ta a\n\n\\3-grams:\n-0.125\t<s> a b\n\n\\end\\\n"
    )
    model = read_arpa(tmp_path / "lm.arpa")
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
    ("text", "wrong"),
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
        read_arpa(tmp_path / "lm.arpa")
    assert "lm.arpa" in str(caught.value)
    with pytest.raises(DataError, match="cannot read"):
        read_arpa(tmp_path / "none.arpa")


def test_blanks_that_only_unicode_knows_may_be_part_of_a_word(tmp_path: Path) -> None:
    text = "\\data\\\nngram 1=2\n\n\\1-grams:\n-0.5 a\u00a0b -0.2\n-1 </s>\n\n\\end\\\n"
    (tmp_path / "lm.arpa").write_text(text, encoding="utf-8")
    write_ngram(read_ngram(tmp_path / "lm.arpa"), tmp_path / "lm.ngram")
    assert read_ngram(tmp_path / "lm.ngram").vocabulary == ["a\u00a0b"]


@pytest.mark.parametrize("order", range(1, 6))
def test_binary_files_keep_every_value(prompts: list[list[str]], order: int, tmp_path: Path) -> None:
    model = estimate(prompts, order)
    write_ngram(model, tmp_path / "lm.ngram")
    again = read_ngram(tmp_path / "lm.ngram")
    assert again.words == model.words
    for name in ("keys", "log_probs", "backoffs", "suffixes", "first"):
        left, right = getattr(again, name), getattr(model, name)
        assert left.dtype == right.dtype and np.array_equal(left, right), name


def test_models_go_from_form_to_form(prompts: list[list[str]], tmp_path: Path) -> None:
    model = estimate(prompts, 3, [0, 1])
    for name in ("a.arpa", "b.ngram", "c.arpa.gz", "d.ngram", "e.arpa"):
        write_ngram(model, tmp_path / name)
        model = read_ngram(tmp_path / name)
    assert (tmp_path / "a.arpa").read_bytes() == (tmp_path / "e.arpa").read_bytes()
    assert gzip.decompress((tmp_path / "c.arpa.gz").read_bytes()) == (tmp_path / "a.arpa").read_bytes()
    assert (tmp_path / "b.ngram").read_bytes() == (tmp_path / "d.ngram").read_bytes()


@pytest.mark.parametrize(("bits", "tolerance"), [(4, 0.1), (8, 0.005), (16, 1e-7)])
def test_values_of_few_bits(prompts: list[list[str]], bits: int, tolerance: float, tmp_path: Path) -> None:
    model = estimate(prompts, 3)
    write_binary(model, tmp_path / "exact.ngram")
    write_binary(model, tmp_path / "rounded.ngram", bits)
    rounded = read_binary(tmp_path / "rounded.ngram")
    assert np.array_equal(rounded.keys, model.keys)
    assert np.array_equal(rounded.backoffs == 0, model.backoffs == 0)
    for n in (2, 3):
        nodes = slice(*model.first[n : n + 2])
        assert len(np.unique(rounded.log_probs[nodes])) <= 2**bits
    assert np.abs(rounded.log_probs - model.log_probs).mean() <= tolerance
    assert bits > 8 or (tmp_path / "rounded.ngram").stat().st_size < (
        0.7 * (tmp_path / "exact.ngram").stat().st_size
    )
    write_binary(rounded, tmp_path / "again.ngram", bits)
    again = read_binary(tmp_path / "again.ngram")
    assert np.array_equal(again.log_probs, rounded.log_probs), "what has been rounded stays as it is"
    assert np.array_equal(again.backoffs, rounded.backoffs)
    for wrong in (-1, 17):
        with pytest.raises(UsageError, match="bits"):
            write_binary(model, tmp_path / "lm.ngram", wrong)


@pytest.fixture(scope="module", params=[0, 8])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small binary model, of exact values and of rounded ones."""
    path = tmp_path_factory.mktemp("ngram") / "lm.ngram"
    write_binary(estimate([["a", "b", "c"], ["b", "ç"], ["a", "c"]] * 3, 3), path, request.param)
    return path


def test_damaged_binary_files_are_refused(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    broken = tmp_path / "lm.ngram"
    for size in range(0, len(content), 7):
        broken.write_bytes(content[:size])
        with pytest.raises(DataError, match=r"lm\.ngram"):
            read_ngram(broken)
    for place in range(0, len(content), 5):
        broken.write_bytes(content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :])
        with pytest.raises(DataError, match=r"lm\.ngram"):
            read_binary(broken)
    with pytest.raises(DataError, match="cannot read"):
        read_ngram(tmp_path / "none.ngram")
    broken.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\0")
    with pytest.raises(DataError, match="KenLM"):
        read_ngram(broken)


def test_what_false_binary_files_say_is_not_believed(file: Path, tmp_path: Path) -> None:
    """Every byte is changed under a right checksum: the file is refused, or it is a sound model."""
    content = file.read_bytes()
    order = int.from_bytes(content[16:24], "little")
    head, stream = content[: 16 + 32 + 16 * order], zlib.decompress(content[16 + 32 + 16 * order : -32])
    generator, reasons = np.random.default_rng(1), set()
    for place in range(16, len(head) + len(stream), 1 if len(stream) < 2000 else 7):
        changed = bytearray(head + stream)
        changed[place] = (changed[place] + int(generator.integers(1, 256))) % 256
        whole = bytes(changed[: len(head)]) + zlib.compress(changed[len(head) :])
        (tmp_path / "lm.ngram").write_bytes(whole + hashlib.sha256(whole).digest())
        try:
            model = read_binary(tmp_path / "lm.ngram")
        except DataError as error:
            assert "holds no n-gram model" in error.message
            reasons.add(error.message.rpartition(": ")[2])
            continue
        nodes = model.first[-1]
        assert (
            len(model.keys) + 1 == len(model.log_probs) == len(model.backoffs) == len(model.suffixes) == nodes
        )
        assert (
            (np.diff(model.keys) > 0).all()
            and model.keys[0] == 0
            and model.keys[-1] < nodes * len(model.words)
        )
        for n, (begin, end) in enumerate(pairwise(model.first)):
            parents = model.keys[max(begin - 1, 0) : end - 1] // len(model.words)
            assert n == 0 or ((model.first[n - 1] <= parents) & (parents < begin)).all()
            assert (model.suffixes[begin:end] < max(begin, 1)).all()
        assert math.isfinite(model.log_prob(["a", "b", "ç"]))
    assert len(reasons) >= 6, reasons

    claim = bytearray(head + zlib.compress(stream))
    claim[16 + 16 : 16 + 24] = (1 << 40).to_bytes(8, "little")
    (tmp_path / "lm.ngram").write_bytes(claim + hashlib.sha256(claim).digest())
    with pytest.raises(DataError, match="larger"):
        read_binary(tmp_path / "lm.ngram")
    assert content[:16] == binary.MAGIC


def test_texts_are_read_packed_or_not(tmp_path: Path) -> None:
    content = "\ufeffone  two\r\n\n \t\nCAFE\u0301\n".encode()
    names = {"t.txt": content, "t.gz": gzip.compress(content), "t.xz": lzma.compress(content)}
    for name, data in names.items():
        (tmp_path / name).write_bytes(data)
        assert [*read_texts(tmp_path / name, "none")] == ["one two", "CAF\u00c9"]
        assert next(read_texts(tmp_path / name, "english")) == "ONE TWO"
        (tmp_path / name).write_bytes(data[: len(data) - 5] + b"\xff")
        with pytest.raises(DataError, match="cannot read"):
            list(read_texts(tmp_path / name, "none"))
    with pytest.raises(DataError, match="cannot read"):
        list(read_texts(tmp_path / "none.txt", "none"))
    with pytest.raises(ConfigError, match="normaliser"):
        list(read_texts(tmp_path / "t.txt", "englsh"))


def test_what_gives_no_model_is_refused() -> None:
    for order in (0, 9):
        with pytest.raises(UsageError, match="order"):
            estimate([["a"]], order)
    with pytest.raises(DataError, match="no text"):
        estimate([], 2)
    for prune in ([], [-1], [1, 0], [0, 0, 1]):
        with pytest.raises(UsageError, match="thresholds"):
            estimate([["a"]], 2, prune)
    for name, bits in (("lm.bin", 0), ("lm.txt.gz", 0), ("lm.arpa", 8)):
        with pytest.raises(UsageError, match="lm"):
            write_ngram(estimate([["a"]], 1), name, bits)
    for sentence in (["a", "<s>"], ["</s>", "a"], ["a", "</s>"]):
        with pytest.raises(DataError, match="<s>"):
            estimate([["a"], sentence], 2)


def test_the_same_text_gives_the_same_file(prompts: list[list[str]], tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_arpa(estimate(iter(prompts), 3), tmp_path / name)
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
        array, state = scorer.score(ids[order_of, :u].numpy(), state)
        scores = torch.from_numpy(array)
        assert scores.shape == (len(sentences), len(tokens)) and (scores[:, 0] == -torch.inf).all()
        assert (scores[:, 1:] <= scorer.highest).all()
        live = torch.tensor([u <= len(sentences[k]) for k in order_of.tolist()])
        totals[order_of[live]] += scores[live, ids[order_of[live], u]].double()
        turned = torch.arange(len(sentences)).flip(0)
        state, order_of = scorer.select(state, turned.numpy()), order_of[turned]
    assert totals.tolist() == pytest.approx([model.log_prob(s) for s in sentences], abs=1e-3)
