"""A recipe for a folder of one's own recordings and transcripts. The folder itself is not changed."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.errors import UsageError
from asrkit.files import atomic_write
from asrkit.prepare.report import readme, report
from asrkit.prepare.survey import Found, Wishes, encodes, look
from asrkit.recognition.audio.utterance import Utterance


@dataclass(frozen=True)
class Size:
    """How a recipe begins for so much speech; places to start from, not the outcome of a search.

    Attributes:
        hours: of speech to train on, at most.
        base: the fragment of each section.
        lines: further lines of ``recipe.yaml``.
    """

    hours: float
    base: Mapping[str, str]
    lines: tuple[str, ...] = ()


SIZES = (
    Size(  # as recipes/prompts
        0.5,
        {"features": "fbank40", "model": "pyramid-ctc-tiny", "train": "cpu", "decode": "ctc-beam"},
        (
            "train: {epochs: 40, batch_seconds: 30, warmup_steps: 100, lr: 3e-3}",
            "augment: {freq_width: 6, time_masks: 1}",
        ),
    ),
    Size(10, {"features": "fbank80", "model": "pyramid-ctc", "train": "cpu", "decode": "ctc-beam"}),
    Size(
        100,
        {"features": "fbank80", "model": "conformer-ctc", "train": "transformer", "decode": "ctc-beam"},
        ("train: {epochs: 60, batch_seconds: 120, warmup_steps: 2000}",),
    ),
    Size(
        float("inf"),
        {"features": "fbank80", "model": "conformer-ctc", "train": "transformer", "decode": "ctc-beam"},
        ("train: {epochs: 20, batch_seconds: 240, warmup_steps: 5000}",),
    ),
)


UNPARTED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")  # by Unicode's names


def prepare_recipe(folder: Path, recipe: Path, wishes: Wishes, force: bool = False) -> Found:
    """Look at `folder`, and write a recipe for what is in it to `recipe`.

    Args:
        folder: recordings and transcripts; nothing in it is changed.
        recipe: the new folder: recipe.yaml, run.sh, README.md, data/<set>.jsonl, report.txt, left-out.jsonl.
        wishes: what to do otherwise than by what is found.
        force: write though `recipe` is there already.

    Raises:
        DataError: no audio, no transcripts, or too little of both.
        UsageError: `recipe` is in the way or in `folder`, or a wish that cannot be.
    """
    _refuse_places(folder, recipe, force)
    found = look(folder, wishes)
    write_recipe(found, recipe)
    return found


def write_recipe(found: Found, recipe: Path) -> None:
    """Write the files of a recipe, recipe.yaml last."""
    for name, utterances in found.sets.items():
        with atomic_write(recipe / "data" / f"{name}.jsonl") as file:
            file.writelines(_json_line(_manifest_entry(utterance)) for utterance in utterances)
    with atomic_write(recipe / "left-out.jsonl") as file:
        file.writelines(
            _json_line({"id": skip.id, "kind": skip.kind, "reason": skip.reason}) for skip in found.dropped
        )
    for name, lines in {
        "report.txt": report(found),
        "README.md": readme(found, recipe),
        "run.sh": RUN.splitlines(),
        "recipe.yaml": recipe_lines(found),
    }.items():
        with atomic_write(recipe / name) as file:
            file.write("\n".join(lines) + "\n")
    (recipe / "run.sh").chmod(0o755)


RUN = """#!/usr/bin/env bash
# The same as `asrkit train` with this folder, for hands used to Kaldi and ESPnet:
#   ./run.sh --stage 3 --stop-stage 6 [--skip-stages "4"] [--ngpu 0] [key=value ...]
set -euo pipefail
exec "${PYTHON:-python3}" -m asrkit train "$(dirname "$0")" "$@"
"""


def recipe_lines(found: Found) -> list[str]:
    """What recipe.yaml says."""
    hours = sum(u.duration for u in found.utterances("train")) / 3600
    size = next(size for size in SIZES if hours <= size.hours)
    base = dict(size.base)
    if found.sample_rate < 16000:
        base["features"] = "fbank40"  # 80 filters are finer than the spectrum of 25 ms at 8 kHz
    sections = ", ".join(f"{section}: {fragment}" for section, fragment in base.items())
    units = "word, char" if has_words(u.text for u in found.utterances()) else "char"
    return [
        "# Written by `asrkit prepare`. Settings to start from: change them at will, see `asrkit config`.",
        f"base: {{{sections}}}",
        "corpus:",
        "  name: jsonl",
        "  path: data",
        *(
            f"  {role}: {json.dumps(found.roles[role], ensure_ascii=False)}"
            for role in ("train", "dev", "test")
        ),
        f"text: {{tokenizer: char, normalizer: {found.normalizer}}}",
        f"features: {{sample_rate: {found.sample_rate}}}",
        f"check: {{max_seconds: {found.wishes.max_seconds:g}}}",
        *size.lines,
        f"score: {{units: [{units}]}}",
    ]


def has_words(texts: Iterable[str]) -> bool:
    """Whether the most letters are of a script that parts words by blanks."""
    letters = Counter("".join(character for text in texts for character in text if character.isalpha()))
    scripts = Counter[str]()
    for letter, count in letters.items():
        scripts[unicodedata.name(letter, "").partition(" ")[0]] += count
    return 2 * sum(scripts[script] for script in UNPARTED) < scripts.total()


def _manifest_entry(utterance: Utterance) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": utterance.id,
        "audio_filepath": utterance.audio,
        "duration": round(utterance.duration, 6),
        "text": utterance.text,
    }
    if utterance.start:
        entry["offset"] = utterance.start
    if utterance.speaker:
        entry["speaker"] = utterance.speaker
    return entry


def _json_line(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False)
    return (line if encodes(line) else json.dumps(value)) + "\n"


def _refuse_places(folder: Path, recipe: Path, force: bool) -> None:
    if any(place.resolve().is_relative_to(folder.resolve()) for place in (recipe, recipe / "data")):
        raise UsageError(
            f"{recipe} would lie in {folder}, in which nothing is changed", "choose another place with -o"
        )
    if recipe.exists() and not recipe.is_dir():
        raise UsageError(f"{recipe} is a file", "choose another place with -o")
    if recipe.exists() and any(recipe.iterdir()) and not force:
        raise UsageError(
            f"{recipe} is there already", "choose another place with -o, or overwrite with --force"
        )
