"""What `asrkit prepare` found, in words: the report, and the README of the recipe."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from asrkit.learning.data.corpora.common import Skipped
from asrkit.prepare.survey import Found, foreign_characters
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.normalize import normalize

ROLES = ("train", "dev", "test")
SHOWN = 3  # examples of each reason
SHOWN_CHARACTERS = 80
CHANNELS = {1: "mono", 2: "stereo"}
COLUMNS = "  {:<16}{:>12}{:>10}{:>10}{:>12}"


def report(found: Found) -> list[str]:
    """Lines that say what was found, what was left out and why, and what was chosen."""
    used = found.utterances()
    others = f"; it could be read --as {' or '.join(found.others)} too" if found.others else ""
    lines = [
        f"{found.folder} is read as {found.shape}{others}",
        *_table(found),
        *_parts(found),
        *_left_out(found.dropped),
        *_audio(found, used),
        *_text(found, used),
    ]
    return [_printable(line) for line in lines]


def next_step(recipe: Path) -> str:
    """The command to go on with."""
    return f"asrkit train {shlex.quote(str(recipe))}"


def readme(found: Found, recipe: Path) -> list[str]:
    """The README of the recipe."""
    name = recipe.resolve().name
    return [
        f"# {_printable(name)}: recordings of one's own",
        "",
        "Written by `asrkit prepare`. `data/` has a manifest a set, with the paths of the recordings;",
        "what was left out and why is in `left-out.jsonl`.",
        "",
        f"    {_printable(next_step(recipe))}",
        f"    asrkit decode --model exp/{_printable(shlex.quote(name))}/default my.wav",
        "",
        "`recipe.yaml` holds settings to start from, chosen by the amount of speech; `asrkit config` tells",
        "what else can be set.",
        "",
        "    " + "\n    ".join(report(found)),
    ]


def _table(found: Found) -> list[str]:
    rows = {name: found.sets[name] for role in ROLES for name in found.roles[role]} | {
        "all": found.utterances()
    }
    unit, seconds = ("hours", 3600) if _hours(rows["all"]) >= 1 else ("minutes", 60)
    lines = [COLUMNS.format("set", "utterances", unit, "speakers", "words")]
    for name, utterances in rows.items():
        length = sum(u.duration for u in utterances) / seconds
        speakers = len({u.speaker for u in utterances} - {""}) or "unknown"
        words = sum(len(u.text.split()) for u in utterances)
        lines.append(COLUMNS.format(name, f"{len(utterances):,}", f"{length:.2f}", speakers, f"{words:,}"))
    return lines


def _parts(found: Found) -> list[str]:
    lines = []
    if found.made:
        made = " and ".join(reversed(found.made))
        lines.append(f"  {made} drawn by {found.split_by}, with seed {found.wishes.seed}")
    if found.made and found.split_by == "recording" and any(u.speaker for u in found.utterances()):
        lines.append(
            "    too few speakers for parts without common ones: results say little about other voices"
        )
    lines += [
        f"  {name}: left aside, {n:,} utterances; its name is of no part" for name, n in found.aside.items()
    ]
    shared = _in_two_parts(found)
    if shared:
        lines.append(f"  speakers in more than one part: {_some(sorted(shared))}")
    elif any(u.speaker for u in found.utterances()):
        lines.append("  no speaker is in two parts")
    return lines


def _in_two_parts(found: Found) -> set[str]:
    parts: dict[str, set[str]] = defaultdict(set)
    for role in ROLES:
        for utterance in found.utterances(role):
            parts[utterance.speaker].add(role)
    return {speaker for speaker, roles in parts.items() if speaker and len(roles) > 1}


def _left_out(dropped: Sequence[Skipped]) -> list[str]:
    if not dropped:
        return ["  nothing was left out"]
    kinds: dict[str, list[str]] = defaultdict(list)
    for skip in dropped:
        kinds[skip.kind or "other"].append(skip.id)
    counts = [f"    {kind}: {len(ids):,} ({_some(ids)})" for kind, ids in sorted(kinds.items())]
    return [f"  left out: {len(dropped):,}", *counts]


def _audio(found: Found, used: Sequence[Utterance]) -> list[str]:
    infos = [found.audio[path] for path in dict.fromkeys(u.audio for u in used)]
    seconds = [u.duration for u in used]
    return [
        f"  audio: {_counts(info.format for info in infos)}",
        f"    {_counts(f'{info.sample_rate} Hz' for info in infos)}; trained at {found.sample_rate} Hz",
        f"    {_counts(CHANNELS.get(info.channels, f'{info.channels} channels') for info in infos)}",
        f"    utterances of {min(seconds):.1f} to {max(seconds):.1f} s, the median {median(seconds):.1f} s",
    ]


def _text(found: Found, used: Sequence[Utterance]) -> list[str]:
    name = found.normalizer
    texts = [normalize(u.text, name) for u in used]
    characters = Counter("".join(texts).replace(" ", ""))
    shown = [f"{character} {count:,}" for character, count in characters.most_common(SHOWN_CHARACTERS)]
    more = f" and {len(characters) - len(shown)} others" if len(characters) > len(shown) else ""
    lines = [
        f"  text: normaliser {name}, {len(characters)} characters",
        f"    {', '.join(shown)}{more}",
    ]
    foreign = [foreign_characters(text, name) for text in texts]
    if any(foreign):
        met = Counter(character for found in foreign for character in found)
        hours = _hours([u for u, characters in zip(used, foreign, strict=True) if characters])
        listed = ", ".join(f"{character} {count:,}" for character, count in met.most_common(SHOWN_CHARACTERS))
        lines += [
            f"    {sum(map(bool, foreign)):,} utterances ({hours:.2f} h) will be left out of training,"
            f" for characters that {name} does not know:",
            f"      {listed}",
            "    write numbers out, or keep all letters with --normalizer lower",
        ]
    return lines


def _printable(line: str) -> str:
    """`line` with what cannot be shown, or not be written as UTF-8, escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


def _hours(utterances: Sequence[Utterance]) -> float:
    return sum(u.duration for u in utterances) / 3600


def _counts(items: Iterable[str]) -> str:
    return ", ".join(f"{item} {count:,}" for item, count in Counter(items).most_common())


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
