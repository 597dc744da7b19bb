"""A recipe for a folder of recordings and transcripts. The folder itself is not changed."""

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
from asrkit.prepare.survey import Options, Survey, encodes, survey_folder
from asrkit.recognition.audio.utterance import Utterance


@dataclass(frozen=True)
class Size:
    """Initial settings for an amount of speech; they are not tuned."""

    hours: float  # of training speech, at most
    base: Mapping[str, str]  # section -> fragment
    lines: tuple[str, ...] = ()  # of recipe.yaml, further ones


CONFORMER = {"features": "fbank80", "model": "conformer-ctc", "train": "transformer", "decode": "ctc-beam"}
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
    Size(100, CONFORMER, ("train: {epochs: 60, batch_seconds: 120, warmup_steps: 2000}",)),
    Size(float("inf"), CONFORMER, ("train: {epochs: 20, batch_seconds: 240, warmup_steps: 5000}",)),
)
OTHER = "choose another folder with -o"
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")  # by Unicode's names


def prepare_recipe(folder: Path, recipe: Path, options: Options, force: bool = False) -> Survey:
    """Survey `folder`, and write a recipe for its content to `recipe`.

    Args:
        folder: recordings and transcripts; nothing in it is changed.
        recipe: the new folder: recipe.yaml, run.sh, README.md, data/<set>.jsonl, report.txt, left-out.jsonl.
        options: choices that are not left to the survey.
        force: overwrite an existing recipe.

    Raises:
        DataError: no audio, no transcripts, or too little of either.
        UsageError: `recipe` exists or is in `folder`, or an option is invalid.
    """
    _refuse_paths(folder, recipe, force)
    survey = survey_folder(folder, options)
    write_recipe(survey, recipe)
    return survey


def write_recipe(survey: Survey, recipe: Path) -> None:
    """Write the files of a recipe, recipe.yaml last."""
    for name, utterances in survey.sets.items():
        with atomic_write(recipe / "data" / f"{name}.jsonl") as file:
            file.writelines(_json_line(_manifest_entry(utterance)) for utterance in utterances)
    left_out = ({"id": skip.id, "kind": skip.kind, "reason": skip.reason} for skip in survey.skipped)
    with atomic_write(recipe / "left-out.jsonl") as file:
        file.writelines(map(_json_line, left_out))
    for name, lines in {
        "report.txt": report(survey),
        "README.md": readme(survey, recipe),
        "run.sh": RUN.splitlines(),
        "recipe.yaml": recipe_lines(survey),
    }.items():
        with atomic_write(recipe / name) as file:
            file.write("\n".join(lines) + "\n")
    (recipe / "run.sh").chmod(0o755)


RUN = """#!/usr/bin/env bash
# Runs `asrkit train` on this folder, with the options of Kaldi and ESPnet:
#   ./run.sh --stage 3 --stop-stage 6 [--skip-stages "4"] [--ngpu 0] [key=value ...]
set -euo pipefail
exec "${PYTHON:-python3}" -m asrkit train "$(dirname "$0")" "$@"
"""


def recipe_lines(survey: Survey) -> list[str]:
    """The lines of recipe.yaml."""
    hours = sum(u.duration for u in survey.utterances("train")) / 3600
    size = next(size for size in SIZES if hours <= size.hours)
    base = dict(size.base)
    if survey.sample_rate < 16000:
        base["features"] = "fbank40"  # 80 filters are finer than the spectrum of 25 ms at 8 kHz
    sections = ", ".join(f"{section}: {fragment}" for section, fragment in base.items())
    units = "word, char" if has_words(u.text for u in survey.utterances()) else "char"
    return [
        "# Written by `asrkit prepare`. Initial settings: change them as needed, see `asrkit config`.",
        f"base: {{{sections}}}",
        "corpus:",
        "  name: jsonl",
        "  path: data",
        *(
            f"  {role}: {json.dumps(survey.roles[role], ensure_ascii=False)}"
            for role in ("train", "dev", "test")
        ),
        f"text: {{tokenizer: char, normalizer: {survey.normalizer}}}",
        f"features: {{sample_rate: {survey.sample_rate}}}",
        f"check: {{max_seconds: {survey.options.max_seconds:g}}}",
        *size.lines,
        f"score: {{units: [{units}]}}",
    ]


def has_words(texts: Iterable[str]) -> bool:
    """Whether most letters are of a script that separates words by spaces."""
    letters = Counter("".join(character for text in texts for character in text if character.isalpha()))
    scripts = Counter[str]()
    for letter, count in letters.items():
        scripts[unicodedata.name(letter, "").partition(" ")[0]] += count
    return 2 * sum(scripts[script] for script in UNSPACED) < scripts.total()


def _manifest_entry(u: Utterance) -> dict[str, Any]:
    entry = {"id": u.id, "audio_filepath": u.audio, "duration": round(u.duration, 6), "text": u.text}
    optional = {"offset": u.start, "speaker": u.speaker}
    return entry | {key: value for key, value in optional.items() if value}


def _json_line(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False)
    return (line if encodes(line) else json.dumps(value)) + "\n"


def _refuse_paths(folder: Path, recipe: Path, force: bool) -> None:
    if any(path.resolve().is_relative_to(folder.resolve()) for path in (recipe, recipe / "data")):
        raise UsageError(f"{recipe} is in {folder}, which must not be changed", OTHER)
    if recipe.exists() and not recipe.is_dir():
        raise UsageError(f"{recipe} is a file", OTHER)
    if recipe.exists() and any(recipe.iterdir()) and not force:
        raise UsageError(f"{recipe} exists", f"{OTHER}, or overwrite with --force")
