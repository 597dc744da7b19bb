"""Words of a language model, predicted once."""

from __future__ import annotations

from pathlib import Path

from asrkit.lm.g2p import open_tokenizer, predict_unknown, save_spoken
from asrkit.lm.stored import LM_LEXICON
from asrkit.text.lexicon import Lexicon
from asrkit.text.tokenizer import PhoneTokenizer


def test_words_of_a_language_model_are_predicted_once(tmp_path: Path) -> None:
    words = Lexicon.cmudict(stress=False).words
    known = Lexicon({word: words[word] for word in sorted(words)[::40]} | {"ABOUT": words["ABOUT"]})
    tokenizer = PhoneTokenizer(known)
    predict_unknown(tokenizer, ["ABOUT", "BLANDLY"], tmp_path / "tokenizer")
    tokenizer.save(tmp_path / "tokenizer")
    before = open_tokenizer(tmp_path / "tokenizer")
    path = tmp_path / "lm" / LM_LEXICON
    save_spoken(before, ["syzygy", "about", "9", "BLANDLY"], path)
    saved, after = Lexicon.read(path), open_tokenizer(tmp_path / "tokenizer", path)
    assert isinstance(before, PhoneTokenizer) and isinstance(after, PhoneTokenizer)
    assert saved.words.keys() == saved.predicted == {"SYZYGY"}, "the others are listed, or cannot be said"
    assert after.lexicon.words == before.lexicon.words | saved.words
    assert saved.words["SYZYGY"] == before.lexicon.pronounce("SYZYGY")
    assert {"SYZYGY", "BLANDLY"} <= after.lexicon.predicted and "ABOUT" not in after.lexicon.predicted
    save_spoken(before, ["ABOUT"], path)
    assert not path.exists()
