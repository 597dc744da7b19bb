"""The LJ Speech reader on real recordings in its layout, against lhotse's reader and `sort | tail`."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import lhotse.recipes
import numpy as np
import pytest
import soundfile
import soxr

from asrkit.errors import DataError
from asrkit.learning.data.corpora import CORPORA
from asrkit.learning.data.corpora.common import Skipped
from asrkit.learning.data.corpora.ljspeech import SUBSETS, split
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.normalize import ALPHABETS, normalize

SENTENCES = sorted((Path(__file__).parents[1] / "audio").glob("*.flac"))
NAMES = [f"LJ001-{number:04}" for number in range(1, 6)]
TEXTS = [
    '"And" Mr. Dashwood, then|"And" Mister Dashwood, then',
    "born in 1775|born in seventeen seventy-five",
    "“raison d'être”|“raison d'être”",
    "a more [a] amiable woman|a more [a] amiable woman",
    'the "forty-two line Bible"|the "forty-two line Bible',
]


def corpus(root: Path, lines: list[str], encoding: str = "utf-8") -> Path:
    """The five sentences at 22.05 kHz, and these lines."""
    (root / "wavs").mkdir(parents=True)
    for name, path in zip(NAMES, SENTENCES, strict=True):
        wave, rate = soundfile.read(path)
        soundfile.write(root / "wavs" / f"{name}.wav", soxr.resample(wave, rate, 22050), 22050, "PCM_16")
    (root / "metadata.csv").write_bytes("".join(lines).encode(encoding))
    return root


@pytest.fixture(scope="module")
def lj(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lines = [f"{name}|{text}\n" for name, text in zip(NAMES, TEXTS, strict=True)]
    return corpus(tmp_path_factory.mktemp("lj") / "LJSpeech-1.1", lines)


def read(source: Path, out: Path, rate: int = 16000) -> tuple[dict[str, list[Utterance]], list[Skipped]]:
    skipped: list[Skipped] = []
    prepare = CORPORA["ljspeech"].prepare
    return {name: list(prepare(source, name, out, rate, skipped)) for name in SUBSETS}, skipped


def texts(actual: dict[str, list[Utterance]]) -> dict[str, str]:
    return {u.id: u.text for name in SUBSETS for u in actual[name]}


def test_texts_and_lengths_are_those_lhotse_reads(lj: Path, tmp_path: Path) -> None:
    actual, skipped = read(lj, tmp_path)
    assert skipped == []
    peer = lhotse.recipes.prepare_ljspeech(lj)
    assert texts(actual) == {s.id: s.custom["normalized_text"] for s in peer["supervisions"]}
    lengths = {r.id: r.duration for r in peer["recordings"]}
    for utterance in (u for name in SUBSETS for u in actual[name]):
        assert utterance.duration == pytest.approx(lengths[utterance.id], abs=1 / 16000)
        assert (utterance.start, utterance.speaker) == (0.0, "LJ")


def test_audio_is_resampled_once_or_left_alone(lj: Path, tmp_path: Path) -> None:
    actual, _ = read(lj, tmp_path)
    first = actual["train"][0]
    assert Path(first.audio) == tmp_path / f"{first.id}.flac"
    wave = read_audio(first.audio)
    expected = read_audio(lj / "wavs" / f"{first.id}.wav", 16000)
    np.testing.assert_allclose(wave, expected, atol=2**-15)
    # 16 kHz -> 22.05 kHz -> 16 kHz is what it was, but for the filters' edge near 8 kHz
    original = read_audio(SENTENCES[0])
    assert np.corrcoef(wave[: len(original)], original[: len(wave)])[0, 1] > 0.99

    untouched, _ = read(lj, tmp_path / "original", 22050)
    assert Path(untouched["train"][0].audio) == (lj / "wavs" / f"{first.id}.wav").absolute()
    assert not (tmp_path / "original").exists()


def test_full_corpus_is_split_as_espnet_does() -> None:
    # 13,100 ids; of chapter 50 there are 278, so that the last 250 begin at LJ050-0029
    ids = [
        f"LJ{chapter:03}-{n:04}" for chapter in range(1, 51) for n in range(1, 257 if chapter < 50 else 279)
    ]
    ids += [f"LJ001-{n:04}" for n in range(257, 257 + 13100 - len(ids))]
    script = "LC_ALL=C sort | tail -n 500"  # subset_data_dir.sh --last data/train 500 data/deveval
    last = subprocess.run(
        script, shell=True, input="\n".join(ids), capture_output=True, text=True, check=True
    )
    held_out = last.stdout.split()
    parts = split(set(ids))
    assert (parts["dev"], parts["test"]) == (held_out[:250], held_out[250:])
    assert parts["test"][0] == "LJ050-0029"
    assert [len(parts[name]) for name in SUBSETS] == [12600, 250, 250]


@pytest.mark.parametrize("count", [3, 4, 8, 19, 20, 32, 599, 600, 2499, 2500, 13100])
def test_every_copy_gives_three_sets_that_share_nothing(count: int) -> None:
    ids = [f"LJ001-{n:05}" for n in range(count)]
    parts = split(set(ids))
    assert parts["train"] + parts["dev"] + parts["test"] == ids
    assert 1 <= len(parts["dev"]) == len(parts["test"]) <= min(250, len(parts["train"]))
    assert len(parts["test"]) >= min(250, count // 10)


def test_too_few_utterances_are_refused(lj: Path, tmp_path: Path) -> None:
    shutil.copytree(lj / "wavs", tmp_path / "copy/wavs")
    (tmp_path / "copy/metadata.csv").write_text(f"{NAMES[0]}|a\n{NAMES[1]}|b\nother|c\n")
    with pytest.raises(DataError, match="2 utterances have both"):
        read(tmp_path / "copy", tmp_path / "out")


def test_copies_with_two_fields_bom_and_carriage_returns(tmp_path: Path) -> None:
    lines = [f"{name}|{text.split('|')[0]}\r\n" for name, text in zip(NAMES, TEXTS, strict=True)]
    lines[3] = f"{NAMES[3]}|only|\r\n"
    actual, skipped = read(corpus(tmp_path / "lj", lines, "utf-8-sig"), tmp_path / "out")
    assert skipped == []
    assert texts(actual)[NAMES[0]] == '"And" Mr. Dashwood, then'
    assert texts(actual)[NAMES[1]] == "born in 1775"
    assert texts(actual)[NAMES[3]] == "only"


def test_what_cannot_be_used_is_named_once(lj: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(lj, copy)
    with (copy / "metadata.csv").open("a", encoding="utf-8") as file:
        file.write("no bar\n\nLJ009-0001|lost|lost\nLJ009-0002|a|b|c\n../x|out|out\nLJ001-0001|again|again\n")
    shutil.copy(copy / "wavs/LJ001-0001.wav", copy / "wavs/LJ009-0009.wav")
    whole = (copy / "wavs/LJ001-0002.wav").read_bytes()
    (copy / "wavs/LJ001-0002.wav").write_bytes(whole[: len(whole) // 2])
    (copy / "wavs/._LJ001-0001.wav").write_bytes(b"of macOS")
    actual, skipped = read(copy, tmp_path / "out")
    assert [u.id for name in SUBSETS for u in actual[name]] == [NAMES[0], *NAMES[2:]]
    assert texts(actual)[NAMES[0]].startswith('"And"')
    reasons = {s.id: s.reason for s in skipped}
    assert len(reasons) == len(skipped) == 7
    assert {name for name in reasons if name.startswith("metadata")} == {
        "metadata.csv:6",
        "metadata.csv:9",
        "metadata.csv:10",
    }
    assert "second line" in reasons["LJ001-0001"]
    assert "no such audio" in reasons["LJ009-0001"]
    assert "without a line" in reasons["LJ009-0009"]
    assert "truncated" in reasons["LJ001-0002"]


def test_archive_parent_and_folder_are_the_same(lj: Path, tmp_path: Path) -> None:
    archive = tmp_path / "LJSpeech-1.1.tar.bz2"
    with tarfile.open(archive, "w:bz2", compresslevel=1) as tar:
        tar.add(lj, "LJSpeech-1.1")
    folder = texts(read(lj, tmp_path / "a")[0])
    assert folder == texts(read(lj.parent, tmp_path / "b")[0]) == texts(read(archive, tmp_path / "c")[0])
    assert list(folder) == NAMES


def test_unknown_subsets_and_missing_parts_are_refused(lj: Path, tmp_path: Path) -> None:
    prepare = CORPORA["ljspeech"].prepare
    with pytest.raises(DataError, match="no subset 'eval'"):
        list(prepare(lj, "eval", tmp_path, 16000, []))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"metadata\.csv"):
        list(prepare(tmp_path / "empty", "train", tmp_path, 16000, []))
    shutil.copy(lj / "metadata.csv", tmp_path / "empty")
    with pytest.raises(DataError, match="no folder 'wavs'"):
        list(prepare(tmp_path / "empty", "train", tmp_path, 16000, []))


def test_normalised_texts_are_in_the_alphabet_but_for_accents_and_two_field_digits(
    lj: Path, tmp_path: Path
) -> None:
    allowed = set(ALPHABETS["english"]) | {" "}
    actual, _ = read(lj, tmp_path)
    written = {name: normalize(text, "english") for name, text in texts(actual).items()}
    assert written[NAMES[0]] == "AND MISTER DASHWOOD THEN"
    assert written[NAMES[1]] == "BORN IN SEVENTEEN SEVENTY FIVE"
    assert written[NAMES[3]] == "A MORE A AMIABLE WOMAN"
    foreign = {name: set(text) - allowed for name, text in written.items() if set(text) - allowed}
    assert foreign == {NAMES[2]: {"Ê"}}
