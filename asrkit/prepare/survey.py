"""The content of a folder of recordings and transcripts.

The corpus readers recognise its layout, every transcript is paired with its audio, and training, dev and test
parts are kept or drawn.
"""

import importlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from asrkit.errors import DataError, UsageError, nearest
from asrkit.learning.data.corpora import SHAPES
from asrkit.learning.data.corpora.common import Entry, Skipped, utterance_id
from asrkit.prepare.split import existing_parts, hold_out, set_names
from asrkit.progress import track
from asrkit.recognition.audio.reading import AudioInfo, audio_info, read_audio
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES, files_in
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.normalize import ALPHABETS, NORMALIZERS, normalize

MIN_SECONDS = 0.1
TAIL_SECONDS = 0.5  # read to detect truncated files
FOREIGN_SHARE = 0.002  # with a larger share of letters outside A to Z a text is not English
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
UNIQUE_IDS = ("kaldi", "librispeech")  # layouts whose ids are unique in the whole folder


@dataclass(frozen=True)
class Options:
    """Options of :func:`survey_folder`.

    Attributes:
        shape: one of ``SHAPES``; empty: the most reliable of those that fit.
        dev, test: shares of the speech, in percent, for missing parts.
        seed: for drawing these parts.
        normalizer: one of ``NORMALIZERS``; empty: chosen by the letters of the texts.
        sample_rate: Hz; 0: chosen by the rates of the audio.
        max_seconds: length of the longest utterance kept.
    """

    shape: str = ""
    dev: float = 10.0
    test: float = 10.0
    seed: int = 1
    normalizer: str = ""
    sample_rate: int = 0
    max_seconds: float = 30.0


@dataclass
class Survey:
    """The content of a folder, and the parts and settings chosen for it.

    Attributes:
        shape: name of the reader used.
        alternatives: other shapes that fit.
        sets: name -> utterances, with texts not normalised.
        roles: ``train``, ``dev``, ``test`` -> names of sets.
        split_by: what drawn parts do not share, ``speaker`` or ``recording``; empty: no part was drawn.
        drawn: the parts that were drawn.
        unused: subsets of no part -> number of utterances.
        audio: path -> header of every readable audio file.
        normalizer: chosen.
        sample_rate: Hz, chosen.
    """

    folder: Path
    shape: str
    alternatives: list[str]
    options: Options
    sets: dict[str, list[Utterance]] = field(default_factory=dict)
    roles: dict[str, list[str]] = field(default_factory=dict)
    split_by: str = ""
    drawn: list[str] = field(default_factory=list)
    unused: dict[str, int] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    audio: dict[str, AudioInfo] = field(default_factory=dict)
    normalizer: str = ""
    sample_rate: int = 0

    def utterances(self, role: str = "") -> list[Utterance]:
        """The utterances of a part, or all."""
        names = self.roles[role] if role else list(self.sets)
        return [utterance for name in names for utterance in self.sets[name]]


def survey_folder(folder: Path, options: Options) -> Survey:
    """The content of `folder`, with training, dev and test parts.

    Raises:
        DataError: no audio, no transcripts in a known shape, or too little that can be used.
        UsageError: `folder` is not a folder, or an option is invalid.
    """
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"{folder} {problem}", "name the folder that holds recordings and transcripts")
    _refuse_options(options)
    files = files_in(folder)
    shapes = recognise(folder, files, options.shape)
    shape, *others = shapes
    survey = Survey(folder, shape, others, options)
    parts, unused = existing_parts(shapes[shape])
    collector = Collector(survey)
    names = set_names(parts)
    # Audio that is in two parts is kept in the test or dev part.
    for role in ("test", "dev", "train"):
        for subset in parts.get(role, []):
            survey.sets.setdefault(names[subset], []).extend(collector.read(subset))
        survey.roles[role] = list(dict.fromkeys(names[subset] for subset in parts.get(role, [])))
    if shape == "folder" and len({utterance.speaker for utterance in survey.utterances()}) == 1:
        survey.sets = {n: [replace(u, speaker="") for u in us] for n, us in survey.sets.items()}  # as wavs/
    survey.unused = {subset: collector.count(subset) for subset in unused}
    survey.skipped += _without_transcript(survey, files, collector.named, [*names, *unused])
    _choose(survey)
    _hold_out(survey)
    return survey


def recognise(folder: Path, files: Sequence[Path], only: str = "") -> dict[str, list[str]]:
    """The shapes that fit a folder with `files`, the most reliable first, each with its subsets.

    `only` is the only shape to try; empty: all. Raises DataError if none fits.
    """
    subsets = {name: _reader(name).subsets(folder, files) for name in ([only] if only else SHAPES)}
    fitting = {name: names for name, names in subsets.items() if names}
    if fitting:
        return fitting
    layouts = "; ".join(_reader(name).LAYOUT for name in SHAPES)
    count = sum(path.suffix.lower() in AUDIO_SUFFIXES for path in files)
    if only:
        raise DataError(f"{folder} does not have the shape {only}: {_reader(only).LAYOUT}", "omit --as")
    if count:
        problem = f"{count} audio files in {folder}, but no transcripts in a known layout"
        raise DataError(problem, f"known: {layouts}")
    if any(path.suffix.lower() in ARCHIVES for path in files):
        raise DataError(f"no audio files in {folder}, only archives", "unpack them first")
    suffixes = " ".join(sorted(suffix.removeprefix(".") for suffix in AUDIO_SUFFIXES))
    raise DataError(f"no audio files in {folder}", f"known suffixes: {suffixes}; known layouts: {layouts}")


class Collector:
    """Reads the subsets of a folder into utterances, each span of audio once."""

    def __init__(self, survey: Survey) -> None:
        self.survey = survey
        self.named: set[str] = set()  # every audio file that a transcript refers to
        self._ids: set[str] = set()
        self._spans: set[tuple[str, float, float]] = set()

    def read(self, subset: str) -> Iterator[Utterance]:
        """Utterances of a subset; unusable entries go to ``survey.skipped``."""
        for entry in track(self._entries(subset, self.survey.skipped), f"read {subset}"):
            result = self._utterance(entry, str(entry.audio.absolute()))
            if isinstance(result, Skipped):
                self.survey.skipped.append(result)
            else:
                yield result

    def count(self, subset: str) -> int:
        """The number of entries of a subset; their audio is not opened."""
        return sum(1 for _ in self._entries(subset, []))

    def _entries(self, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
        for entry in _reader(self.survey.shape).entries(self.survey.folder, subset, skipped):
            with suppress(ValueError):  # of impossible file names
                self.named.add(os.path.realpath(entry.audio))
            yield entry

    def _utterance(self, entry: Entry, path: str) -> Utterance | Skipped:
        name, text = entry.place or entry.id, " ".join(entry.text.split())
        if not text:
            return Skipped(name, "its text is empty", "no text")
        if not encodes(path):
            return Skipped(name, f"the name of {path!r} is not UTF-8", "unreadable")
        if not encodes(text):
            return Skipped(name, "its text has an unpaired surrogate", "malformed")
        try:
            if path not in self.survey.audio:
                self.survey.audio[path] = complete_audio(path)
            utterance = entry.utterance(path, self.survey.audio[path].duration)
        except DataError as error:
            return Skipped(name, error.message, "unreadable" if Path(path).exists() else "no audio")
        return self._checked(replace(utterance, text=text), entry, name)

    def _checked(self, utterance: Utterance, entry: Entry, name: str) -> Utterance | Skipped:
        seconds, longest = utterance.duration, self.survey.options.max_seconds
        if seconds < MIN_SECONDS:
            return Skipped(name, f"{seconds:.3f} s, less than {MIN_SECONDS:g} s", "too short")
        if seconds > longest:
            return Skipped(name, f"{seconds:.2f} s, more than {longest:g} s", "too long")
        span = (utterance.audio, round(utterance.start, 3), round(seconds, 3))
        if span in self._spans:
            return Skipped(name, f"a second text for {utterance.audio}", "doubled")
        unique = utterance.id
        if unique in self._ids and self.survey.shape not in UNIQUE_IDS:
            whole = Path(str(entry.copy).removesuffix(".flac")).with_suffix("")
            begin = f"-{round(utterance.start * 1000):07d}" if utterance.start else ""
            unique = utterance_id(whole) + begin
        if unique in self._ids:
            return Skipped(name, f"a second utterance of the id {unique}", "doubled")
        self._ids.add(unique)
        self._spans.add(span)
        return replace(utterance, id=unique)


def complete_audio(path: str) -> AudioInfo:
    """The header of an audio file. Raises DataError: missing, empty, not audio, or its end cannot be read."""
    info = audio_info(path)
    read_audio(path, info.sample_rate, max(0.0, info.duration - TAIL_SECONDS))
    return info


def _without_transcript(
    survey: Survey, files: Sequence[Path], named: set[str], subsets: Sequence[str]
) -> Iterator[Skipped]:
    """Audio that no transcript refers to, and that no reader has reported."""
    walked = [survey.folder / s for s in subsets] if survey.shape in ("folder", "librispeech") else []
    for path in files:
        if path.suffix.lower() not in AUDIO_SUFFIXES or any(path.is_relative_to(home) for home in walked):
            continue
        if os.path.realpath(path) not in named:
            yield Skipped(str(path.relative_to(survey.folder)), "no transcript refers to it", "no text")


def _choose(survey: Survey) -> None:
    """Choose normaliser and sample rate, and skip utterances whose normalised text is empty."""
    options = survey.options
    survey.normalizer = options.normalizer or choose_normalizer(u.text for u in survey.utterances())
    for name, utterances in survey.sets.items():
        survey.sets[name] = [u for u in utterances if normalize(u.text, survey.normalizer)]
        empty = (u for u in utterances if not normalize(u.text, survey.normalizer))
        problem = f"is empty after the normaliser {survey.normalizer}"
        survey.skipped += (Skipped(u.id, f"{u.text!r} {problem}", "no text") for u in empty)
    survey.sets = {name: utterances for name, utterances in survey.sets.items() if utterances}
    survey.roles = {role: [n for n in names if n in survey.sets] for role, names in survey.roles.items()}
    if not survey.sets:
        kinds = Counter(skip.kind for skip in survey.skipped)
        reasons = ", ".join(f"{kind}: {count}" for kind, count in kinds.most_common())
        first = f"the first is {survey.skipped[0].id}: {survey.skipped[0].reason}" if survey.skipped else ""
        problem = f"{survey.folder}, read as {survey.shape}, has no usable utterance ({reasons or 'none'})"
        raise DataError(problem, first or "choose another shape with --as")
    seconds = [(survey.audio[u.audio].sample_rate < 16000, u.duration) for u in survey.utterances()]
    narrow = sum(duration for below, duration in seconds if below)
    mostly_narrow = narrow > sum(duration for _, duration in seconds) / 2
    survey.sample_rate = options.sample_rate or (8000 if mostly_narrow else 16000)


def choose_normalizer(texts: Iterable[str]) -> str:
    """``english`` for texts of A to Z, with few exceptions; else ``lower``, which keeps all letters."""
    letters, foreign = 0, 0
    for text in texts:
        alphabetic = [character for character in text if character.isalpha()]
        letters += len(alphabetic)
        foreign += sum(not character.isascii() for character in alphabetic)
    return "lower" if foreign > FOREIGN_SHARE * letters else "english"


def foreign_characters(text: str, normalizer: str) -> set[str]:
    """Characters of a normalised text that are not in the alphabet of its normaliser, if it has one."""
    return set(text) - set(ALPHABETS[normalizer]) - {" "} if normalizer in ALPHABETS else set()


def _hold_out(survey: Survey) -> None:
    """Draw the missing parts from the training sets."""
    shares = {"test": survey.options.test, "dev": survey.options.dev}
    shares = {part: share for part, share in shares.items() if share and not survey.roles[part]}
    training = survey.utterances("train")
    if not training:
        raise DataError(f"{survey.folder} has nothing to train on", "see its training part")
    if not shares:
        return
    held_out, survey.split_by = hold_out(training, shares, survey.options.seed, survey.folder)
    survey.drawn = list(shares)
    drawn = {utterance.id for utterances in held_out.values() for utterance in utterances}
    for name in survey.roles["train"]:
        survey.sets[name] = [u for u in survey.sets[name] if u.id not in drawn]
    survey.roles["train"] = [name for name in survey.roles["train"] if survey.sets[name]]
    survey.sets |= held_out
    survey.roles |= {part: [part] for part in held_out}


def _refuse_options(options: Options) -> None:
    for word, known in ((options.shape, SHAPES), (options.normalizer, NORMALIZERS)):
        if word and word not in known:
            raise UsageError(f"unknown: {word!r}", nearest(word, known))
    if options.dev + options.test > 90:
        raise UsageError(
            f"--dev {options.dev:g} and --test {options.test:g} leave too little to train on",
            "these are percentages of the speech; 10 and 10 are usual",
        )


def _reader(name: str) -> Any:
    return importlib.import_module(f"asrkit.learning.data.corpora.{name}")


def encodes(text: str) -> bool:
    """Whether `text` can be written as UTF-8; file names may not."""
    return text.encode(errors="ignore").decode() == text
