"""What a recipe reached: its scores, RESULTS.md and the bundle's model card."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open

from asrkit.config.decoders import DECODERS
from asrkit.errors import DataError
from asrkit.learning.models.weights import SCALE
from asrkit.learning.recipe.homework import Homework
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

HOMEWORK = "cmu11785"
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
        lines for people.
    """
    config = workspace.config
    homework = homework_of(workspace)
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
        if homework:
            alike.scores["edit distance"] = homework.distance(texts, hypotheses)
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
    """This software and machine; and what trained the model, where that differs."""
    now, path = environment(), workspace.folder / "checkpoints" / "env.json"
    then = json.loads(path.read_text(encoding="utf-8")) if path.exists() else now
    return now | {f"training {name}": fact for name, fact in then.items() if fact != now.get(name)}


def units_of(tokenizer: Tokenizer, decoder: str, units: Sequence[str]) -> list[str]:
    """The units to score in: a phone recogniser without a lexicon decoder gives phones and nothing else."""
    if tokenizer.kind == "phone" and not DECODERS[decoder].words:
        return [unit for unit in units if unit in PHONES] or ["phone"]
    if tokenizer.kind == "word":  # its words may be phones
        return list(units)
    return [unit for unit in units if unit not in PHONES] or ["word"]


def score_frames(workspace: Workspace, name: str) -> ResultRow | None:
    """The frames of a set whose likeliest label is not the one they were aligned with; None: none were."""
    names = LabelSet.load(labels_folder(workspace) / "labels.txt")
    expected = dict(read_labels(labels_path(workspace, name), names))
    if not expected:
        return None
    found = dict(read_labels(decode_folder(workspace, "frames", name) / "hyp.txt.gz", names))
    wrong = {}
    for id, labels in expected.items():
        guess = found.get(id, np.full_like(labels, -1))  # audio that cannot be read is wrong throughout
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


def homework_of(workspace: Workspace) -> Homework | None:
    """What is to be handed in, for a corpus that is a homework."""
    return (
        Homework(workspace.config, source_path(workspace))
        if workspace.config.corpus.name == HOMEWORK
        else None
    )


def hand_in(workspace: Workspace, homework: Homework, sets: Mapping[str, Sequence[Utterance]]) -> list[Path]:
    """Write a submission file for each test set: its answers in the set's order."""
    written = []
    names = workspace.config.corpus.test
    for name in names:
        path = workspace.folder / ("submission.csv" if len(names) == 1 else f"submission-{name}.csv")
        if homework.frames:
            labels = LabelSet.load(labels_folder(workspace) / "labels.txt")
            frames = [round(u.duration * workspace.config.features.signal_rate) for u in sets[name]]
            found = decode_folder(workspace, "frames", name) / "hyp.txt.gz"
            answers = homework.labels(sets[name], frames, found, labels)
        else:
            folder = decode_folder(workspace, workspace.config.decode.decoder, name)
            answers = homework.transcripts(sets[name], read_hypotheses(folder / "nbest.jsonl"))
        homework.write(path, answers)
        written.append(path)
    return written


def read_hypotheses(path: Path) -> dict[str, str]:
    """Utterance id -> best text."""
    items = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    return {item["id"]: item["text"] for item in items}


def describe(workspace: Workspace, sets: Mapping[str, Sequence[Utterance]]) -> Experiment:
    """The facts of a run that RESULTS.md tells."""
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
            DataSet(name, len(found), sum(u.duration for u in found) / 3600, reference_hash(found))
            for name, found in sets.items()
        ),
    )


def stage_seconds(workspace: Workspace, trained: float) -> dict[str, float]:
    """Seconds of each stage that ended here, training with what it did before it was interrupted."""
    found = {}
    for path in sorted((workspace.folder / "stages").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["stage"] not in ("score", "pack"):
            found[record["stage"]] = max(record["seconds"], trained if record["stage"] == "train" else 0.0)
    return found


def last_losses(metrics: Path) -> tuple[float, float]:
    """The last training and dev loss in metrics.jsonl; NaN where none was logged."""
    found = {"loss": float("nan"), "dev_loss": float("nan")}
    for line in metrics.read_text(encoding="utf-8").splitlines():
        found |= {name: x for name, x in json.loads(line).items() if name in found}
    return found["loss"], found["dev_loss"]


def reference_hash(utterances: Sequence[Utterance]) -> str:
    """SHA-256 of the sorted ``id text`` lines."""
    lines = sorted(f"{u.id} {u.text}\n" for u in utterances)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def model_card(workspace: Workspace) -> str:
    """README.md of a bundle: what the recipe's CARD.md says of the model, and the results page."""
    card, results = workspace.recipe / CARD, workspace.folder / "RESULTS.md"
    said = [path.read_text(encoding="utf-8") for path in (card, results) if path.exists()]
    return "\n".join(said) or f"# {workspace.config.name}\n\nNot scored yet.\n"
