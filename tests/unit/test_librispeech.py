"""The LibriSpeech reader on real recordings in its layout, against lhotse's; its archives from a mirror."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import lhotse.recipes
import numpy as np
import pytest
from conftest import PROMPTS, SENTENCES, Run

from asrkit.config import Config
from asrkit.errors import DataError
from asrkit.files import sha256
from asrkit.learning.data.corpora import CORPORA, LIBRISPEECH, locate
from asrkit.learning.data.corpora.common import Skipped
from asrkit.learning.recipe.data_stages import download
from asrkit.learning.recipe.workspace import Workspace
from asrkit.recognition.audio.reading import audio_info, read_audio
from asrkit.recognition.audio.utterance import Utterance

TEXTS = [line.split("\t")[1].upper() for line in (SENTENCES / "transcripts.txt").read_text().splitlines()]
CHAPTERS = {"19-198": (0, 1), "19-227": (2, 3), "4406-16883": (4,)}


def subset(folder: Path) -> Path:
    """Five sentences as two speakers' three chapters."""
    for chapter, indices in CHAPTERS.items():
        place = folder / chapter.replace("-", "/")
        place.mkdir(parents=True)
        lines = []
        for number, index in enumerate(indices):
            name = f"{chapter}-{number:04}"
            shutil.copy(sorted(SENTENCES.glob("*.flac"))[index], place / f"{name}.flac")
            lines.append(f"{name} {TEXTS[index]}\n")
        (place / f"{chapter}.trans.txt").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("libri") / "LibriSpeech"
    subset(root / "dev-clean")
    subset(root / "my-own_set")
    return root


def read(source: Path, name: str, out: Path) -> tuple[list[Utterance], list[Skipped]]:
    skipped: list[Skipped] = []
    return list(CORPORA["librispeech"].prepare(source, name, out, 16000, skipped)), skipped


def test_utterances_are_those_lhotse_reads(corpus: Path, tmp_path: Path) -> None:
    actual, skipped = read(corpus, "dev-clean", tmp_path)
    peer = lhotse.recipes.prepare_librispeech(corpus, dataset_parts="dev-clean")["dev-clean"]
    lengths = {recording.id: recording.duration for recording in peer["recordings"]}
    expected = {s.id: (s.text, s.speaker, lengths[s.id]) for s in peer["supervisions"]}
    assert {u.id: (u.text, u.speaker, u.duration) for u in actual} == expected
    assert (len(actual), skipped) == (5, [])
    assert all(Path(u.audio).is_relative_to(corpus) for u in actual), "FLAC is read where it is"


def test_any_subset_and_the_folder_as_a_whole_can_be_read(corpus: Path, tmp_path: Path) -> None:
    own, _ = read(corpus, "my-own_set", tmp_path)
    inside, _ = read(corpus / "my-own_set", ".", tmp_path)
    assert own == inside
    chapter, _ = read(corpus / "my-own_set/19/198", ".", tmp_path)
    assert [u.id for u in chapter] == ["19-198-0000", "19-198-0001"]
    everything, skipped = read(corpus, ".", tmp_path)
    assert len(everything) == 5 and [s.kind for s in skipped] == ["doubled"] * 5
    with pytest.raises(DataError, match="no folder 'dev-claen'") as caught:
        read(corpus, "dev-claen", tmp_path)
    assert "did you mean 'dev-clean'" in caught.value.hint


def test_other_formats_are_converted_once(tmp_path: Path) -> None:
    place = tmp_path / "corpus/dev/7/1"
    place.mkdir(parents=True)
    shutil.copy(PROMPTS / "hello-world.opus", place / "7-1-0000.opus")
    (place / "7-1.trans.txt").write_text("7-1-0000 HELLO WORLD\n")
    for _ in range(2):
        (actual,), skipped = read(tmp_path / "corpus", "dev", tmp_path / "out")
        assert Path(actual.audio) == tmp_path / "out/dev/7/1/7-1-0000.opus.flac" and not skipped
        made = Path(actual.audio).stat().st_mtime_ns
    assert made == Path(actual.audio).stat().st_mtime_ns
    assert audio_info(actual.audio).format == "FLAC/PCM_16"
    np.testing.assert_allclose(read_audio(actual.audio), read_audio(place / "7-1-0000.opus"), atol=2**-15)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    place = subset(tmp_path / "dev") / "19/198"
    first = place / "19-198-0000.flac"
    shutil.copy(first, place / "19-198-0009.flac")
    shutil.copy(first, place / "19-198-0000.wav")
    (place / "19-198-0001.flac").unlink()
    (place / "19-198-0001.opus").write_bytes((PROMPTS / "hello-world.opus").read_bytes()[:-60])
    (place / "19-198-0002.flac").write_bytes(b"")
    shutil.copy(first, place / "19-198-0003.flac")
    with (place / "19-198.trans.txt").open("a") as file:
        file.write("\n19-198-0002 EMPTY\n19-198-0003\n19-198-0004 UNHEARD\n19-198-0000 AGAIN\n../../x OUT\n")
    (tmp_path / "dev/4406/16883/4406-16883.trans.txt").write_bytes(b"4406-16883-0000 caf\xe9\n")
    actual, skipped = read(tmp_path, "dev", tmp_path / "out")
    assert [u.id for u in actual] == ["19-198-0000", "19-227-0000", "19-227-0001"]
    assert actual[0].text == TEXTS[0]
    reasons = {s.id: s.reason for s in skipped}
    output = {
        "19-198-0009": "audio without a transcript",
        "19-198-0000.wav": "second audio file",
        "19-198-0001": "truncated",
        "19-198-0002": "empty (0 bytes)",
        "19-198-0003": "no text",
        "19-198-0004": "transcript without audio",
        "19-198-0000": "second utterance",
        "../../x": "transcript without audio",
        "4406-16883.trans.txt": "not UTF-8",
        "4406-16883-0000": "audio without a transcript",
    }
    assert len(skipped) == len(reasons) == len(output)
    assert {name for name in output if output[name] in reasons[name]} == set(output)


# ---- where it comes from


def test_every_archive_has_an_address_and_a_checksum(tmp_path: Path) -> None:
    """The full corpus is OpenSLR 12, mini LibriSpeech 31 (lhotse's recipe has both lists)."""
    mini, full = lhotse.recipes.librispeech.MINI_LIBRISPEECH, lhotse.recipes.librispeech.LIBRISPEECH
    assert set(LIBRISPEECH) == {*mini, *full}
    for path, archive in CORPORA["librispeech"].downloads(tmp_path, list(LIBRISPEECH)):
        number = 31 if path.name in mini else 12
        assert archive.url == f"https://www.openslr.org/resources/{number}/{path.name}.tar.gz"
        assert len(archive.sha256) == 64 and int(archive.sha256, 16)
    assert len({archive.sha256 for archive in LIBRISPEECH.values()}) == len(LIBRISPEECH)
    with pytest.raises(DataError, match="no such subset") as caught:
        CORPORA["librispeech"].downloads(tmp_path, ["train-clean-5", "dev-4spk"])
    assert caught.value.hint


def test_only_what_is_missing_is_downloaded(corpus: Path) -> None:
    librispeech = CORPORA["librispeech"]
    assert librispeech.downloads(corpus, ["dev-clean", "my-own_set"]) == []
    ((path, archive),) = librispeech.downloads(
        corpus, ["dev-clean", "dev-clean-2"], "https://x.org/slr/", "ab"
    )
    assert path == corpus / "dev-clean-2"
    assert archive.url == "https://x.org/slr/31/dev-clean-2.tar.gz"
    assert archive.sha256.split() == [LIBRISPEECH["dev-clean-2"].sha256, "ab"]
    assert locate(librispeech, "", corpus.parent) == corpus
    (corpus.parent / "other" / "resources").mkdir(parents=True)
    assert locate(librispeech, "", corpus.parent / "other") is None


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Archives of two subsets of mini LibriSpeech, as OpenSLR has them."""
    made = tmp_path / "made/LibriSpeech"
    for name in ("train-clean-5", "dev-clean-2"):
        subset(made / name)
        (made / "LICENSE.TXT").write_text(name)
        archive = tmp_path / "mirror/31" / f"{name}.tar.gz"
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
            for entry in (name, "LICENSE.TXT"):
                tar.add(made / entry, f"LibriSpeech/{entry}")
    shutil.rmtree(made.parent)
    return tmp_path / "mirror"


def test_subsets_are_downloaded_and_prepared(mirror: Path, tmp_path: Path, asrkit: Run) -> None:
    sums = " ".join(sha256(path) for path in sorted((mirror / "31").iterdir()))
    (tmp_path / "mini").mkdir()
    (tmp_path / "mini/recipe.yaml").write_text(
        f"corpus: {{name: librispeech, url: '{mirror.as_uri()}', sha256: {sums}, "
        "train: [train-clean-5], dev: [dev-clean-2], test: [dev-clean-2]}\n"
    )
    done = asrkit("train", tmp_path / "mini", "--exp", tmp_path / "exp", "--stop-stage", "prepare")
    assert done.code == 0, done.err
    place = tmp_path / "exp/mini/data/download/LibriSpeech"
    assert sorted(path.name for path in place.iterdir()) == ["LICENSE.TXT", "dev-clean-2", "train-clean-5"]
    assert "train-clean-5: 5 utterances, 0.01 h" in done.err


def test_a_subset_is_added_to_those_that_are_there(mirror: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    subset(root / "LibriSpeech/train-clean-5")
    kept = {path: path.stat().st_mtime_ns for path in root.rglob("*.flac")}
    config = Config()
    config.corpus.name, config.corpus.url = "librispeech", mirror.as_uri()
    config.corpus.train, config.corpus.dev, config.corpus.test = ["train-clean-5"], ["dev-clean-2"], []
    workspace = Workspace(config, tmp_path, tmp_path / "exp", "x", root)
    with pytest.raises(DataError, match="not the file expected"):
        download(workspace, {})  # the archive of this test is not OpenSLR's
    assert sorted(path.name for path in (root / "LibriSpeech").iterdir()) == ["train-clean-5"]
    config.corpus.sha256 = sha256(mirror / "31/dev-clean-2.tar.gz")
    download(workspace, {})
    assert len(read(root / "LibriSpeech", "dev-clean-2", tmp_path / "out")[0]) == 5
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert not (tmp_path / "exp").exists()
