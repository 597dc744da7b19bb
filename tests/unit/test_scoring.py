"""Scoring: counts against jiwer and sclite, Kaldi's lines, intervals against theory, and file formats."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import DataError
from asrkit.recognition.scoring.align import Edit, align
from asrkit.recognition.scoring.bootstrap import confidence_interval, probability_of_improvement
from asrkit.recognition.scoring.formats import CtmWord, read_ctm, read_transcripts, write_ctm, write_trn
from asrkit.recognition.scoring.rates import ErrorCounts, split
from asrkit.recognition.scoring.report import operations, per_speaker, per_utterance, write_score
from asrkit.recognition.scoring.score import Score, ScoredUtterance, score_files, score_texts

REAL = (
    ("i am going to the station", "i'm going to station now"),
    ("p i t t s b u r g h", "p i t s b u r g h"),
    (
        "he hoped there would be stew for dinner turnips and carrots",
        "he hope there'd be stew for dinner turn ups",
    ),
    ("one two three", ""),
    ("", "uh"),
    ("zürich liegt am see", "zurich liegt am see"),
)
"""Reference and hypothesis."""

WORDS = st.lists(st.sampled_from(["a", "b", "c", "ab", "ba", "é"]), max_size=12).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=6)
FIXED = settings(derandomize=True, deadline=None, max_examples=100)


def test_folded_phones_count_as_one() -> None:
    pairs = [("AO L ZH", "AA L SH"), ("[SIL] T", "sil D")]
    assert scored(pairs, "phone").total.errors == 4
    assert scored(pairs, "phone39").total.errors == 1
    with pytest.raises(DataError, match="'HELLO' is no phone"):
        scored([("HELLO", "")], "phone39")


def scored(pairs: list[tuple[str, str]], unit: str) -> Score:
    references = {str(i): reference for i, (reference, _) in enumerate(pairs)}
    return score_texts(references, {str(i): hypothesis for i, (_, hypothesis) in enumerate(pairs)}, unit)


def assert_as_jiwer(pairs: list[tuple[str, str]]) -> None:
    references, hypotheses = map(list, zip(*pairs, strict=True))
    words, chars = (
        jiwer.process_words(references, hypotheses),
        jiwer.process_characters(references, hypotheses),
    )
    for unit, theirs, rate in (
        ("word", words, words.wer),
        ("phone", words, words.wer),
        ("char", chars, chars.cer),
    ):
        total = scored(pairs, unit).total
        assert (total.correct, total.substitutions, total.deletions, total.insertions) == (
            theirs.hits,
            theirs.substitutions,
            theirs.deletions,
            theirs.insertions,
        )
        assert total.rate == rate


@FIXED
@given(PAIRS)
def test_counts_equal_jiwer(pairs: list[tuple[str, str]]) -> None:
    assert_as_jiwer(pairs)


def test_counts_equal_jiwer_on_sentences() -> None:
    assert_as_jiwer(list(REAL))


@FIXED
@given(WORDS, WORDS)
def test_alignment_spells_both_texts(reference: str, hypothesis: str) -> None:
    edits = align(reference.split(), hypothesis.split())
    assert [e.reference for e in edits if e.code != "I"] == reference.split()
    assert [e.hypothesis for e in edits if e.code != "D"] == hypothesis.split()
    assert all((e.code == "C") == (e.reference == e.hypothesis) for e in edits)


def test_blank_between_words_is_one_character() -> None:
    assert split("  ab   c ", "char") == ["a", "b", "<space>", "c"]
    assert split(" HH AH0  L ", "phone") == ["HH", "AH0", "L"]
    assert scored([("a b", "ab")], "char").total.deletions == 1


def test_kaldi_lines() -> None:
    half = ErrorCounts(
        correct=359, substitutions=25, deletions=1, insertions=3, sentences=65, sentences_wrong=19
    )
    rest = ErrorCounts(
        correct=360, substitutions=26, deletions=2, insertions=0, sentences=65, sentences_wrong=21
    )
    total = half + rest
    assert total.kaldi_line("WER") == "%WER 7.37 [ 57 / 773, 3 ins, 3 del, 51 sub ]"
    assert total.sentence_line() == "%SER 30.77 [ 40 / 130 ]"


def test_speakers_confusions_and_missing() -> None:
    references = {"a-1": "x y", "a-2": "x y", "b-1": "p q", "c-1": ""}
    hypotheses = {"a-1": "x z", "a-2": "x z", "c-1": ""}
    score = score_texts(references, hypotheses, "word", {name: name[0] for name in references})
    assert score.missing == ["b-1"]
    assert score.tally("S") == {("y", "z"): 2}
    assert score.tally("D") == {("p", ""): 1, ("q", ""): 1}
    assert {name: counts.errors for name, counts in score.speakers.items()} == {"a": 2, "b": 2, "c": 0}
    assert score.total.sentences_wrong == 3
    assert "b-1" in score.lines()[-1]


def test_stray_hypotheses_are_named() -> None:
    with pytest.raises(DataError, match="2 hypotheses without a reference: u2, u3"):
        score_texts({"u1": "a"}, {"u1": "a", "u2": "b", "u3": "c"})
    with pytest.raises(DataError, match="no reference"):
        score_texts({}, {})


# ---- bootstrap


def test_interval_is_the_binomial_one_for_single_words() -> None:
    errors = [1] * 200 + [0] * 1800
    low, high = confidence_interval(errors, [1] * 2000, samples=4000) or (0, 0)
    half = 1.96 * math.sqrt(0.1 * 0.9 / 2000)
    assert low == pytest.approx(0.1 - half, abs=0.001)
    assert high == pytest.approx(0.1 + half, abs=0.001)


def test_interval_covers_the_true_rate() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        lengths = generator.integers(1, 12, size=130)
        errors = generator.binomial(lengths, 0.08)
        low, high = confidence_interval(errors.tolist(), lengths.tolist(), samples=200, seed=seed) or (0, 0)
        covered += low <= 0.08 <= high
    assert 0.88 <= covered / 200 <= 0.99


def test_interval_is_seeded() -> None:
    errors, lengths = [0, 3, 1, 0, 2, 5], [4, 7, 9, 3, 5, 8]
    assert confidence_interval(errors, lengths, seed=1) == confidence_interval(errors, lengths, seed=1)
    assert confidence_interval(errors, lengths, seed=1) != confidence_interval(errors, lengths, seed=2)
    assert score_texts({"a": "x"}, {"a": "x"}, bootstrap=10).interval == (0.0, 0.0)


def test_interval_of_empty_references() -> None:
    assert confidence_interval([1, 0], [0, 0]) is None
    low, high = confidence_interval([0, 1], [0, 2], samples=50) or (0, 0)
    assert low == high == 0.5


def test_probability_of_improvement() -> None:
    old = np.random.default_rng(0).integers(0, 4, size=300).tolist()
    assert probability_of_improvement(old, old) == 0
    assert probability_of_improvement([e + 1 for e in old], old) == 1
    gains = [1] * 60 + [-1] * 40 + [0] * 200  # their sum over a sample: mean 20, standard deviation 9.9
    more = [e + gain for e, gain in zip(old, gains, strict=True)]
    assert probability_of_improvement(more, old, samples=4000) == pytest.approx(0.977, abs=0.015)


# ---- files


IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="()"), min_size=1)


@FIXED
@given(st.dictionaries(IDS, WORDS, min_size=1))
def test_trn_round_trip(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str]) -> None:
    path = tmp_path_factory.getbasetemp() / "round.trn"
    write_trn(path, texts)
    assert read_transcripts(path) == texts


def test_trn_keeps_parentheses_in_the_text(tmp_path: Path) -> None:
    write_trn(tmp_path / "ref", {"spk-utt": "well (laughs)"})
    assert (tmp_path / "ref").read_text() == "well (laughs) (spk-utt)\n"
    assert read_transcripts(tmp_path / "ref") == {"spk-utt": "well (laughs)"}


@pytest.mark.parametrize("name", ["", "a(b", "a)b", "a\nb"])
def test_trn_refuses_ids(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="not an id"):
        write_trn(tmp_path / "ref.trn", {"good": "text", name: "text"})
    assert not (tmp_path / "ref.trn").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("the cat (s1-u1)\n\n(s1-u2)\n", {"s1-u1": "the cat", "s1-u2": ""}),
        ("s1-u1 the  cat\ns1-u2\ns1-u3\ttab\n", {"s1-u1": "the  cat", "s1-u2": "", "s1-u3": "tab"}),
        ("the cat\n\nsat\n", {"1": "the cat", "2": "", "3": "sat"}),
        ("\ufeffthe cat\r\nsat", {"1": "the cat", "2": "sat"}),
    ],
)
def test_forms_are_seen_from_the_content(tmp_path: Path, content: str, expected: dict[str, str]) -> None:
    path = tmp_path / "transcripts"
    path.write_bytes(content.encode())
    assert read_transcripts(path) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"good line (u1)\nno id here\n", "ref, line 2: malformed"),
        (b"{ um / uh / @ } well (u1)\n", "ref, line 1: malformed"),
        (b"one (u1)\ntwo (u1)\n", "ref, line 2: a second text for u1"),
        (b"u1 one\nu1 two\n", "ref, line 2: a second text for u1"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_malformed_transcripts_name_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "ref").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_transcripts(tmp_path / "ref")


def test_unreadable_files(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read_transcripts(path)


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    (tmp_path / "ref").write_text("the cat\nsat\n")
    (tmp_path / "short").write_text("the cat\n")
    (tmp_path / "hyp.trn").write_text("the cat (u1)\n")
    with pytest.raises(DataError, match="has 2 lines"):
        score_files(tmp_path / "ref", tmp_path / "short")
    with pytest.raises(DataError, match="is in format plain"):
        score_files(tmp_path / "ref", tmp_path / "hyp.trn")


def test_score_files(tmp_path: Path) -> None:
    (tmp_path / "ref.trn").write_text("a b c (x-1)\nd (y-1)\n")
    (tmp_path / "hyp.trn").write_text("a c (x-1)\n")
    score = score_files(tmp_path / "ref.trn", tmp_path / "hyp.trn", "word", bootstrap=100)
    assert score.lines()[:2] == ["%WER 50.00 [ 2 / 4, 0 ins, 2 del, 0 sub ]", "%SER 100.00 [ 2 / 2 ]"]
    assert list(score.speakers) == ["x", "y"]
    (tmp_path / "hyp.trn").write_text("")
    assert score_files(tmp_path / "ref.trn", tmp_path / "hyp.trn", "char", bootstrap=0).missing == [
        "x-1",
        "y-1",
    ]


def test_ctm_round_trip(tmp_path: Path) -> None:
    words = [
        CtmWord("u1", "1", 0.0, 0.25, "hello", 0.875),
        CtmWord("u1", "1", 0.3, 1.5, "wörld"),
        CtmWord("u2", "A", 10.125, 0.04, "again", 1.0),
    ]
    write_ctm(tmp_path / "hyp.ctm", reversed(words))
    assert (tmp_path / "hyp.ctm").read_text(encoding="utf-8").splitlines()[
        0
    ] == "u1 1 0.000 0.250 hello 0.875"
    assert read_ctm(tmp_path / "hyp.ctm") == words
    with pytest.raises(DataError, match="not possible in ctm: 'two words'"):
        write_ctm(tmp_path / "bad.ctm", [CtmWord("u1", "1", 0, 1, "two words")])


@pytest.mark.parametrize(
    "line", ["u1 1 0.0", "u1 1 zero 1 word", "u1 1 0 -1 word", "u1 1 0 nan w", "u1 1 0 1 w 1 x"]
)
def test_malformed_ctm_names_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "hyp.ctm").write_text(f";; comment\nu1 1 0 1 word 0.5\n{line}\n")
    with pytest.raises(DataError, match="line 3: malformed"):
        read_ctm(tmp_path / "hyp.ctm")


# ---- reports


def test_written_score(tmp_path: Path) -> None:
    references = {"a-1": "the cat sat", "a-2": "日本 x", "b-1": ""}
    hypotheses = {"a-1": "the bat sat down", "a-2": "日本 long", "b-1": ""}
    score = score_texts(references, hypotheses, "word", {"a-1": "a", "a-2": "a", "b-1": "b"})
    write_score(tmp_path, score, "system")
    assert (
        (tmp_path / "summary").read_text().startswith("%WER 60.00 [ 3 / 5, 1 ins, 0 del, 2 sub ]\n%SER 66.67")
    )
    text = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert "REF:  the cat sat ***\nHYP:  the bat sat down\nEval:     S       I\n" in text
    assert "| a        |      2       5  |   60.0   40.0    0.0   20.0   60.0  100.0 |" in text
    assert "CONFUSION PAIRS                  Total (2)\n\n   1:    1  ->  cat ==> bat\n" in text
    assert "INSERTIONS                       Total (1)\n\n   1:    1  ->  down\n" in text
    assert {p.name for p in (tmp_path / "wer_details").iterdir()} == {"per_utt", "per_spk", "ops"}


def test_wer_details_are_laid_out_as_kaldi_documents_them() -> None:
    """The example in the help of Kaldi's utils/scoring/wer_per_spk_details.pl and wer_ops_details.pl."""
    steps = "C:word-A:word-A I::word-A C:word-B:word-B D:word-C: C:word-D:word-D S:word-E:word-X"
    edits = [Edit(*step.split(":")) for step in steps.split()]
    counts = ErrorCounts(3, 1, 1, 1, 1, 1)
    score = Score("word", [ScoredUtterance("UTT-A", "A", edits, counts)], [])
    assert list(per_utterance(score)) == [
        "UTT-A ref   word-A  ***     word-B  word-C  word-D  word-E",
        "UTT-A hyp   word-A  word-A  word-B  ***     word-D  word-X",
        "UTT-A op    C       I       C       D       C       S",
        "UTT-A #csid 3  1  1  1",
    ]
    assert [" ".join(line.split()) for line in per_speaker(score)] == [
        "SPEAKER id #SENT #WORD Corr Sub Ins Del Err S.Err",
        "A raw 1 5 3 1 1 1 3 1",
        "A sys 1 5 60.00 20.00 20.00 20.00 60.00 100.00",
        "SUM raw 1 5 3 1 1 1 3 1",
        "SUM sys 1 5 60.00 20.00 20.00 20.00 60.00 100.00",
    ]
    assert [" ".join(line.split()) for line in operations(score)] == [
        "correct word-A word-A 1",
        "correct word-B word-B 1",
        "correct word-D word-D 1",
        "deletion word-C *** 1",
        "insertion *** word-A 1",
        "substitution word-E word-X 1",
    ]


SCLITE = shutil.which("sclite") or shutil.which("sclite", path="/usr/lib/sctk/bin")


@pytest.mark.skipif(not SCLITE, reason="sclite is not installed (Debian: sctk)")
def test_counts_equal_sclite(tmp_path: Path) -> None:
    """One error a sentence, where every least-cost alignment has the same counts."""
    words = ["it", "was", "the", "best", "of", "times", "and", "then", "worst"]
    references, hypotheses = {}, {}
    for i in range(len(words)):
        changed = ([], ["wrong"], [words[i], "extra"])[i % 3]
        references[f"spk{i % 2}-{i}"] = " ".join(words)
        hypotheses[f"spk{i % 2}-{i}"] = " ".join([*words[:i], *changed, *words[i + 1 :]])
    write_trn(tmp_path / "ref.trn", references)
    write_trn(tmp_path / "hyp.trn", hypotheses)
    command = f"{SCLITE} -r ref.trn trn -h hyp.trn trn -i rm -o rsum stdout".split()
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    line = next(line for line in shown.splitlines() if "Sum" in line)
    total = score_files(tmp_path / "ref.trn", tmp_path / "hyp.trn", bootstrap=0).total
    actual = (total.correct, total.substitutions, total.deletions, total.insertions, total.errors)
    counts = (total.sentences, total.reference, *actual, total.sentences_wrong)
    assert [int(n) for n in line.replace("|", " ").split()[1:]] == list(counts)
