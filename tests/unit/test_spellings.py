"""Spellings of the words of a language model, kept beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from asrkit.errors import DataError, ModelError
from asrkit.recognition.stored_tokenizer import open_tokenizer, predict_unknown
from asrkit.recognition.text.lexicon import Lexicon
from asrkit.recognition.text.spellings import Spellings, spelled
from asrkit.recognition.text.tokenizer import PhoneTokenizer

WAYS = st.lists(st.lists(st.integers(1, 300), min_size=1, max_size=5), max_size=3)


@given(st.lists(WAYS, min_size=1, max_size=20).filter(any))
def test_what_is_saved_is_read_back(tmp_path_factory: pytest.TempPathFactory, listed: list) -> None:
    path = tmp_path_factory.mktemp("lm") / "spellings.safetensors"
    lexicon = {f"W{index}": ways for index, ways in enumerate(listed)}
    spellings = Spellings.of(lexicon)
    assert spellings.lexicon() == {word: ways for word, ways in lexicon.items() if ways}
    spellings.save(path, [*lexicon])
    read = Spellings.load(path, [*lexicon])
    assert read.words == spellings.words
    assert all(np.array_equal(a, b) for a, b in zip(read[1:], spellings[1:], strict=True))


def test_words_that_no_lexicon_lists_are_spelled_too(tmp_path: Path) -> None:
    words = Lexicon.cmudict(stress=False).words
    tokenizer = PhoneTokenizer(Lexicon({word: words[word] for word in sorted(words)[::40]}))
    predict_unknown(tokenizer, ["BLANDLY"], tmp_path)
    tokenizer.save(tmp_path)
    opened = open_tokenizer(tmp_path)
    assert isinstance(opened, PhoneTokenizer)
    vocabulary = ["SYZYGY", "9", "BLANDLY"]
    spelled(vocabulary, opened).save(tmp_path / "spellings.safetensors", vocabulary)
    read = Spellings.load(tmp_path / "spellings.safetensors", vocabulary).lexicon()
    assert [*read] == ["SYZYGY", "BLANDLY"], "9 cannot be said"
    for word, ways in read.items():
        assert [tuple(opened.tokens[i] for i in way) for way in ways] == opened.lexicon.pronounce(word)


def test_spellings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "spellings.safetensors"
    Spellings.of({"A": [[1], [2, 3]], "B": [[2]]}).save(path, ["A", "B"])
    whole = load_file(path)
    with pytest.raises(ModelError, match="fit"):
        Spellings.load(path, ["A", "B", "C"])
    wrong = {
        "counts": np.array([[2, 2], [4, -1]], np.int8),
        "lengths": np.array([[1, 2, 2], [4, 0, 0]], np.int8),
        "tokens": np.array([[1]], np.int8),
    }
    for name, rows in wrong.items():
        for row in rows:
            save_file(whole | {name: row}, path)
            with pytest.raises(ModelError, match="spellings"):
                Spellings.load(path, ["A", "B"])
    save_file({"counts": whole["counts"]}, path)
    with pytest.raises(ModelError, match="lengths"):
        Spellings.load(path, ["A", "B"])
    path.write_bytes(b"not arrays")
    with pytest.raises(ModelError, match=r"spellings\.safetensors"):
        Spellings.load(path, ["A", "B"])
    with pytest.raises(DataError, match="no word"):
        Spellings.of({"A": []})
