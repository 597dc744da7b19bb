"""Corpus readers and manifests on real recordings, laid out as each corpus has them."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import lhotse
import numpy as np
import pytest
import soundfile

from asrkit.errors import DataError
from asrkit.learning.data.corpora import CORPORA, locate
from asrkit.learning.data.corpora.common import Skipped
from asrkit.learning.data.manifest import read_manifest, write_manifest
from asrkit.recognition.audio.reading import audio_info, read_audio
from asrkit.recognition.audio.utterance import Utterance

ROOT = Path(__file__).parents[2]
SENTENCES = ROOT / "tests/audio"
PROMPTS = ROOT / "recipes/prompts/data"
WORDS = {"digits-1": "one", "digits-2": "two", "digits-3": "three", "hello-world": "hello world"}


def read(
    name: str, source: Path, subset: str, out: Path, rate: int = 16000
) -> tuple[list[Utterance], list[Skipped]]:
    skipped: list[Skipped] = []
    return list(CORPORA[name].prepare(source, subset, out, rate, skipped)), skipped


def prompt(name: str) -> np.ndarray:
    return read_audio(PROMPTS / "audio" / f"{name}.opus")


# ---- prompts


def test_prompts_are_converted_once_and_sound_the_same(tmp_path: Path) -> None:
    actual, skipped = read("prompts", PROMPTS, "test", tmp_path)
    assert (len(actual), skipped) == (39, [])
    weasels = next(u for u in actual if u.id == "tt-weasels")
    assert weasels.text == "weasels have eaten our phone system"
    assert (weasels.start, weasels.speaker) == (0.0, "allison")
    wave = read_audio(weasels.audio)
    assert weasels.duration == len(wave) / 16000
    np.testing.assert_allclose(wave, prompt("tt-weasels"), atol=2**-15)

    made = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert read("prompts", PROMPTS, "test", tmp_path)[0] == actual
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made


def test_audio_at_another_rate_is_converted_again(tmp_path: Path) -> None:
    (tmp_path / "corpus/audio").mkdir(parents=True)
    (tmp_path / "corpus/transcripts.tsv").write_text("digits-1\ttrain\tone\n")
    shutil.copy(PROMPTS / "audio/digits-1.opus", tmp_path / "corpus/audio")
    for rate in (16000, 8000, 16000):
        actual, _ = read("prompts", tmp_path / "corpus", "train", tmp_path / "out", rate)
        assert audio_info(actual[0].audio).sample_rate == rate


def test_bad_lines_and_missing_audio_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio/cut.opus").write_bytes((PROMPTS / "audio/digits-2.opus").read_bytes()[:-50])
    shutil.copy(PROMPTS / "audio/digits-1.opus", tmp_path / "audio")
    lines = [
        "digits-1\ttrain\tone",
        "no tabs",
        "",
        "gone\ttrain\tx",
        "cut\ttrain\ttwo",
        "digits-1\ttrain\tone",
    ]
    (tmp_path / "transcripts.tsv").write_text("\n".join(lines))
    actual, skipped = read("prompts", tmp_path, "train", tmp_path / "out")
    assert [u.id for u in actual] == ["digits-1"]
    assert [s.id for s in skipped] == ["transcripts.tsv:2", "gone", "cut", "digits-1"]
    assert "no such file" in skipped[1].reason
    assert "truncated" in skipped[2].reason
    assert "second utterance" in skipped[3].reason


# ---- AN4


@pytest.fixture(scope="module")
def an4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree like AN4's: 103 training utterances of two speakers, two for testing; NIST SPHERE."""
    root = tmp_path_factory.mktemp("an4-source") / "an4"
    (root / "etc").mkdir(parents=True)
    samples = (prompt("digits-1") * 32768).astype("<i2")

    def sphere(folder: str, speaker: str, file: str) -> None:
        path = root / "wav" / folder / speaker / f"{file}.sph"
        path.parent.mkdir(parents=True, exist_ok=True)
        fields = f"sample_count -i {len(samples)}\nsample_rate -i 16000\nsample_n_bytes -i 2\n"
        fields += "sample_byte_format -s2 01\nchannel_count -i 1\nsample_coding -s3 pcm\nend_head\n"
        path.write_bytes(f"NIST_1A\n   1024\n{fields}".encode().ljust(1024) + samples.tobytes())

    lines = []
    for number in range(103):
        speaker = "mzzz" if number % 2 else "faaa"
        sphere("an4_clstk", speaker, f"an{number}-{speaker}-b")
        lines.append(f"<s> ENTER ++BREATH++ {'ONE TWO'[: 3 + number % 5]} </s> (an{number}-{speaker}-b)\n")
    (root / "etc/an4_train.transcription").write_text("".join(lines))
    for name in ("cen1", "cen2", "cen9"):
        sphere("an4test_clstk", "fbbb", f"{name}-fbbb-b")
    (root / "etc/an4_test.transcription").write_text(
        "\nP I T T (cen1-fbbb-b)\nYES (cen2-fbbb-b)\nNO AUDIO (cen3-fbbb-b)\nNO ID\n"
    )
    return root


def test_an4_is_split_as_espnet_does(an4: Path, tmp_path: Path) -> None:
    train, skipped = read("an4", an4, "train", tmp_path)
    dev, _ = read("an4", an4, "train_dev", tmp_path)
    assert skipped == []
    everyone = sorted(
        f"{s}-an{n}-b" for n in range(103) for s in ["mzzz" if n % 2 else "faaa"]
    )  # data_prep.py and subset_data_dir.sh --first 100
    assert [u.id for u in dev] == everyone[:100]
    assert [u.id for u in train] == everyone[100:]
    assert {u.text.split()[0] for u in train + dev} == {"ENTER"}
    assert not any(c in u.text for u in train + dev for c in "<>+")
    assert {(u.speaker, u.id[:4]) for u in train + dev} == {("faaa", "faaa"), ("mzzz", "mzzz")}


def test_an4_audio_is_flac_with_the_same_samples(an4: Path, tmp_path: Path) -> None:
    actual, skipped = read("an4", an4.parent, "test", tmp_path)
    assert [(u.id, u.text) for u in actual] == [("fbbb-cen1-b", "P I T T"), ("fbbb-cen2-b", "YES")]
    assert [s.id for s in skipped] == ["an4_test.transcription:5", "fbbb-cen3-b", "cen9-fbbb-b"]
    samples, rate = soundfile.read(actual[0].audio, dtype="int16")
    assert (Path(actual[0].audio).suffix, rate) == (".flac", 16000)
    np.testing.assert_array_equal(samples, (prompt("digits-1") * 32768).astype(np.int16))


def test_an4_is_read_from_its_archive(an4: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "an4_sphere.tar.gz", "w:gz") as tar:
        tar.add(an4, "an4")
    archived, _ = read("an4", tmp_path / "an4_sphere.tar.gz", "test", tmp_path / "a")
    unpacked, _ = read("an4", an4, "test", tmp_path / "b")
    assert [u.id for u in archived] == [u.id for u in unpacked]
    with pytest.raises(DataError, match="no subset 'tset'"):
        read("an4", an4, "tset", tmp_path)


# ---- a folder of one's own


def test_folder(tmp_path: Path) -> None:
    corpus = tmp_path / "mine"
    (corpus / "train/ann").mkdir(parents=True)
    (corpus / "train/.hidden").mkdir()
    shutil.copy(SENTENCES / "sense-0880.flac", corpus / "train/ann/one two.flac")
    (corpus / "train/ann/one two.txt").write_bytes(
        "\ufeffHe was not\r\nan ill disposed young man.\r\n".encode()
    )
    shutil.copy(PROMPTS / "audio/digits-1.opus", corpus / "train/x.opus")
    (corpus / "train/x.txt").write_text("one")
    soundfile.write(corpus / "train/stereo.WAV", np.zeros((8000, 2)), 8000)
    (corpus / "train/stereo.txt").write_text("")
    for name in ("train/.hidden/a.wav", "train/silent.wav", "train/text.wav"):
        shutil.copy(SENTENCES / "sense-0880.flac", corpus / name)
    (corpus / "train/text.wav").write_text("no audio")
    (corpus / "train/text.txt").write_text("words")
    (corpus / "train/latin.txt").write_bytes("Grüße".encode("latin-1"))
    shutil.copy(SENTENCES / "sense-0880.flac", corpus / "train/latin.flac")
    (corpus / "train/lonely.txt").write_text("words")

    actual, skipped = read("folder", corpus, "train", tmp_path / "out")
    by_id = {u.id: u for u in actual}
    assert sorted(by_id) == ["ann-one_two", "stereo", "x"]
    ann = by_id["ann-one_two"]
    assert (ann.text, ann.speaker, ann.duration) == ("He was not an ill disposed young man.", "ann", 2.99)
    assert ann.audio == str(corpus / "train/ann/one two.flac")  # read where it is
    assert by_id["x"].audio == str(tmp_path / "out/train/x.opus.flac")
    assert by_id["stereo"].duration == pytest.approx(1.0)
    assert audio_info(by_id["stereo"].audio).channels == 1
    reasons = {s.id: s.reason for s in skipped}
    assert sorted(reasons) == ["latin", "lonely", "silent", "text"]
    assert "UTF-8" in reasons["latin"]
    assert reasons["silent"] == "audio without a transcript"

    everything, _ = read("folder", corpus, ".", tmp_path / "out")
    assert "train-x" in {u.id for u in everything}
    with pytest.raises(DataError, match="no folder 'trian'") as caught:
        read("folder", corpus, "trian", tmp_path / "out")
    assert "did you mean 'train'" in caught.value.hint


# ---- Kaldi


@pytest.fixture
def kaldi(tmp_path: Path) -> Path:
    """egs-like: data/train beside wav/, with segments; data/dev without."""
    (tmp_path / "wav").mkdir()
    wave = np.concatenate([prompt(name) for name in WORDS])
    soundfile.write(tmp_path / "wav/all.wav", wave, 16000)
    for name in WORDS:
        soundfile.write(tmp_path / f"wav/{name}.wav", prompt(name), 16000)
    train, dev = tmp_path / "data/train", tmp_path / "data/dev"
    train.mkdir(parents=True)
    dev.mkdir()
    (train / "wav.scp").write_text(f"all {tmp_path / 'wav/all.wav'}\n")
    ends = np.cumsum([len(prompt(name)) for name in WORDS]) / 16000
    starts = [0.0, *ends[:-1]]
    (train / "segments").write_text(
        "".join(f"{n} all {s:.6f} {e:.6f}\n" for n, s, e in zip(WORDS, starts, ends, strict=True))
    )
    for folder in (train, dev):
        (folder / "text").write_text("".join(f"{n} {t}\n" for n, t in WORDS.items()))
        (folder / "utt2spk").write_text("".join(f"{n} allison\n" for n in WORDS))
    (dev / "wav.scp").write_text("".join(f"{n} {tmp_path}/wav/{n}.wav\n" for n in WORDS))
    return tmp_path / "data"


@pytest.mark.parametrize("subset", ["train", "dev"])
def test_kaldi_directories_are_read_as_lhotse_reads_them(kaldi: Path, tmp_path: Path, subset: str) -> None:
    actual, skipped = read("kaldi", kaldi, subset, tmp_path / "out")
    assert skipped == []
    _, supervisions, _ = lhotse.kaldi.load_kaldi_data_dir(kaldi / subset, 16000)
    expected = {s.id: (s.text, s.speaker, s.start, s.duration) for s in supervisions}
    assert {u.id: (u.text, u.speaker, u.start, u.duration) for u in actual} == {
        name: (text, speaker, start, pytest.approx(duration, abs=1e-3))
        for name, (text, speaker, start, duration) in expected.items()
    }
    for u in actual:
        np.testing.assert_allclose(
            read_audio(u.audio, 16000, u.start, u.duration)[:5000], prompt(u.id)[:5000], atol=1e-4
        )


def test_kaldi_runs_no_command_and_survives_bad_lines(kaldi: Path, tmp_path: Path) -> None:
    train, trap = kaldi / "train", tmp_path / "trap"
    (train / "wav.scp").write_text(f"all wav/all.wav\nevil touch {trap} |\n")  # relative, as recipes have it
    with (train / "segments").open("a") as file:
        file.write("u1 evil 0 1\nu2 all 0\nu3 nowhere 0 1\nu4 all 900 901\nu5 all 0 -1\n")
    with (train / "text").open("a") as file:
        file.write("".join(f"u{n} words\n" for n in range(1, 5)) + "u9 words\n")
    actual, skipped = read("kaldi", kaldi, "train", tmp_path / "out")
    assert [u.id for u in actual] == list(WORDS)
    assert [s.id for s in skipped] == ["u1", "u2", "u3", "u4", "u5", "u9"]
    assert "not run" in skipped[0].reason
    assert "no line in text" in skipped[4].reason
    assert not trap.exists()


# ---- JSON lines


def test_jsonl(tmp_path: Path) -> None:
    shutil.copytree(SENTENCES, tmp_path / "audio")
    entries = [
        {"audio_filepath": "audio/sense-0880.flac", "text": "he was", "duration": 2.99},
        {"audio_filepath": "audio/sense-0890.flac", "text": "unless", "offset": 0.5, "duration": 1.25},
        {"audio_filepath": str(PROMPTS / "audio/digits-1.opus"), "text": "one", "id": "mine", "speaker": "a"},
        {"audio_filepath": "audio/none.flac", "text": "x"},
        {"audio_filepath": "audio/sense-0880.flac"},
        {"audio_filepath": "audio/sense-0880.flac", "text": "x", "offset": 9},
        {"audio_filepath": "audio/sense-0880.flac", "text": None},
        {"audio_filepath": 7, "text": "x"},
        [1],
    ]
    lines = [json.dumps(entry) for entry in entries] + ["{broken", ""]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    actual, skipped = read("jsonl", tmp_path, "train", tmp_path / "out")
    assert [(u.id, u.text, u.start, u.duration) for u in actual[:2]] == [
        ("sense-0880", "he was", 0.0, 2.99),
        ("sense-0890-0000500", "unless", 0.5, 1.25),
    ]
    assert (actual[2].id, actual[2].speaker) == ("mine", "a")
    assert Path(actual[2].audio).is_relative_to(tmp_path / "out")
    assert [s.id for s in skipped] == [f"train.jsonl:{n}" for n in range(4, 11)]
    assert "no key 'text'" in skipped[1].reason
    with pytest.raises(DataError, match=r"no dev\.jsonl"):
        read("jsonl", tmp_path, "dev", tmp_path / "out")


def test_jsonl_of_other_toolkits(tmp_path: Path) -> None:
    sentence = str(SENTENCES / "sense-0880.flac")
    entries = [
        {"wav": sentence, "txt": "one", "spk_id": "ann"},
        {"audio": sentence, "sentence": "two", "client_id": 7, "offset": 0.25},
        {"path": sentence, "transcript": "three", "duration": 1},
    ]
    (tmp_path / "dev.json").write_text("\n".join(map(json.dumps, entries)))
    actual, skipped = read("jsonl", tmp_path, "dev", tmp_path / "out")
    assert skipped == []
    assert [(u.id, u.text, u.speaker, u.start, u.duration) for u in actual] == [
        ("sense-0880", "one", "ann", 0.0, 2.99),
        ("sense-0880-0000250", "two", "7", 0.25, 2.74),
        ("sense-0880-0000000", "three", "", 0.0, 1.0),
    ]


# ---- tables


def test_a_table_with_a_header(tmp_path: Path) -> None:
    for name in WORDS:
        (tmp_path / "clips").mkdir(exist_ok=True)
        shutil.copy(PROMPTS / f"audio/{name}.opus", tmp_path / "clips")
    lines = [
        "client_id\tpath\tsentence\tage",
        'ann\tdigits-1.opus\tsay "one"\t30',  # quotes are text where tabs part fields
        "bob\tdigits-2.mp3\ttwo\t",  # converted since
        "bob\t/home/bob/clips/digits-3.opus\tthree\t",
        "bob\tothers/digits-3.opus\tfour\t",
        "bob\tdigits-3.opus\tno age",
        "bob\t\tno audio\t",
        "",
        "eve\tclips/hello-world.opus\thello\t1",
    ]
    (tmp_path / "dev.tsv").write_bytes("\ufeff{}\r\n".format("\r\n".join(lines)).encode())
    actual, skipped = read("table", tmp_path, "dev", tmp_path / "out")
    assert [(u.id, u.text, u.speaker) for u in actual] == [
        ("digits-1", 'say "one"', "ann"),
        ("digits-2", "two", "bob"),
        ("digits-3", "three", "bob"),
        ("clips-hello-world", "hello", "eve"),
    ]
    assert {s.id: s.reason.split(" called")[0] for s in skipped} == {
        "dev.tsv:5": "no audio file is",
        "dev.tsv:6": "does not have the 4 fields of the first line",
        "dev.tsv:7": "names no audio",
    }


@pytest.mark.parametrize(
    ("name", "lines", "texts"),
    [
        ("metadata.csv", ["digits-1|1|one", "digits-2|two|", "digits-3|three"], ["one", "two", "three"]),
        ("list.txt", ["digits-1\tone", "digits-2.opus\ttwo"], ["one", "two"]),
        ("plain.csv", ["digits-1.opus,one, or so", 'digits-2.opus,"two, then"'], ["one, or so", "two, then"]),
        (
            "head.csv",
            ["text;file", '"one; or ""a""";digits-1.opus', "two;digits-2.opus"],
            ['one; or "a"', "two"],
        ),
        ("last.csv", ["file,text", "digits-1.opus,one, or so"], ["one, or so"]),
        ("lines.csv", ["file,text", 'digits-1.opus,"one', 'more"', "digits-2,two"], ["one\nmore", "two"]),
        ("named.csv", ["ID,wav,wrd", "u1,digits-1.opus,one"], ["one"]),
    ],
)
def test_tables_of_many_kinds(tmp_path: Path, name: str, lines: list[str], texts: list[str]) -> None:
    for word in WORDS:
        (tmp_path / "wavs").mkdir(exist_ok=True)
        shutil.copy(PROMPTS / f"audio/{word}.opus", tmp_path / "wavs")
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    actual, skipped = read("table", tmp_path, Path(name).stem, tmp_path / "out")
    assert ([u.text for u in actual], skipped) == (texts, [])
    expected = ["u1"] if name == "named.csv" else [f"digits-{n}" for n in range(1, 1 + len(texts))]
    assert [u.id for u in actual] == expected


def test_subsets_in_a_column(tmp_path: Path) -> None:
    for folder, name in (("a", "digits-1"), ("b", "digits-2")):
        (tmp_path / folder).mkdir()
        shutil.copy(PROMPTS / f"audio/{name}.opus", tmp_path / folder / "same.opus")
    rows = ["a/same.opus,one,train", "b/same.opus,two,test", "same.opus,three,train"]
    (tmp_path / "all.csv").write_text("\n".join(["audio,text,split", *rows]))
    train, skipped = read("table", tmp_path, "train", tmp_path / "out")
    assert [(u.id, u.text) for u in train] == [("a-same", "one")]
    assert "several audio files" in skipped[0].reason
    assert [u.text for u in read("table", tmp_path, "test", tmp_path / "out")[0]] == ["two"]
    with pytest.raises(DataError, match=r"no table dev\.tsv") as caught:
        read("table", tmp_path, "dev", tmp_path / "out")
    assert "test" in caught.value.hint
    (tmp_path / "dev.csv").write_text("size,words\n1,2\n")
    with pytest.raises(DataError, match="no column of audio files"):
        read("table", tmp_path, "dev", tmp_path / "out")


@pytest.mark.parametrize(
    ("paths", "speakers"),
    [
        (["a.flac", "b.flac"], ["", ""]),
        (["wav/a.flac", "wav/b.flac"], ["wav", "wav"]),
        (["wav/ann/mon/a.flac", "wav/ann/tue/b.flac", "wav/bob/c.flac"], ["ann", "ann", "bob"]),
        (["ann/a.flac", "b.flac"], ["ann", ""]),
        (["x/ann/a.flac", "x/b.flac"], ["ann", ""]),
    ],
)
def test_folders_are_speakers_where_they_part(tmp_path: Path, paths: list[str], speakers: list[str]) -> None:
    for path in paths:
        (tmp_path / "in" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SENTENCES / "sense-0880.flac", tmp_path / "in" / path)
        (tmp_path / "in" / path).with_suffix(".txt").write_text("words")
    actual, _ = read("folder", tmp_path / "in", ".", tmp_path / "out")
    assert {u.audio.removeprefix(f"{tmp_path}/in/"): u.speaker for u in actual} == dict(
        zip(paths, speakers, strict=True)
    )


# ---- the table


def test_locate_looks_in_the_recipe_then_below_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, root = tmp_path / "recipe", tmp_path / "data"
    (recipe / "data").mkdir(parents=True)
    (root / "an4").mkdir(parents=True)
    an4 = CORPORA["an4"]
    assert locate(an4, "", root) == root / "an4"
    (root / "an4_sphere.tar.gz").touch()
    assert locate(an4, "", root) == root / "an4_sphere.tar.gz"
    assert locate(an4, "an4", root, recipe) == root / "an4"
    assert locate(an4, "data", root, recipe) == recipe / "data"
    assert locate(an4, str(root / "an4"), None, recipe) == root / "an4"
    assert locate(an4, "none", root, recipe) is None
    assert locate(an4, "") is None
    monkeypatch.setenv("ASRKIT_DATA", str(root))
    assert locate(an4, "") == root / "an4_sphere.tar.gz"
    assert locate(CORPORA["folder"], "", root) == root


@pytest.mark.parametrize("name", sorted(CORPORA))
def test_every_corpus_says_what_to_do_when_it_is_missing(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such corpus") as caught:
        read(name, tmp_path / "none", "train", tmp_path)
    assert caught.value.hint == CORPORA[name].where != ""


def test_the_table_is_light_to_import() -> None:
    code = (
        "import sys\nimport asrkit.learning.data.corpora\n"
        + "print([m for m in ('numpy', 'soundfile') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- manifests


def sentences() -> list[Utterance]:
    actual = []
    for line in (SENTENCES / "transcripts.txt").read_text().splitlines():
        name, text = line.split("\t")
        path = str(SENTENCES / f"{name}.flac")
        actual.append(Utterance(name, path, 0.0, audio_info(path).duration, text, "austen"))
    actual.append(Utterance("part", actual[0].audio, 1.25, 2.5, 'überhaupt 😀 "quoted"', ""))
    return actual


def test_manifest_round_trip_is_exact_and_repeatable(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a.jsonl.gz", sentences())
    write_manifest(tmp_path / "b.jsonl.gz", iter(sentences()))
    assert read_manifest(tmp_path / "a.jsonl.gz") == sentences()
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_plain_lhotse_reads_the_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a.jsonl.gz", sentences())
    cuts = lhotse.CutSet.from_file(tmp_path / "a.jsonl.gz")
    lhotse.validate(cuts.to_eager())
    for cut, u in zip(cuts, sentences(), strict=True):
        assert (cut.id, cut.supervisions[0].text, cut.supervisions[0].speaker) == (u.id, u.text, u.speaker)
        wave = read_audio(u.audio, 16000, u.start, u.duration)
        np.testing.assert_array_equal(cut.load_audio()[0], wave)


def test_a_manifest_of_lhotse_is_read(tmp_path: Path) -> None:
    cuts = []
    for u in sentences():
        recording = lhotse.Recording.from_file(u.audio)
        supervision = lhotse.SupervisionSegment(
            u.id, recording.id, 0.0, u.duration, text=u.text, speaker=u.speaker
        )
        cuts.append(lhotse.MonoCut(u.id, u.start, u.duration, 0, [supervision], recording=recording))
    lhotse.CutSet.from_cuts(cuts).to_file(tmp_path / "a.jsonl.gz")
    assert read_manifest(tmp_path / "a.jsonl.gz") == sentences()


def test_bad_manifests_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with pytest.raises(DataError, match="no such manifest"):
        read_manifest(path)
    path.write_text("plain text")
    with pytest.raises(DataError, match="cannot read the manifest"):
        read_manifest(path)
    write_manifest(path, sentences())
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(DataError, match="cannot read the manifest"):
        read_manifest(path)
    path.write_bytes(whole + gzip.compress(b'{"id": "x"}\n'))
    with pytest.raises(DataError, match=r"a\.jsonl\.gz:7"):
        read_manifest(path)


def test_a_failed_write_keeps_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    write_manifest(path, sentences())
    gone = Utterance("gone", str(tmp_path / "gone.wav"), 0.0, 1.0, "", "")
    with pytest.raises(DataError, match="no such file"):
        write_manifest(path, [*sentences(), gone])
    assert read_manifest(path) == sentences()
    assert list(tmp_path.iterdir()) == [path]
