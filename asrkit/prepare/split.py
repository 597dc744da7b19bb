"""Training, dev and test parts: recognised by the names of subsets, or drawn from the training part."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from asrkit.errors import DataError
from asrkit.learning.data.corpora.common import names_parts, part_named
from asrkit.recognition.audio.utterance import Utterance

TOLERANCE = 1.05  # a part may be larger than its share by this factor


def existing_parts(subsets: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Part -> subsets that are named after it, and the subsets of no part.

    Names count if one of them is a ``train``, or if there are both a ``dev`` and a ``test``: then all others
    are ``train``. Otherwise everything is ``train``, to be split.
    """
    parts = {part: [s for s in subsets if part_named(s) == part] for part in ("train", "dev", "test", "")}
    others = parts.pop("")
    if not names_parts(subsets) or not (parts["train"] or others):
        return {"train": list(subsets)}, []
    return (parts, others) if parts["train"] else (parts | {"train": others}, [])


def set_names(parts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Subset -> name of its set: the subset's name, or ``train`` if no name stands for a part."""
    subsets = [subset for names in parts.values() for subset in names]
    pooled = [] if len(parts) > 1 and any(map(part_named, parts["train"])) else parts["train"]
    names = {subset: _file_name(Path(subset).name) for subset in subsets}
    if len(set(names.values())) < len(names):
        names = {subset: _file_name(subset) for subset in subsets}
    return {subset: "train" if subset in pooled else name for subset, name in names.items()}


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "set"


def hold_out(
    utterances: Sequence[Utterance], shares: Mapping[str, float], seed: int, folder: Path
) -> tuple[dict[str, list[Utterance]], str]:
    """Draw parts of `utterances` that share no speaker with each other or with the rest.

    Speakers are drawn in an order that depends only on the seed and their names, as long as they fit. If
    fewer speakers than parts are known, recordings are drawn instead, named relative to `folder`. `shares`
    are percents of the speech.

    Returns part -> utterances, and what they do not share: ``speaker`` or ``recording``. Raises DataError if
    there are too few recordings.
    """

    def recording(utterance: Utterance) -> str:
        return os.path.relpath(utterance.audio, folder)

    def speaker(utterance: Utterance) -> str:
        return utterance.speaker or recording(utterance)

    known = len({utterance.speaker for utterance in utterances} - {""})
    by, group = ("speaker", speaker) if known > len(shares) else ("recording", recording)
    sizes: dict[str, float] = {}
    for utterance in utterances:
        sizes[group(utterance)] = sizes.get(group(utterance), 0.0) + utterance.duration
    if len(sizes) <= len(shares):
        raise DataError(
            f"{len(sizes)} recordings cannot make {len(shares) + 1} parts",
            "more data is needed, or subsets named train, dev and test: see asrkit prepare --help",
        )
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    total, owner = sum(sizes.values()), {}
    for index, (part, share) in enumerate(shares.items()):
        for name in _draw(order, sizes, total * share / 100, keep=len(shares) - index):
            owner[name] = part
            order.remove(name)
    return {part: [u for u in utterances if owner.get(group(u)) == part] for part in shares}, by


def _draw(order: Sequence[str], sizes: Mapping[str, float], wanted: float, keep: int) -> list[str]:
    """Names in order as long as they fit into `wanted` seconds; at least `keep` of them remain.

    If none fits: the first that is at most twice as large, or the smallest.
    """
    drawn: list[str] = []
    size = 0.0
    for name in order:
        if len(order) - len(drawn) > keep and size + sizes[name] <= wanted * TOLERANCE:
            drawn.append(name)
            size += sizes[name]
    smallest = min(order, key=lambda name: sizes[name])
    return drawn or [next((name for name in order if sizes[name] <= 2 * wanted), smallest)]
