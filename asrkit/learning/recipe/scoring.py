"""The scores of a recipe, RESULTS.md and the bundle's model card."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open

from asrkit.config.decoders import DECODERS
from asrkit.errors import DataError
from asrkit.learning.data.corpora import CORPORA, Submission
from asrkit.learning.models.weights import SCALE
from asrkit.learning.recipe.layout import (
    CARD,
    decode_folder,
    labels_folder,
    labels_path,
    reported_sets,
    source_path,
)
from asrkit.learning.recipe.workspace import Workspace
from asrkit.learning.report.results import (
    DataSet,
    Experiment,
    ResultRow,
    SimilarityRow,
    environment,
    write_results,
    write_results_json,
)
from asrkit.learning.training.checkpoint import read_state
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.parts import checkpoints, newest_weights
from asrkit.recognition.scoring.bootstrap import confidence_interval
from asrkit.recognition.scoring.rates import RATES, ErrorCounts
from asrkit.recognition.scoring.report import write_score
from asrkit.recognition.scoring.score import score_texts
from asrkit.recognition.scoring.similarity import similarity
from asrkit.recognition.text.labels import LabelSet, read_labels
from asrkit.recognition.text.tokenizer import Tokenizer, load_tokenizer

PHONES = ("phone", "phone39")


def score_recipe(
    workspace: Workspace, decoded: Mapping[tuple[str, str], Path], sets: Mapping[str, Sequence[Utterance]]
) -> list[str]:
    """Score every decoded set, write its reports and the experiment's RESULTS.md.

    Args:
        workspace: the experiment.
        decoded: (decoder, set) -> folder with ``nbest.jsonl``.
        sets: the utterances of every set.

    Returns:
        lines to print.
    """
    config = workspace.config
    submission = submission_of(workspace)
    rows: list[ResultRow] = []
    similar: list[SimilarityRow] = []
    lines: list[str] = []
    tokenizer = load_tokenizer(workspace.folder / "tokenizer")
    for (decoder, name), folder in decoded.items():
        hypotheses = read_hypotheses(folder / "nbest.jsonl")
        speakers = {u.id: u.speaker for u in sets[name]}
        for unit in units_of(tokenizer, decoder, config.score.units):
            references = {u.id: tokenizer.reference(u.text, unit) for u in sets[name]}
            score = score_texts(references, hypotheses, unit, speakers, config.score.bootstrap)
            write_score(folder / f"score_{RATES[unit].lower()}", score, f"{decoder} on {name}")
            rows.append(ResultRow(name, decoder, unit, score.total, score.interval))
            lines.append(f"{name} {decoder}: {score.total.kaldi_line(RATES[unit])}")
        texts = {u.id: u.text for u in sets[name]}
        alike = SimilarityRow(name, decoder, similarity(texts, hypotheses) if config.score.similarity else {})
        if submission:
            alike.scores["edit distance"] = submission.distance(texts, hypotheses)
        if alike.scores:
            similar.append(alike)
            lines.append(f"{name} {decoder}: " + ", ".join(f"{k} {v:.4f}" for k, v in alike.scores.items()))
    for name in reported_sets(workspace) if "frame" in config.model.heads else []:
        if row := score_frames(workspace, name):
            rows.append(row)
            lines.append(f"{name} frames: {100 * row.counts.rate:.2f} % wrong of {row.counts.reference}")
    facts = (rows, describe(workspace, sets), environment_of(workspace))
    write_results_json(workspace.folder / "results.json", *facts)
    write_results(workspace.folder / "RESULTS.md", *facts, similar=similar)
    return lines


def environment_of(workspace: Workspace) -> dict[str, str]:
    """This software and machine; and those of training, where they differ."""
    now, path = environment(), workspace.folder / "checkpoints" / "env.json"
    trained = json.loads(path.read_text(encoding="utf-8")) if path.exists() else now
    return now | {f"training {name}": fact for name, fact in trained.items() if fact != now.get(name)}


def units_of(tokenizer: Tokenizer, decoder: str, units: Sequence[str]) -> list[str]:
    """The units to score in: a phone recogniser without a lexicon decoder outputs phones only."""
    if tokenizer.kind == "phone" and not DECODERS[decoder].words:
        return [unit for unit in units if unit in PHONES] or ["phone"]
    if tokenizer.kind == "word":  # its words may be phones
        return list(units)
    return [unit for unit in units if unit not in PHONES] or ["word"]


def score_frames(workspace: Workspace, name: str) -> ResultRow | None:
    """Frames whose likeliest label differs from that of the alignment; None: no frame is labelled."""
    names = LabelSet.load(labels_folder(workspace) / "labels.txt")
    expected = dict(read_labels(labels_path(workspace, name), names))
    if not expected:
        return None
    decoded = dict(read_labels(decode_folder(workspace, "frames", name) / "hyp.txt.gz", names))
    wrong = {}
    for id, labels in expected.items():
        guess = decoded.get(id, np.full_like(labels, -1))  # unreadable audio is all wrong
        if len(guess) != len(labels):
            raise DataError(
                f"{id} in {name} has {len(labels)} labels and {len(guess)} frames",
                "one label for each feature frame is needed; see align.labels",
            )
        wrong[id] = int((guess != labels).sum())
    counts = [
        ErrorCounts(len(x) - wrong[id], wrong[id], sentences=1, sentences_wrong=int(wrong[id] > 0))
        for id, x in expected.items()
    ]
    samples = workspace.config.score.bootstrap
    errors, lengths = [c.errors for c in counts], [c.reference for c in counts]
    interval = confidence_interval(errors, lengths, samples) if samples else None
    return ResultRow(name, "argmax", "frame", sum(counts, ErrorCounts()), interval)


def submission_of(workspace: Workspace) -> Submission | None:
    """What the corpus asks for beyond error rates, if anything."""
    config = workspace.config
    return CORPORA[config.corpus.name].submission(source_path(workspace), config)


def write_submissions(workspace: Workspace, sets: Mapping[str, Sequence[Utterance]]) -> list[Path]:
    """Write the answers to each test set that the corpus asks for; returns the files."""
    submission, names = submission_of(workspace), workspace.config.corpus.test
    if submission is None:
        return []
    paths = []
    for name in names:
        path = workspace.folder / ("submission.csv" if len(names) == 1 else f"submission-{name}.csv")
        if "frame" in workspace.config.model.heads:
            labels = LabelSet.load(labels_folder(workspace) / "labels.txt")
            rows = read_labels(decode_folder(workspace, "frames", name) / "hyp.txt.gz", labels)
            answers = {id: [labels.names[i] for i in row] for id, row in rows}
            submission.write_labels(path, sets[name], answers)
        else:
            folder = decode_folder(workspace, workspace.config.decode.decoder, name)
            submission.write_transcripts(path, sets[name], read_hypotheses(folder / "nbest.jsonl"))
        paths.append(path)
    return paths


def read_hypotheses(path: Path) -> dict[str, str]:
    """Utterance id -> best text."""
    items = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {item["id"]: item["text"] for item in items}


def describe(workspace: Workspace, sets: Mapping[str, Sequence[Utterance]]) -> Experiment:
    """The facts of a run that RESULTS.md reports."""
    config = workspace.config
    saved = workspace.folder / "checkpoints"
    with safe_open(newest_weights(saved), "pt") as weights:
        names = [name for name in weights.keys() if not name.endswith(SCALE)]  # noqa: SIM118
        parameters = sum(int(weights.get_tensor(name).numel()) for name in names)
    trained = read_state(checkpoints(saved)[-1]).seconds
    return Experiment(
        recipe=config.name,
        command=workspace.command,
        date=time.strftime("%Y-%m-%d"),
        seed=config.seed,
        normalizer=config.text.normalizer,
        parameters=parameters,
        training_seconds=trained,
        stages=stage_seconds(workspace, trained),
        losses=last_losses(workspace.folder / "metrics.jsonl"),
        data=tuple(
            DataSet(name, len(items), sum(u.duration for u in items) / 3600, reference_hash(items))
            for name, items in sets.items()
        ),
    )


def stage_seconds(workspace: Workspace, trained: float) -> dict[str, float]:
    """Seconds of each finished stage; training counts the time before interruptions."""
    seconds = {}
    for path in sorted((workspace.folder / "stages").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["stage"] not in ("score", "pack"):
            seconds[record["stage"]] = max(record["seconds"], trained if record["stage"] == "train" else 0.0)
    return seconds


def last_losses(metrics: Path) -> tuple[float, float]:
    """The last training and dev loss in metrics.jsonl; NaN: none was logged."""
    losses = {"loss": float("nan"), "dev_loss": float("nan")}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        losses |= {name: x for name, x in json.loads(line).items() if name in losses}
    return losses["loss"], losses["dev_loss"]


def reference_hash(utterances: Sequence[Utterance]) -> str:
    """SHA-256 of the sorted ``id text`` lines."""
    lines = sorted(f"{u.id} {u.text}\n" for u in utterances)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def model_card(workspace: Workspace) -> str:
    """README.md of a bundle: the recipe's CARD.md and the results page."""
    card, results = workspace.recipe / CARD, workspace.folder / "RESULTS.md"
    pages = [path.read_text(encoding="utf-8") for path in (card, results) if path.exists()]
    return "\n".join(pages) or f"# {workspace.config.name}\n\nNot scored yet.\n"
