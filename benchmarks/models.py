"""The presets of conf/model side by side: size, speed, what they reached; writes docs/presets.md and .png.

    PYTHONPATH=. python benchmarks/models.py [--threads 1] [--repeats 5] [--results recipes/an4/results]

Training speed is that of whole updates on batches of real recordings at the preset's own precision, decoding
speed that of its own decoder on one thread, without a language model. Times are of the processor with one
thread, else of the clock; figures are medians. Accuracy is read from the results.json files of trainings, by
the `model=` of their command.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asrkit.cli.process import keep_freed_memory
from asrkit.config import Config, load_config
from asrkit.config.decoders import decoders_for
from asrkit.learning.features.frontend import Frontend
from asrkit.learning.hardware import autocast, choose_precision
from asrkit.learning.models.asr import AsrModel, Batch, build_model
from asrkit.learning.torch_acoustics import TorchEncoded
from asrkit.learning.training.update import make_optimizer
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.decoding import MAKERS, Resources
from asrkit.recognition.text.labels import LabelCounts, LabelSet
from asrkit.recognition.text.tokenizer import CharTokenizer

ROOT = Path(__file__).parent.parent
PROMPTS = ROOT / "recipes/prompts/data/audio"
RECIPE = ROOT / "recipes/an4/recipe.yaml"
RATE, BATCH_SECONDS = 16000, 60.0
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"


def preset(name: str) -> Config:
    return load_config(RECIPE, (f"model={name}",), ROOT / "conf")


def recordings(seconds: float) -> list[np.ndarray]:
    """Prompts of two to eight seconds, until there are `seconds` of them with their padding."""
    waves: list[np.ndarray] = []
    for path in sorted(PROMPTS.glob("*.opus")):
        wave = read_audio(path, RATE)
        if 2 * RATE <= len(wave) <= 8 * RATE:
            waves.append(wave)
        if len(waves) * max(map(len, waves), default=0) > seconds * RATE:
            return waves[:-1]
    return waves


def make_batch(config: Config, waves: list[np.ndarray], labels: int) -> Batch:
    """Features of the recordings, with made-up texts of fifteen characters a second."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
    feats, lens = Frontend(config.features)(samples, torch.tensor([len(w) for w in waves]))
    counts = torch.tensor([12 * len(w) // RATE for w in waves])
    tokens = torch.randint(2, len(LETTERS) + 2, (len(waves), int(counts.max())), generator=generator)
    tokens.masked_fill_(torch.arange(tokens.shape[1]) >= counts[:, None], 0)
    frames = torch.randint(0, labels, feats.shape[:2], generator=generator)
    return Batch([""] * len(waves), feats, lens, tokens, counts, frames, sum(map(len, waves)) / RATE)


def update_seconds(
    model: AsrModel,
    batch: Batch,
    config: Config,
    optimizer: torch.optim.Optimizer,
    clock: Callable[[], float],
) -> float:
    place = torch.device("cpu")
    start = clock()
    with autocast(place, choose_precision(config.train.precision, place)):
        loss = model.train().loss(batch)
    (loss.total / len(batch.ids)).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config.train.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return clock() - start


def decode_seconds(model: AsrModel, config: Config, tokenizer: CharTokenizer, batch: Batch) -> float:
    labels = LabelSet.of(tokenizer)
    counts = LabelCounts.of([np.zeros(1, np.int64)], len(labels.names))
    usable = decoders_for(model.heads)  # without a language model
    name = config.decode.decoder if config.decode.decoder in usable else "ctc-beam"
    seconds = 0.01 * model.stride
    with torch.inference_mode():
        search = MAKERS[name](
            Resources(model.eval(), tokenizer, config.decode, seconds, labels=labels, counts=counts)
        )
        start = time.process_time()
        for feats, lens in zip(batch.feats, batch.feat_lens, strict=True):
            search(TorchEncoded(model, model.encode(feats[None, : int(lens)], lens[None])))
    return time.process_time() - start


def reached(folder: Path) -> dict[str, list[str]]:
    """Preset -> what its trainings reached on their test sets: the main decoder's errors."""
    actual: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.json")):
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        words = dict(w.split("=", 1) for w in content["command"].split() if "=" in w)
        rows = [row for row in content["rows"] if row["set"] == "test"]
        first = [row for row in rows if row["decoder"] in (rows[0]["decoder"], "argmax")]
        errors = ", ".join(f"{row['unit']} {100 * row['rate']:.1f} %" for row in first)
        actual.setdefault(words.get("model", "pyramid-ctc"), []).append(f"{path.stem}: {errors}")
    return actual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--results", type=Path, default=ROOT / "recipes/an4/results")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/presets")
    args = parser.parse_args()
    clock = time.process_time if args.threads == 1 else time.perf_counter
    keep_freed_memory()
    torch.set_flush_denormal(True)
    tokenizer, accuracy = CharTokenizer("char", ["<space>", *LETTERS]), reached(args.results)
    waves, few = recordings(BATCH_SECONDS), recordings(15.0)
    rows = []
    for path in sorted((ROOT / "conf/model").glob("*.yaml")):
        config = preset(path.stem)
        torch.manual_seed(0)
        labels = len(LabelSet.of(tokenizer).names)
        model = build_model(config, len(tokenizer.tokens), labels)
        optimizer, batch = make_optimizer(model, config.train), make_batch(config, waves, labels)
        torch.set_num_threads(args.threads)
        turns = range(args.repeats + 1)
        updates = [update_seconds(model, batch, config, optimizer, clock) for _ in turns][1:]
        torch.set_num_threads(1)
        short = make_batch(config, few, labels)
        decodes = [decode_seconds(model, config, tokenizer, short) for _ in turns][1:]
        parameters = sum(p.numel() for p in model.parameters()) / 1e6
        speed = batch.seconds / statistics.median(updates)
        factor = statistics.median(decodes) / short.seconds
        heads = "+".join(sorted(model.heads))
        rows.append(
            (path.stem, config.model.encoder, heads, parameters, speed, factor, accuracy.get(path.stem, []))
        )
        print(rows[-1], flush=True)
    write_table(args.out.with_suffix(".md"), rows, args.threads)
    draw(args.out.with_suffix(".png"), rows)


def write_table(path: Path, rows: list[tuple[Any, ...]], threads: int) -> None:
    unit = "1 thread" if threads == 1 else f"{threads} threads"
    lines = [
        "<!-- Written by benchmarks/models.py. -->",
        "",
        f"| preset | encoder | heads | M parameters | training, × real time ({unit}) | "
        "decoding, real-time factor (1 thread, untrained) | AN4 test |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for name, encoder, heads, parameters, speed, factor, actual in rows:
        lines.append(
            f"| {name} | {encoder} | {heads} | {parameters:.1f} | {speed:.0f} | {factor:.3f} | "
            f"{'; '.join(actual) or '–'} |"
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw(path: Path, rows: list[tuple[Any, ...]]) -> None:
    """Training speed over size."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, encoder, _, parameters, speed, _, _ in rows:
        color = {"mlp": "C0", "pyramid": "C1", "transformer": "C2", "conformer": "C3", "tdnn": "C4"}[encoder]
        axes.scatter(parameters, speed, s=60, color=color)
        axes.annotate(name, (parameters, speed), xytext=(6, 4), textcoords="offset points", fontsize=9)
    axes.set(xlabel="million parameters", ylabel="training speed, × real time", yscale="log")
    axes.yaxis.set_major_locator(FixedLocator([20, 50, 100, 200, 500]))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.15, y=0.1)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
