"""recipes/librispeech on a small tree in LibriSpeech's layout, with the subsets and texts that exist."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from conftest import PROMPTS, ROOT, Run
from families import CTC, QUICK

from asrkit.learning.data.manifest import read_manifest
from asrkit.recognition.ngram.model import read_ngram
from asrkit.recognition.text.spellings import Spellings

SIZES = {"train-clean-5": 24, "dev-4spk": 2}
SMALL = CTC[1:]


def tree(root: Path, sizes: dict[str, int]) -> Path:
    """The shortest prompts of words that CMUdict has, as LibriSpeech would lay them out."""
    lines = (PROMPTS.parent / "transcripts.tsv").read_text().splitlines()
    lines.sort(key=lambda line: (PROMPTS / f"{line.split()[0]}.opus").stat().st_size)
    rows = iter(line.split("\t") for line in lines)
    for subset, count in sizes.items():
        folder = root / "LibriSpeech" / subset / "7" / "12"
        folder.mkdir(parents=True)
        texts = []
        for number in range(count):
            name, _, text = next(rows)[:3]
            id = f"7-12-{number:04d}"
            shutil.copy(PROMPTS / f"{name}.opus", folder / f"{id}.opus")
            texts.append(f"{id} {text.upper()}\n")
        (folder / "7-12.trans.txt").write_text("".join(texts))
    return root


def train(data: Path, exp: Path, asrkit: Run, *words: object) -> tuple[Path, str]:
    recipe = ROOT / "recipes" / "librispeech"
    done = asrkit("train", recipe, "--data", data, "--exp", exp, *QUICK, *SMALL, "decode.tune={}", *words)
    assert done.code == 0, done.err
    return exp / "librispeech" / "default", done.err


def test_the_default_runs_on_what_is_there(tmp_path: Path, asrkit: Run) -> None:
    data = tree(tmp_path / "data", SIZES)
    with gzip.open(data / "librispeech-lm-norm.txt.gz", "wt") as file:
        file.write("PRESS ONE NOW\nTHE NUMBER IS ZOXXIQUE\n" * 20)
    folder, _ = train(data, tmp_path / "exp", asrkit)
    config = (folder / "config.yaml").read_text()
    assert "?" not in config.split("corpus:")[1].split("text:")[0]
    results = json.loads((folder / "results.json").read_text())
    assert {d["name"] for d in results["data"]} == {"train-clean-5", "dev-4spk"}
    assert {row["unit"] for row in results["rows"]} == {"word", "char", "phone"}
    assert len(read_manifest(folder / "check" / "train.jsonl.gz")) > 20
    assert json.loads((folder / "lm" / "perplexity.json").read_text())["lines"] == 40
    sound = data / "LibriSpeech" / "dev-4spk" / "7" / "12" / "7-12-0000.opus"
    done = asrkit("decode", "--model", folder / "librispeech.asrkit", sound)
    assert done.code == 0 and set(done.out.split()) <= {*open_words(folder)}
    card = zipfile.ZipFile(folder / "librispeech.asrkit").read("README.md").decode()
    zipfile.ZipFile(folder / "librispeech.asrkit").extract("lm/spellings.safetensors", tmp_path)
    words = read_ngram(folder / "lm" / "lm.ngram").vocabulary
    assert "ZOXXIQUE" in Spellings.load(tmp_path / "lm/spellings.safetensors", words).words
    assert "CC BY 4.0" in card and (folder / "RESULTS.md").read_text() in card

    [made] = (tmp_path / "exp/librispeech/data").glob("lm-*/perplexity.json")
    made.write_text(made.read_text().replace("40", "41"))
    for options, sentences in (((), 41), (("--force",), 40)):
        train(data, tmp_path / "exp", asrkit, "--tag", "other", "--stop-stage", "lm", *options)
        other = folder.parent / "other" / "lm"
        assert json.loads((other / "perplexity.json").read_text())["lines"] == sentences
        assert (other / "lm.ngram").read_bytes() == (folder / "lm" / "lm.ngram").read_bytes()

    shutil.copytree(sound.parents[2], sound.parents[3] / "later")
    folder, report = train(data, tmp_path / "exp", asrkit, "corpus.test=[later]")
    assert "train      done" in report and "decode     run" in report, report
    again = {row["set"]: row["errors"] for row in json.loads((folder / "results.json").read_text())["rows"]}
    assert again["later"] == again["dev-4spk"]


def test_the_environment_names_the_data_like_the_option(
    tmp_path: Path, asrkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Corpora and texts alike: without its text the language model would be another."""
    data = tree(tmp_path / "data", SIZES)
    (data / "librispeech-lm-norm.txt.gz").write_bytes(gzip.compress(b"PRESS ONE NOW\n" * 20))
    monkeypatch.setenv("ASRKIT_DATA", str(data))
    recipe = ROOT / "recipes" / "librispeech"
    done = asrkit("train", recipe, "--exp", tmp_path / "exp", *QUICK, *SMALL, "--stop-stage", "lm")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "exp/librispeech/default/lm/perplexity.json").read_text())
    assert record["lines"] == 20


def open_words(folder: Path) -> list[str]:
    from asrkit.recognition.recognizer import Recognizer

    lm = Recognizer.load(folder).lm
    assert lm is not None and lm.ngram is not None
    assert "ZOXXIQUE" in lm.ngram.vocabulary, "the text's words, pronounced by rule where no lexicon has them"
    return lm.ngram.vocabulary


def test_optional_subsets_that_come_later_are_used(tmp_path: Path, asrkit: Run) -> None:
    data = tree(tmp_path / "data", SIZES)
    words = ("--stop-stage", "prepare")
    folder, _ = train(data, tmp_path / "exp", asrkit, *words)
    shutil.copytree(data / "LibriSpeech" / "dev-4spk", data / "LibriSpeech" / "train-3spk")
    _, plan = train(data, tmp_path / "exp", asrkit, *words)
    assert "train-3spk" in plan and "train-3spk" in (folder / "config.yaml").read_text()


@pytest.mark.parametrize("size", ["100h", "960h"])
def test_what_is_not_there_would_be_downloaded(size: str, tmp_path: Path, asrkit: Run) -> None:
    data = tree(tmp_path / "data", SIZES)
    recipe = ROOT / "recipes" / "librispeech"
    done = asrkit("train", recipe, f"size={size}", "--data", data, "--exp", tmp_path / "exp", "--dry-run")
    assert done.code == 0 and "download   run" in done.err
    done = asrkit("train", recipe, "corpus.dev=[dev-nobody]", "--data", data, "--exp", tmp_path / "exp")
    assert done.code == 1 and "dev-nobody" in done.err


def test_killed_in_every_stage_it_ends_the_same(tmp_path: Path) -> None:
    data = tree(tmp_path / "data", SIZES)
    recipe, exp = ROOT / "recipes" / "librispeech", tmp_path / "exp"
    command = [sys.executable, "-m", "asrkit", "train", str(recipe), "--data", str(data), "--exp"]
    settings = [*QUICK, *SMALL, "decode.tune.lm_weight=[0.5,1.0]", "decode.tune.word_bonus=[0.0]"]
    whole = subprocess.run([*command, str(tmp_path / "whole"), *settings], capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    stages = [line for line in whole.stderr.splitlines() if line.startswith("stage ")]
    assert len(stages) == 11
    for place in range(len(stages)):
        with subprocess.Popen([*command, str(exp), *settings], stderr=subprocess.PIPE, text=True) as run:
            assert run.stderr is not None
            reached = (line.strip() for line in run.stderr if line.strip() in stages[place:])
            assert next(reached, "") or place > 5, "a stage may end before it is killed, but not many"
            time.sleep(random.Random(place).uniform(0.0, 0.2))
            run.send_signal(signal.SIGKILL)
    last = subprocess.run([*command, str(exp), *settings], capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    kept = ("checkpoints/averaged/model.safetensors", "decode/ctc-lexicon/dev-4spk/hyp.ctm", "tuned.json")
    for name in kept:
        actual, expected = (folder / "librispeech" / "default" / name for folder in (exp, tmp_path / "whole"))
        assert actual.read_bytes() == expected.read_bytes(), name
