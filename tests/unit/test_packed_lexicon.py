"""A packed recogniser's lexicon lists all words of its language model."""

from __future__ import annotations

from pathlib import Path

from asrkit.config import Config, LmConfig
from asrkit.lm.g2p import open_tokenizer, predict_unknown
from asrkit.lm.ngram import read_ngram, write_ngram
from asrkit.recognizer import spoken_vocabulary
from asrkit.text.lexicon import Lexicon
from asrkit.text.tokenizer import PhoneTokenizer

ARPA = """\\data\\
ngram 1=6

\\1-grams:
-1.0\t<unk>
-99\t<s>
-1.0\t</s>
-1.0\tsyzygy
-1.0\tabout
-1.0\t9

\\end\\
"""


def test_words_of_the_language_model_are_listed(tmp_path: Path) -> None:
    words = Lexicon.cmudict(stress=False).words
    known = Lexicon({word: words[word] for word in sorted(words)[::40]} | {"ABOUT": words["ABOUT"]})
    tokenizer = PhoneTokenizer(known)
    predict_unknown(tokenizer, ["ABOUT", "BLANDLY"], tmp_path / "tokenizer")
    tokenizer.save(tmp_path / "tokenizer")
    (tmp_path / "lm.arpa").write_text(ARPA)
    write_ngram(read_ngram(tmp_path / "lm.arpa"), tmp_path / "lm" / "lm.ngram")
    parts = {"tokenizer": tmp_path / "tokenizer", "lm": tmp_path / "lm"}

    (tmp_path / "packed.txt").write_text(spoken_vocabulary(parts, Config(lm=LmConfig(kind="word-ngram"))))
    packed, before = Lexicon.read(tmp_path / "packed.txt"), open_tokenizer(tmp_path / "tokenizer")
    assert isinstance(before, PhoneTokenizer) and "SYZYGY" not in before.lexicon.words
    assert {"SYZYGY", "ABOUT", "BLANDLY"} <= packed.words.keys() and "9" not in packed.words
    assert all(packed.words[word] == before.lexicon.pronounce(word) for word in packed.words)
    assert "SYZYGY" in packed.predicted and "ABOUT" not in packed.predicted
