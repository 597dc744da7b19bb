"""Pronunciations of unknown words: alignment, search, accuracy, files, and the lexicon they come to."""

from __future__ import annotations

import itertools
import math
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, SENTENCES, Run
from rapidfuzz.distance import Levenshtein

from asrkit.config import TextConfig
from asrkit.errors import DataError, ModelError, UsageError
from asrkit.recognition.g2p import alignment
from asrkit.recognition.g2p.kernels import best_alignments, expected_counts, number
from asrkit.recognition.g2p.model import G2p
from asrkit.recognition.stored_tokenizer import G2P_FILE, open_tokenizer, predict_unknown
from asrkit.recognition.text.folding import FOLD48, PHONES39, fold39
from asrkit.recognition.text.lexicon import Lexicon, Pronunciation
from asrkit.recognition.text.tokenizer import PhoneTokenizer, build_tokenizer, load_tokenizer

SHAPES = {(1, 0), (1, 1), (1, 2), (2, 1)}
TINY = Lexicon(
    {
        "AB": [("A", "B"), ("A",)],
        "BAB": [("B", "A", "B")],
        "XA": [("K", "S", "A")],
        "ABBA": [("A", "B", "A")],
        "XB": [("K", "B"), ("Z", "B")],
    }
)
Path_ = list[tuple[int, int, int, int]]  # letter, phone, letters, phones of each graphone


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon.cmudict(stress=False)


@pytest.fixture(scope="module")
def split(lexicon: Lexicon) -> tuple[G2p, list[str]]:
    """A model of every sixth word of CMUdict, and words it has not seen."""
    words = sorted(lexicon.words)
    order = np.random.default_rng(2).permutation(len(words))
    seen = sorted(words[index] for index in order[: len(words) // 6])
    return G2p.train(Lexicon({word: lexicon.words[word] for word in seen})), [words[i] for i in order[-600:]]


def alignments(letters: int, phones: int) -> Iterator[Path_]:
    """Every way to cut letters and phones into graphones."""

    def go_on(i: int, j: int) -> Iterator[Path_]:
        if (i, j) == (letters, phones):
            yield []
        for a, b in SHAPES:
            if i + a <= letters and j + b <= phones:
                yield from ([(i, j, a, b), *rest] for rest in go_on(i + a, j + b))

    return go_on(0, 0)


def test_alignment_agrees_with_every_alignment_counted_out() -> None:
    listed = [(word, phones) for word, spoken in TINY.words.items() for phones in spoken]
    letters, sounds = "ABX", ("A", "B", "K", "S", "Z")
    entries = alignment._entries(listed, letters, sounds)
    rng = np.random.default_rng(0)
    size = sum(3**a * 5**b for a, b in SHAPES)
    probs = rng.dirichlet(np.ones(size))
    counts = np.zeros(size)
    total = expected_counts(entries, probs, counts)
    actual, lengths = best_alignments(entries, np.log(probs))

    names: dict[int, tuple[str, Pronunciation]] = {}
    expected: dict[Any, float] = defaultdict(float)
    likelihood, at = 0.0, 0
    order = [(1, 0), (1, 1), (1, 2), (2, 1)]
    for place, (word, phones) in enumerate(listed):
        i0, j0 = entries.letter_ends[place], entries.phone_ends[place]
        weights: dict[tuple[int, ...], float] = {}
        for path in alignments(len(word), len(phones)):
            numbers = []
            for i, j, a, b in path:
                index = number(order.index((a, b)), entries, i0 + i, j0 + j)
                piece = (word[i : i + a], phones[j : j + b])
                assert names.setdefault(index, piece) == piece  # a number means one graphone
                numbers.append(index)
            weights[tuple(numbers)] = math.prod(probs[n] for n in numbers)
        whole = sum(weights.values())
        likelihood += math.log(whole)
        for numbers_, weight in weights.items():
            for index in numbers_:
                expected[index] += weight / whole
        best = max(weights, key=lambda path: weights[path])
        assert tuple(actual[at : at + lengths[place]]) == best
        at += lengths[place]
    assert len(set(names.values())) == len(names) and at == len(actual)
    assert total == pytest.approx(likelihood)
    wanted = np.zeros(size)
    wanted[list(expected)] = list(expected.values())
    np.testing.assert_allclose(counts, wanted, atol=1e-12)


def test_expectation_maximisation_never_loses() -> None:
    listed = [(word, phones) for word, spoken in TINY.words.items() for phones in spoken]
    entries = alignment._entries(listed, "ABX", ("A", "B", "K", "S", "Z"))
    size = sum(3**a * 5**b for a, b in SHAPES)
    probs, gained = np.full(size, 1 / size), []
    for _ in range(10):
        counts = np.zeros(size)
        gained.append(expected_counts(entries, probs, counts))
        probs = counts / counts.sum()
    assert all(after >= before - 1e-9 for before, after in itertools.pairwise(gained))
    assert gained[-1] > gained[0] + 5


def every_pronunciation(model: G2p, word: str) -> list[tuple[Pronunciation, float]]:
    """What ``pronounce`` looks for, by all sequences of graphones that spell the word."""
    totals: dict[Pronunciation, list[float]] = defaultdict(list)

    def go_on(rest: str, path: list[int]) -> None:
        if not rest:
            phones = tuple(phone for index in path for phone in model._pieces[index][1])
            totals[phones].append(model.ngrams.log_prob([str(index) for index in path]))
        for index, (letters, _) in enumerate(model._pieces):
            if rest.startswith(letters):
                go_on(rest[len(letters) :], [*path, index])

    go_on(word, [])
    sums = {phones: float(np.logaddexp.reduce(scores)) for phones, scores in totals.items() if phones}
    return sorted(sums.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("order", [1, 3, 5])
def test_search_agrees_with_every_sequence_of_graphones(order: int) -> None:
    model = G2p.train(TINY, order)
    assert {len(letters) for letters, _ in model._pieces} == {1, 2}
    for word in ("AB", "XAB", "BBAX", "A", "XXBA"):
        expected = every_pronunciation(model, word)
        actual = model.pronounce(word, nbest=2000, beam=2000)
        assert len(actual) == len(expected) > (len(word) > 2)
        np.testing.assert_allclose([p for _, p in actual], [p for _, p in expected], atol=1e-4)
        by_phones = dict(expected)
        assert all(by_phones[phones] == pytest.approx(p, abs=1e-4) for phones, p in actual)


def test_all_pronunciations_of_all_short_words_have_probability_one_at_most() -> None:
    model = G2p.train(TINY)
    words = ("".join(w) for n in (1, 2, 3) for w in itertools.product("ABX", repeat=n))
    total = sum(math.exp(p) for word in words for _, p in model.pronounce(word, 2000, 2000))
    assert 0.3 < total < 1


def error_rate(pairs: Sequence[tuple[Pronunciation, list[Pronunciation]]]) -> float:
    errors, phones = zip(
        *(min((Levenshtein.distance(p, r), len(r)) for r in references) for p, references in pairs),
        strict=True,
    )
    return sum(errors) / sum(phones)


def test_unseen_words_are_said_mostly_right(split: tuple[G2p, list[str]], lexicon: Lexicon) -> None:
    model, unseen = split
    actual = {word: model.pronounce(word, nbest=5) for word in unseen}
    first = [(ways[0][0], lexicon.words[word]) for word, ways in actual.items()]
    assert error_rate(first) < 0.11
    one_of_five = [
        (
            min((phones for phones, _ in ways), key=lambda p: error_rate([(p, lexicon.words[w])])),
            lexicon.words[w],
        )
        for w, ways in actual.items()
    ]
    assert error_rate(one_of_five) < 0.04
    for ways in actual.values():
        scores = [score for _, score in ways]
        assert scores == sorted(scores, reverse=True) and len({phones for phones, _ in ways}) == len(ways)


def test_the_model_holds_its_lexicon(split: tuple[G2p, list[str]], lexicon: Lexicon) -> None:
    model = split[0]
    assert len(model.listed) > 20_000
    for word, spoken in model.listed.items():
        assert spoken == [phones for phones in lexicon.words[word] if len(phones) <= 2 * len(word)]
    word = next(word for word, spoken in model.listed.items() if len(spoken) > 2)
    assert model.spoken(word.lower()) == lexicon.words[word]
    unseen = next(word for word in split[1] if word not in model.listed)
    assert model.spoken(unseen) == [model.pronounce(unseen)[0][0]]


def test_training_again_and_reading_back_give_the_same_bits(tmp_path: Path, lexicon: Lexicon) -> None:
    few = Lexicon(dict(itertools.islice(lexicon.words.items(), 0, None, 50)))
    one, two = G2p.train(few), G2p.train(few)
    one.save(tmp_path / "one")
    two.save(tmp_path / "two")
    G2p.load(tmp_path / "one").save(tmp_path / "three")
    assert len({(tmp_path / name).read_bytes() for name in ("one", "two", "three")}) == 1
    back = G2p.load(tmp_path / "one")
    for word in ("ASRKIT", "ZYZZYVA", "PHTHALATE"):
        assert back.pronounce(word, 5) == one.pronounce(word, 5) != []
    assert (tmp_path / "one").stat().st_size < 100_000


def test_letters_no_entry_has(split: tuple[G2p, list[str]]) -> None:
    model = split[0]
    assert model.pronounce("Café") == model.pronounce("CAFE") != []
    assert model.pronounce("«cafe»!") == model.pronounce("CAFE")
    assert model.pronounce("straße") == model.pronounce("STRASSE") != []
    assert all(model.pronounce(word) == [] for word in ("4U", "ЖУК", "Ærø", "R&D", "", "?!"))
    few = {"ÉTÉ": "e t e", "É": "e", "THÉ": "t e", "TE": "t @", "ET": "e", "LE": "l @", "T": "t e"}
    french = G2p.train(Lexicon({word: [tuple(phones.split())] for word, phones in few.items()}))
    assert french.pronounce("lé")[0][0] == ("l", "e") and french.pronounce("LE")[0][0] == ("l", "@")


def test_what_cannot_be_trained_or_asked_is_refused() -> None:
    with pytest.raises(DataError, match="no pronunciation"):
        G2p.train(Lexicon({"W": [("D", "AH", "B", "AH", "L", "Y", "UW")]}))
    syllables: dict[str, list[Pronunciation]] = {
        chr(0x4E00 + index): [(f"s{index}",)] for index in range(500)
    }
    with pytest.raises(DataError, match="500 letters"):
        G2p.train(Lexicon(syllables))
    with pytest.raises(UsageError, match="beam"):
        G2p.train(TINY).pronounce("AB", nbest=30, beam=20)


@pytest.mark.parametrize("damage", ["cut", "text", "range", "missing"])
def test_damaged_models_are_refused(damage: str, tmp_path: Path) -> None:
    path, model = tmp_path / G2P_FILE, G2p.train(TINY)
    if damage == "range":
        model = replace(model, spelled=model.spelled + 1)
    model.save(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "text":
        path.write_text("A AH\n")
    elif damage == "missing":
        path.unlink()
    with pytest.raises(ModelError, match="make it again"):
        G2p.load(path)


def test_compact_lexicons_say_the_same(split: tuple[G2p, list[str]], lexicon: Lexicon) -> None:
    model, unseen = split
    known = {word: lexicon.words[word] for word in model.listed} | {"W": lexicon.words["W"]}
    whole = Lexicon(known, fallback=model.spoken)
    asked = [*unseen[:50], *itertools.islice(known, 50), "h2o"]
    short = whole.compact(asked)
    assert len(short.words) < 150 and "W" in short.words
    assert all(short.pronounce(word) == whole.pronounce(word) for word in [*known, *asked])
    assert short.predicted == {word for word in asked if word not in known} - {"h2o"}
    assert whole.compact([]).pronounce("H2O") == [] == short.pronounce("h2o")
    assert Lexicon(known).compact(asked).words == known


def test_lexicons_remember_what_was_predicted(tmp_path: Path) -> None:
    (tmp_path / "a.dic").write_text("AB A B # predicted\nBA B A # said so\nBB B\nBB(2) B B # predicted\n")
    lexicon = Lexicon.read(tmp_path / "a.dic")
    assert lexicon.predicted == {"AB", "BB"} and lexicon.words["BB"] == [("B",), ("B", "B")]
    lexicon.save(tmp_path / "b.dic")
    assert Lexicon.read(tmp_path / "b.dic") == lexicon


def test_own_words_before_those_of_the_dictionary(tmp_path: Path) -> None:
    (tmp_path / "own.dic").write_text("ASRKIT EY1 EH1 S AA1 R K IH2 T\nHELLO HH AA\n")
    config = TextConfig(tokenizer="phone", lexicon="own.dic", cmudict=True)
    tokenizer = build_tokenizer(config, ["HELLO WORLD"], tmp_path)
    assert tokenizer.decode(tokenizer.encode("HELLO WORLD")) == "HH AA W ER L D"
    assert tokenizer.decode(tokenizer.encode("asrkit")) == "EY EH S AA R K IH T"
    assert len(tokenizer.tokens) == 39 + 3
    assert isinstance(tokenizer, PhoneTokenizer)
    with pytest.raises(DataError, match="@U h l"):
        Lexicon({"HELLO": [("h", "@", "l", "@U")]}).extended(tokenizer.lexicon)


def test_tokenizers_say_every_word(tmp_path: Path, split: tuple[G2p, list[str]]) -> None:
    tokenizer = PhoneTokenizer(Lexicon(dict(split[0].listed)))
    listed = next(word for word, spoken in split[0].listed.items() if len(spoken) > 1)
    text = f"{listed} SYZYGYAL"
    tokens = list(tokenizer.tokens)
    assert tokenizer.unknown(text) == ["SYZYGYAL"] and tokenizer.encode(text)[-1] == 1
    assert predict_unknown(tokenizer, text.split(), tmp_path) == ["SYZYGYAL"]
    assert tokenizer.unknown(text) == [] and 1 not in tokenizer.encode(text)
    tokenizer.save(tmp_path)
    lines = (tmp_path / "lexicon.txt").read_text().splitlines()
    assert len(lines) < 10 and any(line.startswith("SYZYGYAL S ") and "# predicted" in line for line in lines)
    assert (tmp_path / G2P_FILE).stat().st_size < 500_000

    plain, whole = load_tokenizer(tmp_path), open_tokenizer(tmp_path)
    assert plain.tokens == whole.tokens == tokens
    assert plain.encode(text) == whole.encode(text) == tokenizer.encode(text)
    others = " ".join(itertools.islice(split[0].listed, 1000, 1050))
    assert whole.encode(others) == PhoneTokenizer(Lexicon(dict(split[0].listed))).encode(others)
    assert plain.unknown("QUUXLY 9") == ["QUUXLY", "9"] and whole.unknown("QUUXLY 9") == ["9"]
    (tmp_path / G2P_FILE).write_bytes(b"x")
    with pytest.raises(ModelError):
        open_tokenizer(tmp_path)


def test_tokens_that_lack_a_phone_are_refused(tmp_path: Path) -> None:
    PhoneTokenizer(TINY).save(tmp_path)
    (tmp_path / "lexicon.txt").write_text("AB A Q\n")
    with pytest.raises(ModelError, match="not tokens: Q"):
        load_tokenizer(tmp_path)


def test_recipes_predict_unknown_words(asrkit: Run, tmp_path: Path, lexicon: Lexicon) -> None:
    words: set[str] = set()
    for line in (SENTENCES / "transcripts.txt").read_text().upper().splitlines():
        name, text = line.split("\t")
        words |= {*text.split()}
        place = tmp_path / "corpus" / {"SENSE-0880": "dev", "SENSE-0930": "test"}.get(name, "train")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(SENTENCES / f"{name.lower()}.flac", place)
        (place / f"{name.lower()}.txt").write_text(text)
    left_out = {"COLD", "DISPOSED", "LEISURE", "MARRIED", "POWER"}
    Lexicon({word: lexicon.words[word] for word in words - left_out}).save(tmp_path / "own.dic")
    command = ("train", ROOT / "recipes/prompts", "--exp", tmp_path / "exp", "--stop-stage", "tokenizer")
    corpus = ("corpus.name=folder", f"corpus.path={tmp_path / 'corpus'}")
    settings = (*corpus, "text.tokenizer=phone", f"text.lexicon={tmp_path / 'own.dic'}")

    done = asrkit(*command, *settings)
    assert f"predicted pronunciations for {len(left_out)} of {len(words)} words: " in done.err
    folder = tmp_path / "exp/prompts/default/tokenizer"
    tokenizer = open_tokenizer(folder)
    assert isinstance(tokenizer, PhoneTokenizer) and tokenizer.lexicon.predicted == left_out
    assert tokenizer.unknown("MUTABLE BLANDER 2") == ["2"]
    assert "predicted" not in asrkit(*command, *settings, "text.g2p=false").err
    assert not (folder / G2P_FILE).exists()
    assert {*load_tokenizer(folder).unknown(" ".join(words))} == left_out


def test_pronounce_prints_a_lexicon(asrkit: Run, tmp_path: Path) -> None:
    TINY.save(tmp_path / "own.dic")
    done = asrkit("pronounce", "--lexicon", tmp_path / "own.dic", "ab", "bbab", "--nbest", 2)
    lines = done.out.splitlines()
    assert done.code == 0 and lines[:2] == ["AB A B", "AB(2) A"]
    assert [line.split()[0] for line in lines[2:]] == ["BBAB", "BBAB(2)"]
    assert "BBAB" in done.err and "AB," not in done.err
    assert asrkit("pronounce", "hello").out == "HELLO HH AH L OW\nHELLO(2) HH EH L OW\n"
    failed = asrkit("pronounce", "--lexicon", tmp_path / "own.dic", "AB", "9")
    assert failed.code == 1 and failed.out.startswith("AB A B\n") and "no pronunciation: 9" in failed.err


TIMIT61 = (
    "aa ae ah ao aw ax ax-h axr ay b bcl ch d dcl dh dx eh el em en eng epi er ey f g gcl h# hh hv ih ix iy "
    "jh k kcl l m n ng nx ow oy p pau pcl q r s sh t tcl th uh uw ux v w y z zh"
)


def test_folding_timit() -> None:
    timit = TIMIT61.split()
    assert len(timit) == 61 and {*fold39(timit)} == {*PHONES39} and len(PHONES39) == 39
    forty_eight = {FOLD48.get(phone, phone) for phone in timit} - {"q"}
    assert len(forty_eight) == 48 and {*fold39(sorted(forty_eight))} == {*PHONES39}
    assert fold39(fold39(timit)) == fold39(timit)
    assert fold39(["h#", "q", "ao", "l", "epi", "ax-h", "zh"]) == ["sil", "aa", "l", "sil", "ah", "sh"]


def test_folding_cmudict(lexicon: Lexicon) -> None:
    assert {*fold39(lexicon.phones)} == {*PHONES39} - {"dx", "sil"}
    assert fold39(["AO1", "ZH", "ER0"]) == ["aa", "sh", "er"]
    with pytest.raises(DataError, match="'@U'"):
        fold39(["@U"])
