"""What the homeworks of CMU 11-785 ask for beyond error rates: a file of answers, and a distance."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import fmean

from rapidfuzz.distance import Levenshtein

from asrkit.config import Config
from asrkit.files import atomic_write
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.labels import SILENCES

SILENCE = "[SIL]"
PHONES = [
    "[SIL]", "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH",
    "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W",
    "Y", "Z", "ZH",
]  # fmt: skip
"""Classes of HW1P2 in the order of their numbers."""
ARPABET = dict(zip(PHONES, "-a@AcWYbCdDERefghIijklmnGoOprsStTUuvwyzZ", strict=True))
"""The character that stands for each phone in a submission for HW3P2."""
PHONES_2021 = ["", "SIL", "SPN", *("H" if phone == "HH" else phone for phone in PHONES[1:])]
ARPABET_2021 = dict(zip(PHONES_2021, " .!aAhowybcdDerEfgHiIjklmnNOYpRsStTuUvW?zZ", strict=True))
"""The same in the autumn of 2021, when transcripts were numbers in this order."""


class CourseSubmission:
    """A file of answers: a character per phone (HW3P2), a label per frame (HW1P2), or text (HW4P2).

    Args:
        config: the recipe's configuration.
        sample: the sample submission found with the data, if any. Its header is used, and its first answer
            tells whether labels are numbers.
    """

    def __init__(self, config: Config, sample: Path | None) -> None:
        self.phones = "phone" in config.score.units
        self.frame_rate = config.features.signal_rate
        rows: list[list[str]] = []
        if sample is not None:
            with sample.open(encoding="utf-8-sig", newline="") as file:
                rows = list(islice(csv.reader(file), 2))
        self.header = rows[0] if rows else ["id", "label"]
        self.numbered = len(rows) > 1 and rows[1][-1].strip().isdigit()

    def distance(self, references: Mapping[str, str], hypotheses: Mapping[str, str]) -> float:
        """Mean Levenshtein distance of the answers, in characters per utterance, spaces included."""
        return fmean(
            Levenshtein.distance(self._answer(text), self._answer(hypotheses.get(id, "")))
            for id, text in references.items()
        )

    def write_transcripts(
        self, path: Path, utterances: Sequence[Utterance], hypotheses: Mapping[str, str]
    ) -> None:
        """Write an answer per utterance, in the order of the set."""
        self._write(path, (self._answer(hypotheses.get(u.id, "")) for u in utterances))

    def write_labels(
        self, path: Path, utterances: Sequence[Utterance], labels: Mapping[str, Sequence[str]]
    ) -> None:
        """Write an answer per frame, in the order of the set; silence for an unreadable utterance."""
        frames = (labels.get(u.id, [SILENCE] * round(u.duration * self.frame_rate)) for u in utterances)
        names = (SILENCE if name in SILENCES else name for row in frames for name in row)
        self._write(path, (str(PHONES.index(name)) for name in names) if self.numbered else names)

    def _answer(self, text: str) -> str:
        if not self.phones:
            return text
        phones = text.split()
        characters = ARPABET_2021 if {"SIL", "SPN", "H"} & set(phones) else ARPABET
        return "".join(characters.get(phone, "?") for phone in phones)

    def _write(self, path: Path, answers: Iterable[str]) -> None:
        with atomic_write(path) as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(self.header)
            rows.writerows(enumerate(answers))
