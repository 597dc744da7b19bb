"""RESULTS.md: results, data, and how to reproduce them."""

import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asrkit.files import atomic_write, write_json
from asrkit.recognition.scoring.rates import ErrorCounts
from asrkit.version import SOURCE, git


@dataclass(frozen=True)
class ResultRow:
    """One line of the table: the errors of one decoder on one set, in one unit."""

    set: str
    decoder: str
    unit: str
    counts: ErrorCounts
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class SimilarityRow:
    """Similarity of one decoder's texts on one set to the references: measure -> 0..1."""

    set: str
    decoder: str
    scores: dict[str, float]


@dataclass(frozen=True)
class DataSet:
    """A set: utterances, hours of audio, and the SHA-256 of its list of references."""

    name: str
    utterances: int
    hours: float
    sha256: str


@dataclass(frozen=True)
class Experiment:
    """The facts of a run.

    Attributes:
        recipe: name.
        command: the command line that repeats it.
        date: day of the scoring, for example ``2026-01-31``.
        seed: the one source of randomness.
        normalizer: name of the text normalisation.
        parameters: number of model parameters.
        training_seconds: time spent in training.
        losses: per utterance, of the last training updates logged and of the dev sets after the last epoch.
        data: every training, dev and reported set.
        stages: seconds of each stage before scoring; stages run by other experiments are not included.
    """

    recipe: str
    command: str
    date: str
    seed: int
    normalizer: str
    parameters: int
    training_seconds: float
    losses: tuple[float, float]
    data: tuple[DataSet, ...]
    stages: dict[str, float] = field(default_factory=dict)


def environment() -> dict[str, str]:
    """The software and machine of this process: name -> value, plain text.

    ``commit`` is that of the source tree, marked if files differ from it; an installed package gives its
    version instead. Nothing heavy is imported.
    """
    return {
        "asrkit": _version("asrkit"),
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": _version("torch"),
        "machine": f"{_cpu()}, {_threads()} threads",
        "system": platform.platform(),
    }


def write_results_json(
    path: Path | str, rows: Sequence[ResultRow], experiment: Experiment, environment: Mapping[str, str]
) -> None:
    """Write the content of RESULTS.md as data, for :func:`summary`."""
    content = asdict(experiment) | {"environment": dict(environment)}
    content["rows"] = [
        {
            "set": row.set,
            "decoder": row.decoder,
            "unit": row.unit,
            "errors": row.counts.errors,
            "reference": row.counts.reference,
            "rate": row.counts.rate,
            "interval": row.interval,
        }
        for row in rows
    ]
    write_json(path, content)


def summary(
    title: str, experiments: Mapping[str, Mapping[str, Any]], sets: Sequence[str], *, brief: bool = False
) -> str:
    """One Markdown page on several experiments, from their ``results.json``.

    Args:
        title: heading.
        experiments: name -> content of its results.json, in the order of the table.
        sets: the sets shown; empty: all.
        brief: one line per experiment, see :func:`_brief`, instead of one per figure.
    """
    shown = {
        name: [row for row in content["rows"] if not sets or row["set"] in sets]
        for name, content in experiments.items()
    }
    facts = []
    for name, content in experiments.items():
        commit = content["environment"].get("training commit", content["environment"]["commit"])
        facts.append(f"- {name}: `{content['command']}`, {content['date']}, commit {commit}\n")
    return "\n".join(
        (
            f"<!-- Written by `asrkit results`; changes made by hand are lost. -->\n# {title}\n",
            "Percentages of the reference's units; the interval is by bootstrap over utterances.\n",
            _markdown(_brief(experiments, shown), left=2)
            if brief
            else _markdown(_full(experiments, shown), 1),
            "## How\n",
            "".join(facts),
        )
    )


Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def _full(experiments: Mapping[str, Mapping[str, Any]], rows: Rows) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [
        ("experiment", "parameters", "minutes", "seed", "set", "decoder", "unit", "error", "95 % interval")
    ]
    for name, content in experiments.items():
        about = (name, *_size(content), str(content["seed"]))
        for row in rows[name]:
            table.append((*about, row["set"], row["decoder"], row["unit"], *_error(row)))
            about = ("", "", "", "")
    return table


def _brief(experiments: Mapping[str, Mapping[str, Any]], rows: Rows) -> list[tuple[str, ...]]:
    """Changes to the settings of the first experiment; errors of the first decoder on the first set."""
    units = list(dict.fromkeys(row["unit"] for items in rows.values() for row in _first(items)))
    heads = [head for unit in units for head in (f"{unit} error", "95 % interval")]
    table = [("experiment", "change", "parameters", "minutes", *heads)]
    base = settings(next(iter(experiments.values()))["command"])
    for name, content in experiments.items():
        own = settings(content["command"])
        change = [f"`{key}={value}`" for key, value in own.items() if base.get(key) != value]
        change += [f"no `{key}={value}`" for key, value in base.items() if key not in own]
        errors = {row["unit"]: _error(row) for row in _first(rows[name])}
        cells = [cell for unit in units for cell in errors.get(unit, ("–", "–"))]
        table.append((name.rpartition("/")[2], " ".join(change) or "–", *_size(content), *cells))
    return table


def settings(command: str) -> dict[str, str]:
    """The settings ``key=value`` of a command line; the last value of a key counts."""
    pairs = (word.partition("=") for word in shlex.split(command) if "=" in word and not word.startswith("-"))
    return {key: value for key, _, value in pairs}


def _first(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if (row["set"], row["decoder"]) == (rows[0]["set"], rows[0]["decoder"])]


def _size(content: Mapping[str, Any]) -> tuple[str, str]:
    return f"{content['parameters']:,}", f"{content['training_seconds'] / 60:.0f}"


def _error(row: Mapping[str, Any]) -> tuple[str, str]:
    interval = " – ".join(f"{100 * end:.2f}" for end in row["interval"] or ()) or "–"
    return f"{100 * row['rate']:.2f}", interval


def write_results(
    path: Path | str,
    rows: Sequence[ResultRow],
    experiment: Experiment,
    environment: Mapping[str, str],
    *,
    similar: Sequence[SimilarityRow] = (),
) -> None:
    """Write RESULTS.md, atomically; the same arguments give the same bytes.

    Args:
        path: the file.
        rows: the table, in this order.
        experiment: what was run.
        environment: from :func:`environment`.
        similar: string similarities, if any.
    """
    facts = {
        "date": experiment.date,
        "command": f"`{experiment.command}`",
        "seed": str(experiment.seed),
        "text normaliser": experiment.normalizer,
        "model parameters": f"{experiment.parameters:,}",
        "training time": f"{experiment.training_seconds / 60:.1f} min",
        "loss at the end": "training {:.3f}, dev {:.3f} per utterance".format(*experiment.losses),
        **environment,
    }
    table = [
        (
            "set",
            "decoder",
            "unit",
            "Snt",
            "Wrd",
            "Corr",
            "Sub",
            "Del",
            "Ins",
            "Err",
            "S.Err",
            "95 % interval",
        ),
        *(_cells(row) for row in rows),
    ]
    data = [
        ("set", "utterances", "hours", "sha256 of the references"),
        *((d.name, f"{d.utterances:,}", f"{d.hours:.2f}", f"`{d.sha256}`") for d in experiment.data),
    ]
    parts = (
        f"<!-- Written by asrkit when it scores; changes made by hand are lost. -->\n# {experiment.recipe}\n",
        "Percentages of the reference's tokens (S.Err: of its sentences); the interval is that of Err, "
        "by bootstrap over utterances.\n",
        _markdown(table, left=3),
        *_similarities(similar),
        "## Environment\n",
        "".join(f"- {name}: {value}\n" for name, value in facts.items()),
        "## Data\n",
        _markdown(data, left=1),
        *_times(experiment.stages),
    )
    with atomic_write(path) as file:
        file.write("\n".join(parts))


def _similarities(rows: Sequence[SimilarityRow]) -> list[str]:
    if not rows:
        return []
    head = ("set", "decoder", *(name.replace("_", "-") for name in rows[0].scores))
    cells = [(row.set, row.decoder, *(f"{score:.4f}" for score in row.scores.values())) for row in rows]
    return [
        "String similarity of hypothesis and reference, mean over utterances.\n",
        _markdown([head, *cells], left=2),
    ]


def _times(stages: Mapping[str, float]) -> list[str]:
    if not stages:
        return []
    rows = [(name, f"{seconds / 60:.1f}") for name, seconds in stages.items()]
    return ["## Time\n", _markdown([("stage", "minutes"), *rows], left=1)]


def _cells(row: ResultRow) -> tuple[str, ...]:
    sizes = (str(row.counts.sentences), str(row.counts.reference))
    shares = (f"{share:.2f}" for share in row.counts.percentages())
    interval = " – ".join(f"{100 * end:.2f}" for end in row.interval or ())
    return (row.set, row.decoder, row.unit, *sizes, *shares, interval or "–")


def _markdown(rows: Sequence[Sequence[str]], left: int) -> str:
    """A table whose first `left` columns are text and whose others are numbers."""
    head, *body = rows
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    if not (SOURCE / ".git").exists():
        return f"none, release {_version('asrkit')}"
    head, changes = git("rev-parse", "HEAD"), git("status", "--porcelain")
    if not head:
        return "unknown"
    return f"{head} with uncommitted changes" if changes else head


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
