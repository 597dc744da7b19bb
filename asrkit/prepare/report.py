"""The report of `asrkit prepare`, and the README of the recipe."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from asrkit.learning.data.corpora.common import Skipped
from asrkit.prepare.survey import Survey, foreign_characters
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.normalize import normalize

ROLES = ("train", "dev", "test")
SHOWN = 3  # examples of each reason
SHOWN_CHARACTERS = 80
CHANNELS = {1: "mono", 2: "stereo"}
COLUMNS = "  {:<16}{:>12}{:>10}{:>10}{:>12}"


def report(survey: Survey) -> list[str]:
    """Lines of the report: the content of the folder, skipped entries with reasons, chosen settings."""
    used = survey.utterances()
    others = f"; --as {' or '.join(survey.alternatives)} fits too" if survey.alternatives else ""
    lines = [
        f"{survey.folder} is read as {survey.shape}{others}",
        *_table(survey),
        *_parts(survey),
        *_skipped(survey.skipped),
        *_audio(survey, used),
        *_text(survey, used),
    ]
    return [_printable(line) for line in lines]


def next_step(recipe: Path) -> str:
    """The next command."""
    return f"asrkit train {shlex.quote(str(recipe))}"


def readme(survey: Survey, recipe: Path) -> list[str]:
    """The README of the recipe."""
    name = recipe.resolve().name
    return [
        f"# {_printable(name)}: your recordings",
        "",
        "Written by `asrkit prepare`. `data/` has a manifest per set, with the paths of the recordings;",
        "skipped entries and their reasons are in `left-out.jsonl`.",
        "",
        f"    {_printable(next_step(recipe))}",
        f"    asrkit decode --model exp/{_printable(shlex.quote(name))}/default my.wav",
        "",
        "`recipe.yaml` holds initial settings, chosen by the amount of speech; `asrkit config` shows all",
        "settings.",
        "",
        "    " + "\n    ".join(report(survey)),
    ]


def _table(survey: Survey) -> list[str]:
    rows = {name: survey.sets[name] for role in ROLES for name in survey.roles[role]}
    rows["all"] = survey.utterances()
    unit, seconds = ("hours", 3600) if _hours(rows["all"]) >= 1 else ("minutes", 60)
    lines = [COLUMNS.format("set", "utterances", unit, "speakers", "words")]
    for name, utterances in rows.items():
        length = sum(u.duration for u in utterances) / seconds
        speakers = len({u.speaker for u in utterances} - {""}) or "unknown"
        words = sum(len(u.text.split()) for u in utterances)
        lines.append(COLUMNS.format(name, f"{len(utterances):,}", f"{length:.2f}", speakers, f"{words:,}"))
    return lines


def _parts(survey: Survey) -> list[str]:
    lines = []
    if survey.drawn:
        made = " and ".join(reversed(survey.drawn))
        lines.append(f"  {made} drawn by {survey.split_by}, with seed {survey.options.seed}")
    if survey.drawn and survey.split_by == "recording" and any(u.speaker for u in survey.utterances()):
        problem = "too few speakers for parts without common speakers"
        lines.append(f"    {problem}: results do not apply to other voices")
    for name, n in survey.unused.items():
        lines.append(f"  {name}: not used, {n:,} utterances; its name stands for no part")
    shared = _in_two_parts(survey)
    if shared:
        lines.append(f"  speakers in more than one part: {_some(sorted(shared))}")
    elif any(u.speaker for u in survey.utterances()):
        lines.append("  no speaker is in two parts")
    return lines


def _in_two_parts(survey: Survey) -> set[str]:
    parts: dict[str, set[str]] = defaultdict(set)
    for role in ROLES:
        for utterance in survey.utterances(role):
            parts[utterance.speaker].add(role)
    return {speaker for speaker, roles in parts.items() if speaker and len(roles) > 1}


def _skipped(skipped: Sequence[Skipped]) -> list[str]:
    if not skipped:
        return ["  nothing was skipped"]
    kinds: dict[str, list[str]] = defaultdict(list)
    for skip in skipped:
        kinds[skip.kind or "other"].append(skip.id)
    counts = [f"    {kind}: {len(ids):,} ({_some(ids)})" for kind, ids in sorted(kinds.items())]
    return [f"  skipped: {len(skipped):,}", *counts]


def _audio(survey: Survey, used: Sequence[Utterance]) -> list[str]:
    infos = [survey.audio[path] for path in dict.fromkeys(u.audio for u in used)]
    seconds = [u.duration for u in used]
    return [
        f"  audio: {_counts(info.format for info in infos)}",
        f"    {_counts(f'{info.sample_rate} Hz' for info in infos)}; trained at {survey.sample_rate} Hz",
        f"    {_counts(CHANNELS.get(info.channels, f'{info.channels} channels') for info in infos)}",
        f"    utterances of {min(seconds):.1f} to {max(seconds):.1f} s, the median {median(seconds):.1f} s",
    ]


def _text(survey: Survey, used: Sequence[Utterance]) -> list[str]:
    name = survey.normalizer
    texts = [normalize(u.text, name) for u in used]
    characters = Counter("".join(texts).replace(" ", ""))
    shown = [f"{character} {count:,}" for character, count in characters.most_common(SHOWN_CHARACTERS)]
    more = f" and {len(characters) - len(shown)} others" if len(characters) > len(shown) else ""
    lines = [f"  text: normaliser {name}, {len(characters)} characters", f"    {', '.join(shown)}{more}"]
    foreign = [foreign_characters(text, name) for text in texts]
    if any(foreign):
        met = Counter(character for strays in foreign for character in strays)
        hours = _hours([u for u, characters in zip(used, foreign, strict=True) if characters])
        listed = ", ".join(f"{character} {count:,}" for character, count in met.most_common(SHOWN_CHARACTERS))
        lines += [
            f"    {sum(map(bool, foreign)):,} utterances ({hours:.2f} h) will be excluded from training,"
            f" because of characters outside the alphabet of {name}:",
            f"      {listed}",
            "    write numbers out, or keep all letters with --normalizer lower",
        ]
    return lines


def _printable(line: str) -> str:
    """`line` with characters escaped that cannot be printed or written as UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _hours(utterances: Sequence[Utterance]) -> float:
    return sum(u.duration for u in utterances) / 3600


def _counts(items: Iterable[str]) -> str:
    return ", ".join(f"{item} {count:,}" for item, count in Counter(items).most_common())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
