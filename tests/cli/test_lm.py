"""asrkit lm, and the word models that the stage lm makes of outside texts."""

from __future__ import annotations

import gzip
import json
import lzma
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROMPTS, Run
from families import CTC, QUICK, small_recipe

from asrkit.config import parse_config
from asrkit.learning.data.manifest import read_manifest
from asrkit.recognition.ngram.model import estimate, read_ngram, write_arpa
from asrkit.recognition.stored_lm import NGRAM, OLD_NGRAM, load_lm
from asrkit.recognition.text.normalize import english

TRANSCRIPTS = PROMPTS.parent / "transcripts.tsv"


@pytest.fixture(scope="module")
def prompts() -> list[list[str]]:
    lines = TRANSCRIPTS.read_text(encoding="utf-8").splitlines()
    return [english(line.split("\t")[2]).split() for line in lines]


@pytest.fixture
def text(prompts: list[list[str]], tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("".join(" ".join(words).lower() + ".\n" for words in prompts))
    return path


def test_a_model_of_packed_texts(prompts: list[list[str]], text: Path, asrkit: Run, tmp_path: Path) -> None:
    lines = text.read_bytes().splitlines(keepends=True)
    first, second = tmp_path / "a.gz", tmp_path / "b.xz"
    first.write_bytes(gzip.compress(b"".join(lines[:300])))
    second.write_bytes(lzma.compress(b"".join(lines[300:])))
    words = ["--normalizer", "english", "--order", 2, "--prune", "0,1", "--max-words", 50]
    out = tmp_path / "made" / "lm.ngram"
    done = asrkit("lm", first, second, *words, "-o", out, "--perplexity", text)
    assert (done.code, done.out) == (0, "")

    often = estimate(prompts, 1).vocabulary
    often.sort(key=lambda word: -sum(words.count(word) for words in prompts))
    expected = estimate(prompts, 2, [0, 1], often[:50])
    model = read_ngram(out)
    assert model.words == expected.words
    assert model.keys.tolist() == expected.keys.tolist()
    assert model.log_probs.tolist() == expected.log_probs.tolist()
    sizes, perplexity = expected.first.tolist(), expected.perplexity(prompts)
    assert f"{len(prompts)} sentences, 3,092 words, 682 distinct" in done.err
    assert f"lm.ngram: 53 1-grams, {sizes[3] - sizes[2]} 2-grams" in done.err
    assert (
        f"text.txt: perplexity {perplexity.including_oov:.2f} of 3,639 words and ends of sentences, "
        f"{perplexity.excluding_oov:.2f} without the {perplexity.oov:,} unknown words"
    ) in done.err

    listed = tmp_path / "words.txt"
    listed.write_text(" ".join(often[:20]) + "\n" + "\n".join(often[20:50]) + "\n")
    same = tmp_path / "same.ngram"
    words[-2:] = ["--vocab", listed]
    assert asrkit("lm", first, second, *words, "-o", same).code == 0
    assert same.read_bytes() == out.read_bytes()


def test_text_from_standard_input(text: Path, asrkit: Run, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "asrkit",
        "lm",
        "-",
        "-o",
        str(tmp_path / "lm.arpa"),
        "--entropy-prune",
        "1e-4",
    ]
    done = subprocess.run(command, input=text.read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert asrkit("lm", text, "-o", tmp_path / "full.arpa").code == 0
    words = [line.split() for line in text.read_text().splitlines()]
    for name, entropy in (("lm", 1e-4), ("full", 0.0)):
        write_arpa(estimate(words, 3, entropy=entropy), tmp_path / "expected.arpa")
        assert (tmp_path / f"{name}.arpa").read_bytes() == (tmp_path / "expected.arpa").read_bytes()


def test_a_model_is_converted_and_measured(text: Path, asrkit: Run, tmp_path: Path) -> None:
    exact, arpa, small = (tmp_path / name for name in ("lm.ngram", "lm.arpa.gz", "small.ngram"))
    measured = [
        re.findall(
            r"perplexity ([\d.]+)", asrkit("lm", *words, "--perplexity", text, "--perplexity", text).err
        )
        for words in (
            (text, "-o", exact),
            ("--model", exact, "-o", arpa),
            ("--model", arpa),
            ("--model", arpa, "-o", small, "--bits", 8),
            ("--model", small),
        )
    ]
    assert [len(numbers) for numbers in measured] == [2] * 5
    values = [float(numbers[0]) for numbers in measured]
    assert values[0] == values[1] == values[2] and values[3] == values[4]
    assert values[3] == pytest.approx(values[0], rel=0.01)
    assert small.stat().st_size < 0.8 * exact.stat().st_size


@pytest.mark.parametrize(
    ("words", "code", "wrong"),
    [
        ((), 2, "no text"),
        (("TEXT",), 2, "nothing to do"),
        (("TEXT", "-o", "lm.bin"), 2, ".ngram"),
        (("TEXT", "-o", "lm.arpa", "--bits", "8"), 2, "8 bits"),
        (("TEXT", "-o", "lm.arpa", "--prune", "1,0"), 2, "none lower"),
        (("TEXT", "-o", "lm.arpa", "--prune", "0,x"), 2, "not whole numbers"),
        (("TEXT", "-o", "lm.arpa", "--normalizer", "englsh"), 2, "'english'"),
        (("TEXT", "-o", "lm.arpa", "--vocab", "TEXT", "--max-words", "9"), 2, "give one of them"),
        (("TEXT", "-o", "TEXT/lm.arpa"), 1, "cannot write"),
        (("TEXT", "-o", "lm.arpa", "--perplexity", "none.txt"), 1, "none.txt does not exist"),
        (("--model", "TEXT", "TEXT", "-o", "lm.arpa"), 2, "goes without"),
        (("--model", "TEXT", "--order", "2", "-o", "lm.arpa"), 2, "goes without"),
        (("--model", "TEXT", "-o", "lm.arpa"), 1, "no ARPA file"),
    ],
)
def test_what_cannot_be_done_is_said_in_two_lines(
    words: tuple[str, ...], code: int, wrong: str, text: Path, asrkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(text.parent)
    done = asrkit("lm", *(word.replace("TEXT", text.name) for word in words))
    assert done.code == code
    lines = [line for line in done.err.splitlines() if "sentences" not in line.split(",")[0]]
    assert [line.split(":")[0] for line in lines] == ["error", "hint"] and wrong in done.err
    assert [path.name for path in text.parent.iterdir()] == [text.name]


def test_a_recipe_with_a_large_text(prompts: list[list[str]], asrkit: Run, tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path / "small")
    lines = TRANSCRIPTS.read_text(encoding="utf-8").splitlines()
    (recipe / "large.txt.gz").write_bytes(gzip.compress("\n".join(x.split("\t")[2] for x in lines).encode()))
    options = [
        "lm.kind=word-ngram",
        "lm.text=[large.txt.gz]",
        "lm.max_words=30",
        "lm.prune=[0,1]",
        "lm.bits=8",
    ]
    words = ["train", recipe, "--exp", tmp_path / "exp", "--stop-stage", "lm", *QUICK, *CTC, *options]
    done = asrkit(*words)
    assert done.code == 0, done.err
    folder = tmp_path / "exp" / "small" / "default"
    config = parse_config((folder / "config.yaml").read_text(), "config.yaml")
    lm = load_lm(config.lm, folder / "lm", 30, "cpu")
    assert lm is not None and lm.ngram is not None

    seen, unseen = (
        [
            u.text.split()
            for u in read_manifest(next((tmp_path / "exp").glob(f"**/prepare-*/{name}.jsonl.gz")))
        ]
        for name in ("train", "dev")
    )
    transcripts = {word for words in seen for word in words}
    every = estimate(prompts, 1).vocabulary
    every.sort(key=lambda word: -sum(words.count(word) for words in prompts))
    assert {*lm.ngram.vocabulary} == {*every[:30]} | transcripts
    assert not transcripts <= {*every[:30]}
    record = json.loads((folder / "lm" / "perplexity.json").read_text())
    expected = estimate(prompts, 3, [0, 1], [*every[:30], *transcripts]).perplexity(unseen).including_oov
    assert record == {"unit": "word", "perplexity": pytest.approx(expected, rel=0.01), "lines": len(prompts)}

    write_arpa(lm.ngram, folder / "lm" / OLD_NGRAM)
    (folder / "lm" / NGRAM).unlink()
    old = load_lm(config.lm, folder / "lm", 30, "cpu")
    assert old is not None and old.ngram is not None, "models made before there was a binary form"
    assert old.ngram.log_probs.tolist() == lm.ngram.log_probs.tolist()


def test_a_recipe_with_a_model_of_others(prompts: list[list[str]], asrkit: Run, tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path / "small")
    theirs = estimate(prompts, 2)
    write_arpa(theirs, recipe / "theirs.arpa.gz")
    options = ["lm.kind=word-ngram", "lm.arpa=theirs.arpa.gz", "lm.text=[unused.txt]"]
    words = ["train", recipe, "--exp", tmp_path / "exp", "--stop-stage", "lm", *QUICK, *CTC, *options]
    done = asrkit(*words)
    assert done.code == 0 and "theirs.arpa.gz: perplexity" in done.err, done.err
    folder = tmp_path / "exp" / "small" / "default" / "lm"
    actual = read_ngram(folder / NGRAM)
    assert actual.words == theirs.words and actual.log_probs.tolist() == theirs.log_probs.tolist()
    unseen = [
        u.text.split() for u in read_manifest(next((tmp_path / "exp").glob("**/prepare-*/dev.jsonl.gz")))
    ]
    expected = theirs.perplexity(unseen).including_oov
    assert json.loads((folder / "perplexity.json").read_text())["perplexity"] == pytest.approx(expected)
    assert "lm         done  up to date" in asrkit(*words, "--dry-run").err

    write_arpa(estimate([[word.lower() for word in text] for text in prompts], 2), recipe / "theirs.arpa.gz")
    other_case = asrkit(*words)
    assert other_case.code == 1 and "has no word of the dev sets" in other_case.err
    (recipe / "theirs.arpa.gz").write_bytes(b"no model")
    damaged = asrkit(*words)
    assert damaged.code == 1 and "theirs.arpa.gz is no ARPA file" in damaged.err, damaged.err
    neural = asrkit(*words, "lm.kind=lstm")
    assert neural.code == 2 and "lm.arpa" in neural.err
