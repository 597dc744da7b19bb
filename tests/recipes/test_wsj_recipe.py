"""recipes/wsj from discs in miniature to packed recognisers, and the commands its page gives."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT, Run
from families import FAMILIES, PYRAMID, QUICK
from wsj_tree import SAID, SETS, build, place, put

README = (ROOT / "recipes/wsj/README.md").read_text(encoding="utf-8")
COMMANDS = sorted(set(re.findall(r"asrkit train recipes/wsj[^`\n]*", README)))
SETTINGS = [*QUICK, *PYRAMID, "train.max_steps=4"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of corpora, and experiments."""
    data = tmp_path_factory.mktemp("data")
    build(data / "wsj", "discs")
    return data


def train(data: Path, asrkit: Run, *words: str) -> str:
    done = asrkit("train", "wsj", "--data", data, "--exp", data / "exp", *SETTINGS, *words)
    assert done.code == 0, done.err
    return done.err


def references(folder: Path) -> dict[str, str]:
    lines = (folder / "ref.trn").read_text().splitlines()
    return {
        match[2]: match[1] for line in lines if (match := re.fullmatch(r"(.*) \((?:.*-)?(\w{8})\)", line))
    }


def test_from_the_discs_to_a_packed_recogniser(data: Path, asrkit: Run) -> None:
    output = train(data, asrkit)
    folder = data / "exp/wsj/default"
    assert "10 utterances found; the whole set has 37416" in output
    texts = {said.id: said.text for said in SAID}
    for decoder in ("ctc-greedy", "ctc-beam"):
        for name in ("test_dev93", "test_eval92"):
            actual = references(folder / "decode" / decoder / name)
            assert actual == {id: texts[id] for id in SETS[name].split()}
    rows = json.loads((folder / "results.json").read_text())["rows"]
    assert {row["set"] for row in rows} == {"test_dev93", "test_eval92"}
    said = next(said for said in SAID if said.id == "440c0201")
    audio = place(data / "wsj", "discs", f"{said.disc}/{said.file}")
    assert asrkit("decode", "--model", folder / "wsj.asrkit", audio).code == 0


def test_phones_teach_a_frame_classifier(data: Path, asrkit: Run) -> None:
    spelt = {word: " ".join(word) for said in SAID for word in said.text.split()}
    put(data / "spelt.txt", "".join(f"{word} {letters}\n" for word, letters in spelt.items()).encode())
    words = ["text.tokenizer=phone", f"text.lexicon={data / 'spelt.txt'}", "text.g2p=false"]
    words += ["corpus.train=[si84]", "corpus.dev=[dev93]", "corpus.test=[eval93]"]
    train(data, asrkit, *words, "--tag", "phones", "--stop-stage", "average")
    train(data, asrkit, *words, *FAMILIES["mlp"], "align.model=phones", "--tag", "mlp")
    folder = data / "exp/wsj/mlp"
    counted = json.loads((folder / "labels/counts.json").read_text())
    assert counted
    for name in ("dev93", "eval93"):
        assert len((folder / "decode/frame-viterbi" / name / "hyp.trn").read_text().splitlines()) == 2
    assert (folder / "wsj.asrkit").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_page_have_a_plan(command: str, data: Path, asrkit: Run) -> None:
    done = asrkit(*shlex.split(command)[1:], "--dry-run", "--data", data, "--exp", data / "exp")
    assert done.code == 0, done.err
    assert "prepare" in done.err + done.out
