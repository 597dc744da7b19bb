"""recipes/cmu11785 on trees in the layouts of the course's terms, from their arrays to a file to hand in."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import homeworks
import numpy as np
import pytest
from conftest import ROOT, Run
from families import QUICK
from rapidfuzz.distance import Levenshtein

from asrkit.errors import DataError
from asrkit.learning.data.corpora import CORPORA
from asrkit.learning.data.corpora.cmu11785_submission import ARPABET, PHONES
from asrkit.learning.data.corpora.common import Skipped
from asrkit.recognition.audio.arrays import read_array

SMALL = [word for word in QUICK if not word.startswith("features.")]
MODELS = {
    "hw1p2": ["model.mlp.hidden=16", "model.mlp.context=3", "decode.tune.lm_weight=[1.0]"],
    "hw3p2": ["model.pyramid.hidden=16", "model.pyramid.embed_channels=16"],
    "hw4p2": [
        "model.pyramid.hidden=16",
        "model.pyramid.embed_channels=16",
        "model.lstm_decoder.hidden=16",
        "model.lstm_decoder.embed=8",
    ],
}


def train(tree: Path, task: str, exp: Path, asrkit: Run, *words: str) -> Path:
    recipe = ROOT / "recipes" / "cmu11785"
    done = asrkit(
        "train", recipe, f"task={task}", "--data", tree, "--exp", exp, *SMALL, *MODELS[task], *words
    )
    assert done.code == 0, done.err
    return exp / task / "default"


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def hypotheses(folder: Path, decoder: str, name: str) -> dict[str, str]:
    lines = (folder / "decode" / decoder / name / "nbest.jsonl").read_text().splitlines()
    return {item["id"]: item["text"] for item in map(json.loads, lines)}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    return tmp_path / "tree"


def test_hw1p2_answers_every_frame(tree: Path, tmp_path: Path, asrkit: Run) -> None:
    homeworks.hw1p2(tree)
    folder = train(tree, "hw1p2", tmp_path / "exp", asrkit)
    head, *answers = rows(folder / "submission.csv")
    files = sorted((tree / "test-clean" / "mfcc").glob("*.npy"))
    frames = sum(len(np.load(path)) for path in files)
    assert head == ["id", "label"] and [int(id) for id, _ in answers] == list(range(frames))
    assert {label for _, label in answers} <= {*PHONES}
    results = json.loads((folder / "results.json").read_text())
    frame = next(row for row in results["rows"] if row["unit"] == "frame")
    right = total = 0
    names = (folder / "labels" / "labels.txt").read_text().split()
    assert names[0] == "[SIL]"
    from asrkit.recognition.text.labels import LabelSet, read_labels

    labels = LabelSet.load(folder / "labels" / "labels.txt")
    actual = dict(read_labels(folder / "decode" / "frames" / "dev" / "hyp.txt.gz", labels))
    for path in sorted((tree / "dev-clean" / "transcript").glob("*.npy")):
        true = np.load(path)[1:-1]
        right += sum(labels.names[label] == name for label, name in zip(actual[path.stem], true, strict=True))
        total += len(true)
    assert frame["set"] == "dev" and frame["reference"] == total
    assert frame["errors"] == total - right
    assert not [row for row in results["rows"] if row["set"] == "test"], "it has no references"


def test_hw1p2_of_the_terms_that_want_numbers(tree: Path, tmp_path: Path, asrkit: Run) -> None:
    homeworks.hw1p2(tree, dim=13)
    (tree / "sample_submission.csv").write_text("id,label\n0,7\n")
    folder = train(tree, "hw1p2", tmp_path / "exp", asrkit)
    _, *answers = rows(folder / "submission.csv")
    assert {int(label) for _, label in answers} <= set(range(40))


def test_hw3p2_hands_in_a_letter_a_phone(tree: Path, tmp_path: Path, asrkit: Run) -> None:
    homeworks.hw3p2(tree)
    folder = train(tree, "hw3p2", tmp_path / "exp", asrkit)
    head, *answers = rows(folder / "submission.csv")
    assert head == ["id", "predictions"], "that of the sample"
    test, dev = (hypotheses(folder, "ctc-greedy", name) for name in ("test", "dev"))
    assert [text for _, text in answers] == [
        "".join(ARPABET[p] for p in test[id].split()) for id in sorted(test)
    ]
    data = tree / "11-785-s24-hw3p2" / "dev-clean" / "transcript"
    distances = [
        Levenshtein.distance(
            "".join(ARPABET[p] for p in np.load(path)[1:-1]),
            "".join(ARPABET[p] for p in dev[path.stem].split()),
        )
        for path in sorted(data.glob("*.npy"))
    ]
    table = (folder / "RESULTS.md").read_text()
    assert f"| dev | ctc-greedy | {np.mean(distances):.4f} |" in table
    assert "PER" in json.dumps([str(p) for p in (folder / "decode" / "ctc-greedy" / "dev").iterdir()]).upper()
    done = asrkit(
        "decode", "--model", folder, next((tree / "11-785-s24-hw3p2/test-clean/mfcc").glob("*.npy"))
    )
    assert done.code == 0 and done.out.strip() in test.values()
    assert asrkit("decode", "--model", folder, ROOT / "tests/audio/sense-0870.flac").code == 1


@pytest.mark.parametrize("layout", ["hw4p2_2020", "hw4p2_2022", "hw4p2_2025"])
def test_hw4p2_of_each_term(layout: str, tree: Path, tmp_path: Path, asrkit: Run) -> None:
    getattr(homeworks, layout)(tree)
    sample = tree / "sample_submission.csv"
    if layout == "hw4p2_2022":
        sample.write_text("index,label\n")
    folder = train(tree, "hw4p2", tmp_path / "exp", asrkit)
    head, *answers = rows(folder / "submission.csv")
    assert head == (["index", "label"] if sample.exists() else ["id", "label"])
    test = hypotheses(folder, "joint", "test")
    order = sorted(test, reverse=layout == "hw4p2_2022")
    assert [text for _, text in answers] == [test[id] for id in order]
    assert "edit distance" in (folder / "RESULTS.md").read_text()


# ---- the reader


def texts(tree: Path, subset: str) -> list[str]:
    return [u.text for u in CORPORA["cmu11785"].prepare(tree, subset, tree / "made" / "audio", 16000, [])]


@pytest.mark.parametrize(
    ("layout", "dim", "subsets"),
    [
        ("hw1p2", 28, ("train", "dev")),
        ("hw3p2", 27, ("train", "dev", "train-clean-100")),
        ("hw3p2_2021", 40, ("train", "dev")),
        ("hw4p2_2020", 40, ("train", "dev")),
        ("hw4p2_2022", 15, ("train", "dev")),
        ("hw4p2_2025", 80, ("train", "dev-clean")),
        ("toy", 26, ("train", "dev")),
    ],
)
def test_every_layout_gives_its_transcripts(
    layout: str, dim: int, subsets: tuple[str, ...], tree: Path
) -> None:
    getattr(homeworks, layout)(tree)
    plain = {"train-clean-100": "train", "dev-clean": "dev"}
    for subset in subsets:
        assert CORPORA["cmu11785"].feature_dim(tree, subset) == dim
        written = homeworks.Prompts(dim).subset(plain.get(subset, subset))
        if layout.startswith("hw4p2"):
            expected = [text for _, _, text, _ in written]
        elif layout == "hw1p2":
            expected = [" ".join(p for p in phones if p != "[SIL]") for *_, phones in written]
        else:
            expected = [" ".join(phones) for *_, phones in written]
        if layout == "hw3p2_2021":
            expected = [text.replace("[SIL]", "SIL").replace("HH", "H") for text in expected]
        assert texts(tree, subset) == expected
    if layout != "toy":
        assert set(texts(tree, "test")) == {""}


def test_broken_files_are_named_and_the_others_kept(tree: Path) -> None:
    homeworks.hw3p2(tree)
    folder = tree / "11-785-s24-hw3p2" / "train-clean-100"
    first, second, third, *rest = sorted((folder / "mfcc").glob("*.npy"))
    third.write_bytes(third.read_bytes()[:200])
    (folder / "transcript" / second.name).unlink()
    np.save(rest[-1], np.zeros((5, 5), np.float32))
    skipped: list[Skipped] = []
    actual = [*CORPORA["cmu11785"].prepare(tree, "train", tree / "made" / "audio", 16000, skipped)]
    assert {s.id for s in skipped} == {second.stem, third.stem, rest[-1].stem}
    assert [u.id for u in actual] == [p.stem for p in (first, *rest[:-1])]
    assert actual[0].speaker == "19"


def test_what_is_missing_is_said(tree: Path, asrkit: Run) -> None:
    homeworks.hw3p2(tree)
    with pytest.raises(DataError, match="no subset 'train-clean-360'"):
        texts(tree, "train-clean-360")
    recipe = ROOT / "recipes" / "cmu11785"
    done = asrkit("train", recipe, "--data", tree / "nothing", "--exp", tree / "exp")
    assert done.code == 1 and "no such corpus" in done.err
    done = asrkit("train", recipe, "task=hw5", "--data", tree)
    assert done.code == 2 and "no fragment 'hw5' in cmu11785/task" in done.err and "hw4p2" in done.err
    done = asrkit("train", recipe, "augment.speeds=[0.9,1.0]", "--data", tree)
    assert done.code == 2 and "without audio there is no speed perturbation" in done.err


def test_arrays_of_objects_are_read_and_nothing_else_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("run",))

    nested = homeworks.objects([np.arange(6.0).reshape(2, 3), np.array(["A", "BB"]), np.array([b"C"])])
    nested = homeworks.objects([*nested, np.asfortranarray(np.arange(6).reshape(2, 3))])
    np.save(tmp_path / "good.npy", nested)
    for actual, expected in zip(read_array(tmp_path / "good.npy"), nested, strict=True):
        np.testing.assert_array_equal(actual, expected)
    np.save(tmp_path / "evil.npy", homeworks.objects([Evil()]))  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"asks for builtins\.print"):
        read_array(tmp_path / "evil.npy")
    for damage in (lambda b: b[:-9], lambda b: b[:100], lambda b: b"", lambda b: b"x" * 300):
        (tmp_path / "bad.npy").write_bytes(damage((tmp_path / "good.npy").read_bytes()))
        with pytest.raises(DataError, match=r"bad\.npy"):
            read_array(tmp_path / "bad.npy")
