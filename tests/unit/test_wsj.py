"""The WSJ reader on a small tree in each layout of the real one, with the sets and texts written there."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from wsj_tree import LAYOUTS, SAID, SETS, build, place, put, samples, sphere

from asrkit.errors import DataError
from asrkit.learning.data.corpora import CORPORA, locate, wsj
from asrkit.learning.data.corpora.common import Skipped
from asrkit.learning.data.corpora.wsj import ALIASES, SUBSETS, words
from asrkit.recognition.audio.reading import audio_info, read_audio
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.normalize import normalize

TEXTS = {said.id: said.text for said in SAID}
SIZES = {  # counts of wav2letter and Kaldi in the corpus itself
    "train_si84": 7138,
    "train_si284": 37416,
    "test_dev93": 503,
    "test_dev93_5k": 513,
    "test_eval92": 333,
    "test_eval92_5k": 330,
    "test_eval93": 213,
    "test_eval93_5k": 215,
    "dev_dt_20": 503,
    "dev_dt_05": 913,
}


def read(source: Path, subset: str, out: Path) -> tuple[list[Utterance], list[Skipped]]:
    skipped: list[Skipped] = []
    return list(CORPORA["wsj"].prepare(source, subset, out, 16000, skipped)), skipped


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("wsj")
    return {layout: build(root / layout, layout) for layout in LAYOUTS}


@pytest.fixture
def tree(trees: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the discs to damage."""
    return Path(shutil.copytree(trees["discs"], tmp_path / "discs"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_set_has_its_utterances_and_their_words(
    layout: str, trees: dict[str, Path], tmp_path: Path
) -> None:
    assert {name: size for name, (size, _) in SUBSETS.items()} == SIZES
    for subset, ids in SETS.items():
        actual, skipped = read(trees[layout], subset, tmp_path)
        assert [u.id for u in actual] == ids.split()
        assert {u.id: normalize(u.text, "english") for u in actual} == {id: TEXTS[id] for id in ids.split()}
        assert all(u.speaker == u.id[:3] and u.start == 0 for u in actual)
        notice = f"{len(actual)} utterances found; the whole set has {SIZES[subset]}"
        assert skipped == [Skipped(subset, notice)]


def test_audio_is_flac_with_the_same_samples(trees: dict[str, Path], tmp_path: Path) -> None:
    actual, _ = read(trees["discs"], "test_dev93", tmp_path)
    recordings = {said.id: said.recording for said in SAID}
    for utterance in actual:
        assert utterance.audio == str(tmp_path / f"{utterance.id}.flac")
        audio, rate = soundfile.read(utterance.audio, dtype="int16")
        np.testing.assert_array_equal(audio, samples(recordings[utterance.id]))
        assert utterance.duration == len(audio) / rate


@pytest.mark.parametrize("alias", ["si84", "si284", "dev93", "dev93_5k", "eval92", "eval93", "eval93_5k"])
def test_short_names(alias: str, trees: dict[str, Path], tmp_path: Path) -> None:
    role = "train" if alias.startswith("si") else "test"
    assert ALIASES[alias] == f"{role}_{alias}"
    actual, _ = read(trees["merged"], alias, tmp_path)
    assert [u.id for u in actual] == SETS[f"{role}_{alias}"].split()


def test_a_whole_set_is_not_remarked_upon(
    trees: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(wsj.SUBSETS, "test_eval92", (2, SUBSETS["test_eval92"][1]))
    assert read(trees["discs"], "eval92", tmp_path)[1] == []


def test_discs_may_be_links_and_one_of_the_two_corpora_is_enough(
    trees: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    for disc in trees["discs"].glob("11-*"):
        (tmp_path / "links" / disc.name).symlink_to(disc)
    assert len(read(tmp_path / "links", "si84", tmp_path / "out")[0]) == 7
    with pytest.raises(DataError, match=r"wsj1/doc/indices/si_tr_s\.ndx") as caught:
        read(tmp_path / "links", "si284", tmp_path / "out")
    assert "13-34.1" in caught.value.hint
    with pytest.raises(DataError, match="wsj1/si_dt_20/") as caught:
        read(tmp_path / "links", "dev_dt_20", tmp_path / "out")
    assert "13-16.1" in caught.value.hint
    assert len(read(trees["merged"] / "wsj0", "si84", tmp_path / "out")[0]) == 7


# ---- words


@pytest.mark.parametrize(
    ("dot", "expected"),
    [
        (r"Corp\. isn\'t I\. B\. M\.", "Corp. isn't I. B. M."),
        ("a [lip_smack] b [<door_slam] c [door_slam>] d [ring/] e [/ring] f", "a b c d e f"),
        ("a[<tap] b", "a b"),
        (". a . b ~", "a b"),
        ("~a b~", "a b"),
        ("<the> <isn't> <*in*> <*Mr\\.*>", "the isn't in Mr."),
        ("*mis-said*", "mis-said"),
        ("so: l:ong", "so long"),
        (r"revo\(lutionary\)\- REVO(LUTION'S)-", "revo- REVO-"),
        ("up %PERCENT two .POINT five", "up PERCENT two POINT five"),
        ("--DASH -HYPHEN INCORPORATED-DASH", "DASH HYPHEN INCORPORATED-DASH"),
        (r"\,COMMA \.PERIOD \"DOUBLE\-QUOTE \;SEMI\-COLON", "COMMA PERIOD DOUBLE-QUOTE SEMI-COLON"),
        ("(LEFT-PAREN )RIGHT-PAREN {LEFT-BRACE :COLON", "LEFT-PAREN RIGHT-PAREN LEFT-BRACE COLON"),
        ("?QUESTION-MARK !EXCLAMATION-POINT /SLASH", "QUESTION-MARK EXCLAMATION-POINT SLASH"),
        ("&AMPERSAND ...ELLIPSIS", "AMPERSAND ELLIPSIS"),
        ("'SINGLE-QUOTE `QUOTE 'em the '90s", "SINGLE-QUOTE QUOTE 'em the '90s"),
        (r"\[LEFT\-BRACKET a \]RIGHT\-BRACKET", "LEFT-BRACKET a RIGHT-BRACKET"),
        ("[bad_recording]", ""),
        ("", ""),
    ],
)
def test_words_of_a_transcript(dot: str, expected: str) -> None:
    assert words(dot) == expected


# ---- shorten


def stand_in(folder: Path) -> Path:
    """A program `sph2pipe` that undoes what :func:`wsj_tree.sphere` does, and the log of its calls."""
    program, log = folder / "bin/sph2pipe", folder / "calls"
    put(
        program,
        f"""#!{sys.executable} -IS
import io, sys, wave, zlib
path = sys.argv[-1]
open({str(log)!r}, "a").write(path + "\\n")
made = io.BytesIO()
with wave.open(made, "wb") as file:
    file.setparams((1, 2, 16000, 0, "NONE", ""))
    file.writeframes(zlib.decompress(open(path, "rb").read()[1024:]))
sys.stdout.buffer.write(made.getvalue())
""".encode(),
    )
    program.chmod(0o755)
    log.touch()
    return log


def test_shortened_audio_is_expanded_once_into_flac(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = build(tmp_path / "wsj", "merged", shorten=True)
    recordings = {said.id: said.recording for said in SAID}
    log = stand_in(tmp_path)
    monkeypatch.setenv("PATH", str(log.parent / "bin"))
    actual, skipped = read(source, "eval92", tmp_path / "out")
    assert (len(actual), len(skipped)) == (2, 1)
    for utterance in actual:
        assert Path(utterance.audio).suffix == ".flac"
        audio, _ = soundfile.read(utterance.audio, dtype="int16")
        np.testing.assert_array_equal(audio, samples(recordings[utterance.id]))
    calls = log.read_text().split()
    assert [Path(call).stem for call in calls] == ["440c0201", "441c0202"]
    monkeypatch.setenv("PATH", "/nowhere")
    assert read(source, "eval92", tmp_path / "out")[0] == actual


def test_without_sph2pipe_shortened_discs_are_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    source = build(tmp_path / "wsj", "discs", shorten=True)
    with pytest.raises(DataError, match=r"none of the 7 utterances of train_si84 .* sph2pipe") as caught:
        read(source, "si84", tmp_path / "out")
    assert "sph2pipe" in caught.value.hint


def test_the_header_of_shortened_audio_is_read_without_sph2pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    recording = SAID[0].recording
    put(tmp_path / "a.wv1", sphere(recording, shorten=True))
    info = audio_info(tmp_path / "a.wv1")
    assert (info.sample_rate, info.channels, info.format) == (16000, 1, "NIST/SHORTEN")
    assert info.frames == len(samples(recording))
    put(tmp_path / "b.wv1", (tmp_path / "a.wv1").read_bytes().replace(b"sample_rate", b"simple_rate"))
    with pytest.raises(DataError, match="header lacks sample_rate"):
        audio_info(tmp_path / "b.wv1")


# ---- copies that are not whole, or not alone


def test_what_cannot_be_used_is_named(tree: Path, tmp_path: Path) -> None:
    disc = tree / "11-1.1/wsj0/si_tr_s"
    dots = tree / "11-10.1/wsj0/transcrp/dots/si_tr_s"
    (disc / "01i/01ic0201.wv1").unlink()
    whole = (disc / "01i/01ic0202.wv1").read_bytes()
    (disc / "01i/01ic0202.wv1").write_bytes(whole[: len(whole) // 2])
    put(
        dots / "01i/01ic0200.dot",
        rb"I\'m sorry (01ic0202)" + b"\n\nno id\n(01ic0201)\r\n(bad) call (01IC020A)\r\n",
    )
    (dots / "02b/02bc0200.dot").unlink()
    put(dots / "02c/02cc0200.dot", b"folder eight (02cc0201)\ncaf\xe9 (02cc0202)\n")
    index = tree / "11-13.1/wsj0/doc/indices/train/tr_s_wv1.ndx"
    put(index, index.read_bytes() + b"wsj0/si_tr_s/01i/01ic0201.wv1\n11_1_1:wsj0/si_tr_s/46b/46bc0101.wv1\n")
    actual, skipped = read(tree, "si284", tmp_path)
    assert [u.id for u in actual] == ["01ic020a", "46bc0101", "46bc0102", "46bc0103"]
    assert actual[0].text == "bad) call"
    reasons = {entry.id: entry.reason for entry in skipped}
    assert next(iter(reasons)) == "train_si284"  # before all others, where it is seen
    assert "4 utterances found" in reasons.pop("train_si284")
    assert reasons.pop("tr_s_wv1.ndx:13") == "not `disc:path`"
    assert reasons.pop("01ic0200.dot:3") == "no (utterance id) at its end"
    assert "no wsj0/si_tr_s/01i/01ic0201 on any disc" in reasons.pop("01ic0201")
    assert "truncated" in reasons.pop("01ic0202")
    assert "02bc0200.dot" in reasons.pop("02bc0201")
    assert "UTF-8" in reasons.pop("02cc0200.dot")
    assert set(reasons) == {"02cc0201", "02cc0202", "02cc0203"}


def test_the_disc_that_the_index_names_comes_first(tree: Path, tmp_path: Path) -> None:
    """Older indices and other audio of the same name are ignored; without that disc, any will do."""
    copies = [
        ("13-32.1/wsj1/si_et_h1/4oa/4oac0201.wv1", b"not the disc it is on, though the index says so"),
        ("11-1.1/wsj0/doc/indices/test/nvp/si_et_20.ndx", b"11_14_1:wsj0/si_et_20/440/440c0201\n"),
        ("11-1.1/wsj0/si_et_20/440/440c0201.wv1", sphere(SAID[0].recording)),
        ("11-14.1/wsj0/si_et_20/440/440c0201.flac", b"a copy that is not needed"),
        ("13-16.1/WSJ1/SI_DT_20/4K0/._4K0C0301.WV1", b"of macOS"),
    ]
    for path, content in copies:
        put(tree / path, content)
    actual, _ = read(tree, "eval92", tmp_path / "a")
    assert [u.id for u in actual] == SETS["test_eval92"].split()
    original = next(said for said in SAID if said.id == "440c0201").recording
    np.testing.assert_allclose(read_audio(actual[0].audio), samples(original) / 32768, atol=2**-15)
    for subset in ("test_eval93", "dev_dt_20"):
        assert [u.id for u in read(tree, subset, tmp_path / "a")[0]] == SETS[subset].split()
        assert len(read(tree, subset, tmp_path / "a")[1]) == 1
    shutil.rmtree(tree / "11-14.1/wsj0/si_et_20/440")
    put(tree / "11-14.1/wsj0/440c0200.dot", b"thank you (440c0201)\n")
    again, _ = read(tree, "eval92", tmp_path / "b")
    np.testing.assert_allclose(read_audio(again[0].audio), samples(SAID[0].recording) / 32768, atol=2**-15)


def test_audio_may_have_been_converted(trees: dict[str, Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(trees["merged"], tmp_path / "wsj"))
    for path in copy.rglob("*.wv1"):
        soundfile.write(path.with_suffix(".wav"), (read_audio(path) * 32768).astype(np.int16), 16000)
        path.unlink()
    actual, _ = read(copy, "si284", tmp_path / "out")
    assert [u.id for u in actual] == SETS["train_si284"].split()
    assert {Path(u.audio).suffix for u in actual} == {".wav"}  # read where it is


def test_unknown_subsets_and_folders_without_the_corpus_are_refused(
    trees: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no subset 'si285'") as caught:
        read(trees["discs"], "si285", tmp_path)
    assert "'si284'" in caught.value.hint
    put(tmp_path / "empty/notes/readme.txt", b"nothing here")
    with pytest.raises(DataError, match="no folder wsj0 or wsj1") as caught:
        read(tmp_path / "empty", "si84", tmp_path)
    assert caught.value.hint == CORPORA["wsj"].where


def test_it_is_never_downloaded_and_says_what_to_buy(tmp_path: Path) -> None:
    corpus = CORPORA["wsj"]
    assert (corpus.url, corpus.sha256) == ("", "")
    for number in ("LDC93S6A", "LDC93S6B", "LDC94S13A", "--data"):
        assert number in corpus.where
    assert locate(corpus, "", tmp_path) is None
    assert locate(corpus, "", build(tmp_path / "wsj").parent) == tmp_path / "wsj"
    assert place(tmp_path / "wsj", "merged", f"{SAID[0].disc}/{SAID[0].file}").exists()
