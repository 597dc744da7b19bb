"""What is in a folder of one's own recordings and transcripts.

The corpus readers recognise its shape, every transcript is matched with its audio, and parts to train and to
test on are kept or made.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asrkit.errors import DataError, UsageError, nearest
from asrkit.learning.data.corpora import SHAPES
from asrkit.learning.data.corpora.common import (
    Entry,
    Skipped,
    names_parts,
    part_named,
    utterance_id,
)
from asrkit.progress import track
from asrkit.recognition.audio.reading import AudioInfo, audio_info, read_audio
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES, files_in
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.normalize import ALPHABETS, NORMALIZERS, normalize

MIN_SECONDS = 0.1
TAIL_SECONDS = 0.5  # read to see whether a file is whole
FOREIGN_SHARE = 0.002  # of letters outside A-Z from which a text is taken for another language than English
FIT = 1.05  # a part may be larger than it should be by this factor
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
OWN_IDS = ("kaldi", "librispeech")  # shapes in which an id is an utterance's own, wherever it stands


@dataclass(frozen=True)
class Wishes:
    """What is asked of :func:`look`.

    Attributes:
        shape: one of ``SHAPES``; empty: the surest of those that fit.
        dev, test: shares of the speech, in percent, of parts that do not exist yet.
        seed: of the choice of these parts.
        normalizer: one of ``NORMALIZERS``; empty: by the letters met.
        sample_rate: Hz; 0: by the rates met.
        max_seconds: longest utterance kept.
    """

    shape: str = ""
    dev: float = 10.0
    test: float = 10.0
    seed: int = 1
    normalizer: str = ""
    sample_rate: int = 0
    max_seconds: float = 30.0


@dataclass
class Found:
    """What is in a folder, and what becomes of it.

    Attributes:
        folder: the folder.
        shape: name of its reader.
        others: shapes that fit too.
        wishes: what was asked.
        sets: name -> utterances, with the text as the folder has it.
        roles: ``train``, ``dev``, ``test`` -> names of sets.
        split_by: what the parts made do not share, ``speaker`` or ``recording``; empty: none was made.
        made: the parts that were made.
        aside: subsets of no part -> how many utterances.
        dropped: what cannot be used.
        audio: path -> header, of every audio file that can be read.
        normalizer: the chosen one.
        sample_rate: Hz, the chosen one.
    """

    folder: Path
    shape: str
    others: list[str]
    wishes: Wishes
    sets: dict[str, list[Utterance]] = field(default_factory=dict)
    roles: dict[str, list[str]] = field(default_factory=dict)
    split_by: str = ""
    made: list[str] = field(default_factory=list)
    aside: dict[str, int] = field(default_factory=dict)
    dropped: list[Skipped] = field(default_factory=list)
    audio: dict[str, AudioInfo] = field(default_factory=dict)
    normalizer: str = ""
    sample_rate: int = 0

    def utterances(self, role: str = "") -> list[Utterance]:
        """Those of a part, or all."""
        names = self.roles[role] if role else list(self.sets)
        return [utterance for name in names for utterance in self.sets[name]]


def look(folder: Path, wishes: Wishes) -> Found:
    """What is in `folder`, with parts to train and to test on.

    Raises:
        DataError: no audio, no transcripts in a known shape, or too little that can be used.
        UsageError: `folder` is none, or a wish that cannot be.
    """
    if not folder.is_dir():
        kind = "a file" if folder.exists() else "not there"
        raise UsageError(f"{folder} is {kind}", "name the folder that holds recordings and transcripts")
    _refuse_wishes(wishes)
    files = files_in(folder)
    shapes = recognise(folder, files, wishes.shape)
    shape, *others = shapes
    found = Found(folder, shape, others, wishes)
    parts, aside = existing_parts(shapes[shape])
    collector = Collector(found)
    names = _set_names(parts)
    # Of audio that is in two parts, it is the training that goes without.
    for role in ("test", "dev", "train"):
        for subset in parts.get(role, []):
            found.sets.setdefault(names[subset], []).extend(collector.read(subset))
        found.roles[role] = list(dict.fromkeys(names[subset] for subset in parts.get(role, [])))
    if shape == "folder" and len({utterance.speaker for utterance in found.utterances()}) == 1:
        found.sets = {n: [replace(u, speaker="") for u in us] for n, us in found.sets.items()}  # say, wavs/
    found.aside = {subset: collector.count(subset) for subset in aside}
    found.dropped += _without_transcript(found, files, collector.named, [*names, *aside])
    _choose(found)
    _hold_out(found)
    return found


# ---- what is there


def recognise(folder: Path, files: Sequence[Path], wanted: str = "") -> dict[str, list[str]]:
    """The shapes that a folder has, the surest first, each with the subsets in it.

    Args:
        folder: the folder.
        files: all files in it.
        wanted: the only shape to try; empty: all.

    Raises:
        DataError: it has none.
    """
    found = {name: _reader(name).subsets(folder, files) for name in ([wanted] if wanted else SHAPES)}
    found = {name: subsets for name, subsets in found.items() if subsets}
    if found:
        return found
    looks = "; ".join(_reader(name).LAYOUT for name in SHAPES)
    count = sum(path.suffix.lower() in AUDIO_SUFFIXES for path in files)
    if wanted:
        raise DataError(f"{folder} is not of the shape {wanted}: {_reader(wanted).LAYOUT}", "leave out --as")
    if count:
        raise DataError(
            f"{count} audio files in {folder}, but no transcripts in a known shape", f"known: {looks}"
        )
    if any(path.suffix.lower() in ARCHIVES for path in files):
        raise DataError(f"no audio files in {folder}, only archives", "unpack them first")
    suffixes = " ".join(sorted(suffix.removeprefix(".") for suffix in AUDIO_SUFFIXES))
    raise DataError(f"no audio files in {folder}", f"known suffixes: {suffixes}; a shape is one of: {looks}")


def existing_parts(subsets: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Part -> subsets that are named after it, and the subsets of no part.

    Names count when one is of a ``train``, or when there are both a ``dev`` and a ``test``: then all others
    are ``train``. Else everything is ``train``, to be split.
    """
    parts = {part: [s for s in subsets if part_named(s) == part] for part in ("train", "dev", "test", "")}
    others = parts.pop("")
    if not names_parts(subsets) or not (parts["train"] or others):
        return {"train": list(subsets)}, []
    return (parts, others) if parts["train"] else (parts | {"train": others}, [])


def _set_names(parts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Subset -> name of the set it goes to: its own, or ``train`` when no name says what it is for."""
    subsets = [subset for names in parts.values() for subset in names]
    pooled = [] if len(parts) > 1 and any(map(part_named, parts["train"])) else parts["train"]
    names = {subset: _file_name(Path(subset).name) for subset in subsets}
    if len(set(names.values())) < len(names):
        names = {subset: _file_name(subset) for subset in subsets}
    return {subset: "train" if subset in pooled else name for subset, name in names.items()}


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "set"


class Collector:
    """Reads the subsets of a folder into utterances, each stretch of audio once.

    Attributes:
        named: every audio file that a transcript speaks of.
    """

    def __init__(self, found: Found) -> None:
        self.found = found
        self.named: set[str] = set()
        self._ids: set[str] = set()
        self._stretches: set[tuple[str, float, float]] = set()

    def read(self, subset: str) -> Iterator[Utterance]:
        """Utterances of a subset; what cannot be used goes to ``found.dropped``."""
        for entry in track(self._entries(subset, self.found.dropped), f"read {subset}"):
            result = self._look(entry, str(entry.audio.absolute()))
            if isinstance(result, Skipped):
                self.found.dropped.append(result)
            else:
                yield result

    def count(self, subset: str) -> int:
        """How many entries a subset has, without a look at their audio."""
        return sum(1 for _ in self._entries(subset, []))

    def _entries(self, subset: str, dropped: list[Skipped]) -> Iterator[Entry]:
        for entry in _reader(self.found.shape).entries(self.found.folder, subset, dropped):
            with suppress(ValueError):  # of names that no file can have
                self.named.add(os.path.realpath(entry.audio))
            yield entry

    def _look(self, entry: Entry, path: str) -> Utterance | Skipped:
        name, text = entry.place or entry.id, " ".join(entry.text.split())
        if not text:
            return Skipped(name, "its text is empty", "no text")
        if not encodes(path):
            return Skipped(name, f"the name of {path!r} is not UTF-8", "unreadable")
        if not encodes(text):
            return Skipped(name, "its text has half a character", "malformed")
        try:
            if path not in self.found.audio:
                self.found.audio[path] = sound_to_the_end(path)
            utterance = entry.utterance(path, self.found.audio[path].duration)
        except DataError as error:
            return Skipped(name, error.message, "unreadable" if Path(path).exists() else "no audio")
        return self._checked(replace(utterance, text=text), entry, name)

    def _checked(self, utterance: Utterance, entry: Entry, name: str) -> Utterance | Skipped:
        seconds, longest = utterance.duration, self.found.wishes.max_seconds
        if seconds < MIN_SECONDS:
            return Skipped(name, f"{seconds:.3f} s, less than {MIN_SECONDS:g} s", "too short")
        if seconds > longest:
            return Skipped(name, f"{seconds:.2f} s, more than {longest:g} s", "too long")
        stretch = (utterance.audio, round(utterance.start, 3), round(seconds, 3))
        if stretch in self._stretches:
            return Skipped(name, f"a second text for {utterance.audio}", "doubled")
        unique = utterance.id
        if unique in self._ids and self.found.shape not in OWN_IDS:
            whole = Path(str(entry.copy).removesuffix(".flac")).with_suffix("")
            unique = utterance_id(whole) + (
                f"-{round(utterance.start * 1000):07d}" if utterance.start else ""
            )
        if unique in self._ids:
            return Skipped(name, f"a second utterance of the id {unique}", "doubled")
        self._ids.add(unique)
        self._stretches.add(stretch)
        return replace(utterance, id=unique)


def sound_to_the_end(path: str) -> AudioInfo:
    """The header of an audio file whose last sounds can be read, as they cannot be of a broken download.

    Raises:
        DataError: the file is missing, empty, truncated or not audio.
    """
    info = audio_info(path)
    read_audio(path, info.sample_rate, max(0.0, info.duration - TAIL_SECONDS))
    return info


def _without_transcript(
    found: Found, files: Sequence[Path], named: set[str], subsets: Sequence[str]
) -> Iterator[Skipped]:
    """Audio that no transcript speaks of, and that no reader has named."""
    walked = [found.folder / s for s in subsets] if found.shape in ("folder", "librispeech") else []
    for path in files:
        if path.suffix.lower() not in AUDIO_SUFFIXES or any(path.is_relative_to(home) for home in walked):
            continue
        if os.path.realpath(path) not in named:
            yield Skipped(str(path.relative_to(found.folder)), "no transcript is of it", "no text")


def _choose(found: Found) -> None:
    """Choose normaliser and sample rate, and drop what the normaliser leaves nothing of."""
    wishes = found.wishes
    found.normalizer = wishes.normalizer or choose_normalizer(u.text for u in found.utterances())
    for name, utterances in found.sets.items():
        found.sets[name] = [u for u in utterances if normalize(u.text, found.normalizer)]
        found.dropped += (
            Skipped(u.id, f"the normaliser {found.normalizer} leaves nothing of {u.text!r}", "no text")
            for u in utterances
            if not normalize(u.text, found.normalizer)
        )
    found.sets = {name: utterances for name, utterances in found.sets.items() if utterances}
    found.roles = {role: [n for n in names if n in found.sets] for role, names in found.roles.items()}
    if not found.sets:
        kinds = Counter(skip.kind for skip in found.dropped)
        reasons = ", ".join(f"{kind}: {count}" for kind, count in kinds.most_common())
        first = f"the first is {found.dropped[0].id}: {found.dropped[0].reason}" if found.dropped else ""
        raise DataError(
            f"read as {found.shape}, {found.folder} has no utterance that can be used ({reasons or 'none'})",
            first or "choose another shape with --as",
        )
    seconds = [(found.audio[u.audio].sample_rate < 16000, u.duration) for u in found.utterances()]
    narrow = sum(duration for below, duration in seconds if below)
    mostly_narrow = narrow > sum(duration for _, duration in seconds) / 2
    found.sample_rate = wishes.sample_rate or (8000 if mostly_narrow else 16000)


def choose_normalizer(texts: Iterable[str]) -> str:
    """``english`` for texts in A to Z, a few strays aside; else ``lower``, which keeps all letters."""
    letters, foreign = 0, 0
    for text in texts:
        found = [character for character in text if character.isalpha()]
        letters += len(found)
        foreign += sum(not character.isascii() for character in found)
    return "lower" if foreign > FOREIGN_SHARE * letters else "english"


def foreign_characters(text: str, normalizer: str) -> set[str]:
    """Characters of a normalised text that are not in the alphabet of its normaliser, if it has one."""
    return set(text) - set(ALPHABETS[normalizer]) - {" "} if normalizer in ALPHABETS else set()


# ---- parts


def _hold_out(found: Found) -> None:
    """Make the parts that are missing, out of the training sets."""
    shares = {"test": found.wishes.test, "dev": found.wishes.dev}
    shares = {part: share for part, share in shares.items() if share and not found.roles[part]}
    training = found.utterances("train")
    if not training:
        raise DataError(f"nothing in {found.folder} is left to train on", "see its training part")
    if not shares:
        return
    held_out, found.split_by = hold_out(training, shares, found.wishes.seed, found.folder)
    found.made = list(shares)
    gone = {utterance.id for utterances in held_out.values() for utterance in utterances}
    for name in found.roles["train"]:
        found.sets[name] = [u for u in found.sets[name] if u.id not in gone]
    found.roles["train"] = [name for name in found.roles["train"] if found.sets[name]]
    for part, utterances in held_out.items():
        found.sets[part] = utterances
        found.roles[part] = [part]


def hold_out(
    utterances: Sequence[Utterance], shares: Mapping[str, float], seed: int, folder: Path
) -> tuple[dict[str, list[Utterance]], str]:
    """Choose parts of `utterances` that share no speaker with each other, nor with what is left.

    Speakers are drawn in an order that depends on the seed and their names alone, and taken as long as they
    fit. Where fewer speakers than parts are known, recordings take their place.

    Args:
        utterances: what to choose from.
        shares: part -> percent of the speech.
        seed: another one gives other parts.
        folder: what the names of recordings begin at.

    Returns:
        Part -> utterances, and what they do not share: ``speaker`` or ``recording``.

    Raises:
        DataError: too few recordings for so many parts.
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
            "more data is needed, or parts of your own: see asrkit prepare --help",
        )
    order = sorted(sizes, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    total, owner = sum(sizes.values()), {}
    for index, (part, share) in enumerate(shares.items()):
        for name in _draw(order, sizes, total * share / 100, keep=len(shares) - index):
            owner[name] = part
            order.remove(name)
    parts = {part: [u for u in utterances if owner.get(group(u)) == part] for part in shares}
    return parts, by


def _draw(order: Sequence[str], sizes: Mapping[str, float], wanted: float, keep: int) -> list[str]:
    """Names in their order as long as they fit into `wanted`; `keep` of them are left over.

    When none fits it is one: the first that is at most twice as large, or the smallest.
    """
    drawn: list[str] = []
    size = 0.0
    for name in order:
        if len(order) - len(drawn) > keep and size + sizes[name] <= wanted * FIT:
            drawn.append(name)
            size += sizes[name]
    smallest = min(order, key=lambda name: sizes[name])
    return drawn or [next((name for name in order if sizes[name] <= 2 * wanted), smallest)]


def _refuse_wishes(wishes: Wishes) -> None:
    for word, known in ((wishes.shape, SHAPES), (wishes.normalizer, NORMALIZERS)):
        if word and word not in known:
            raise UsageError(f"unknown: {word!r}", nearest(word, known))
    if wishes.dev + wishes.test > 90:
        raise UsageError(
            f"--dev {wishes.dev:g} and --test {wishes.test:g} leave too little to train on",
            "they are percent of the speech; 10 and 10 are usual",
        )


def _reader(name: str) -> Any:
    return importlib.import_module(f"asrkit.learning.data.corpora.{name}")


def encodes(text: str) -> bool:
    """Whether `text` can be written as UTF-8; names of files need not be."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
