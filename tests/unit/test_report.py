"""RESULTS.md against a page written out, and the curves of a training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from asrkit.learning.report.curves import draw_curves
from asrkit.learning.report.results import (
    DataSet,
    Experiment,
    ResultRow,
    SimilarityRow,
    environment,
    summary,
    write_results,
    write_results_json,
)
from asrkit.recognition.scoring.rates import ErrorCounts

PAGE = """\
<!-- Written by asrkit when it scores; changes made by hand are lost. -->
# an4

Percentages of the reference's tokens (S.Err: of its sentences); the interval is that of Err, \
by bootstrap over utterances.

| set | decoder | unit | Snt | Wrd | Corr | Sub | Del | Ins | Err | S.Err | 95 % interval |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| test | ctc-greedy | word | 130 | 773 | 93.01 | 6.60 | 0.39 | 0.39 | 7.37 | 30.77 | 5.50 – 9.30 |
| test | ctc-greedy | char | 130 | 2565 | 100.00 | 0.00 | 0.00 | 0.00 | 0.00 | 0.00 | – |

## Environment

- date: 2026-01-31
- command: `asrkit train an4 train.lr=1e-3`
- seed: 7
- text normaliser: english
- model parameters: 1,234,567
- training time: 12.5 min
- loss at the end: training 1.500, dev 2.250 per utterance
- commit: 0123abc with uncommitted changes
- machine: Some CPU, 2 threads

## Data

| set | utterances | hours | sha256 of the references |
| --- | ---: | ---: | ---: |
| train | 1,848 | 0.63 | `aa11` |
| test | 130 | 0.10 | `bb22` |

## Time

| stage | minutes |
| --- | ---: |
| prepare | 0.5 |
| train | 12.5 |
"""


def test_results_page(tmp_path: Path) -> None:
    rows = [
        ResultRow("test", "ctc-greedy", "word", ErrorCounts(719, 51, 3, 3, 130, 40), (0.055, 0.093)),
        ResultRow("test", "ctc-greedy", "char", ErrorCounts(2565, 0, 0, 0, 130, 0)),
    ]
    experiment = Experiment(
        recipe="an4",
        command="asrkit train an4 train.lr=1e-3",
        date="2026-01-31",
        seed=7,
        normalizer="english",
        parameters=1234567,
        training_seconds=750,
        losses=(1.5, 2.25),
        data=(DataSet("train", 1848, 0.63, "aa11"), DataSet("test", 130, 0.1, "bb22")),
        stages={"prepare": 30.0, "train": 750.0},
    )
    where = {"commit": "0123abc with uncommitted changes", "machine": "Some CPU, 2 threads"}
    write_results(tmp_path / "RESULTS.md", rows, experiment, where)
    assert (tmp_path / "RESULTS.md").read_text(encoding="utf-8") == PAGE
    alike = SimilarityRow("test", "ctc-greedy", {"jaccard": 0.5, "cosine": 0.75})
    write_results(tmp_path / "RESULTS.md", rows, experiment, where, similar=[alike])
    page = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert (
        "| set | decoder | jaccard | cosine |" in page and "| test | ctc-greedy | 0.5000 | 0.7500 |" in page
    )

    write_results_json(tmp_path / "results.json", rows, experiment, where | {"training commit": "feed"})
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    table = summary("Two", {"an4/a": content, "an4/b": content}, ["test"])
    line = "| an4/a | 1,234,567 | 12 | 7 | test | ctc-greedy | word | 7.37 | 5.50 – 9.30 |"
    assert line in table and line.replace("/a", "/b") in table
    assert "- an4/b: `asrkit train an4 train.lr=1e-3`, 2026-01-31, commit feed" in table
    assert "| test |" not in summary("None", {"an4/a": content}, ["dev"])


def test_environment_is_plain_and_light() -> None:
    script = (
        "import json, sys; from asrkit.learning.report.results import environment; "
        "print(json.dumps([environment(), 'torch' in sys.modules]))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    facts, heavy = json.loads(shown)
    assert facts == environment()
    assert not heavy
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))
    assert facts["torch"][0].isdigit()
    assert all(isinstance(value, str) and value for value in facts.values())


def test_commit_of_the_source_tree() -> None:
    root = Path(__file__).parents[2]
    git = ["git", "-C", str(root), "rev-parse", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True, check=False)
    expected = head.stdout.strip() if head.returncode == 0 else ""
    assert environment()["commit"].startswith(expected or ("unknown", "none"))


def drawn(tmp_path: Path, lines: list[dict[str, float]]) -> list[str]:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    draw_curves(metrics, tmp_path / "plots")
    pictures = sorted((tmp_path / "plots").glob("*")) if (tmp_path / "plots").exists() else []
    assert all(p.read_bytes().startswith(b"\x89PNG") and p.stat().st_size > 2000 for p in pictures)
    return [p.name for p in pictures]


def test_curves(tmp_path: Path) -> None:
    assert drawn(tmp_path, []) == []
    training = [
        {"step": i, "epoch": i // 10, "loss": 9.0 / (i + 1), "lr": 1e-3, "seconds": 1.0} for i in range(30)
    ]
    assert drawn(tmp_path, training) == ["loss.png", "lr.png"]
    dev = [{"step": 10, "epoch": 0, "dev_loss": float("nan"), "dev_error": 0.5}]
    assert drawn(tmp_path, training + dev) == ["dev.png", "loss.png", "lr.png"]
