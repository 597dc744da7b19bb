"""What the homeworks of CMU 11-785 ask for beyond a recipe: a file to hand in, and a distance."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rapidfuzz.distance import Levenshtein

from asrkit.config import Config
from asrkit.files import atomic_write
from asrkit.learning.data.corpora.cmu11785 import ARPABET, ARPABET_2021, PHONES, sample_submission
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.labels import SILENCES, LabelSet, read_labels

HEADER = ["id", "label"]


class Homework:
    """How answers are written: a letter a phone (HW3P2), a label a frame (HW1P2), or text (HW4P2).

    Args:
        config: the recipe's configuration.
        source: the homework's data, where a sample submission may lie.
    """

    def __init__(self, config: Config, source: Path) -> None:
        self.frames = "frame" in config.model.heads
        self.phones = "phone" in config.score.units
        sample = sample_submission(source)
        self.header = config.corpus.submission.split(",") if config.corpus.submission else HEADER
        if sample and not config.corpus.submission:
            self.header = sample[0]
        self.numbered = self.frames and len(sample) > 1 and sample[1][-1].strip().isdigit()

    def entry(self, text: str) -> str:
        """A transcript as it is handed in."""
        if not self.phones:
            return text
        phones = text.split()
        letters = ARPABET_2021 if {"SIL", "SPN", "H"} & set(phones) else ARPABET
        return "".join(letters.get(phone, "?") for phone in phones)

    def distance(self, references: Mapping[str, str], hypotheses: Mapping[str, str]) -> float:
        """Mean Levenshtein distance of what is handed in, in characters an utterance, blanks included."""
        return fmean(
            Levenshtein.distance(self.entry(text), self.entry(hypotheses.get(id, "")))
            for id, text in references.items()
        )

    def write(self, path: Path, answers: Iterable[str]) -> None:
        """The submission file: answers numbered from 0."""
        with atomic_write(path) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(self.header)
            rows.writerows(enumerate(answers))

    def transcripts(self, utterances: Sequence[Utterance], hypotheses: Mapping[str, str]) -> list[str]:
        """An answer for each utterance."""
        return [self.entry(hypotheses.get(u.id, "")) for u in utterances]

    def labels(
        self, utterances: Sequence[Utterance], frames: Sequence[int], found: Path, names: LabelSet
    ) -> list[str]:
        """An answer for each frame: of an utterance that could not be read, silence.

        Args:
            utterances: in the order of the set.
            frames: how many each has.
            found: file of the likeliest labels.
            names: of the labels.
        """
        answers = list(PHONES) if self.numbered else []
        by_id = {id: [names.names[x] for x in labels] for id, labels in read_labels(found, names)}
        flat = [
            name
            for utterance, count in zip(utterances, frames, strict=True)
            for name in by_id.get(utterance.id, [names.names[0]] * count)
        ]
        flat = [PHONES[0] if name in SILENCES else name for name in flat]
        return [str(answers.index(name)) for name in flat] if self.numbered else flat
