"""Error counts and rates of words, characters or phones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from asrkit.recognition.scoring.align import Edit
from asrkit.recognition.text.folding import fold39

RATES = {"word": "WER", "char": "CER", "phone": "PER", "phone39": "PER39"}
"""Unit of error -> name of its rate."""

SPACE = "<space>"


def split(text: str, unit: str) -> list[str]:
    """Tokens of a text: words and phones are what blanks separate, characters are code points.

    The space between two words counts as a character, written ``<space>``; runs of spaces count once and
    blanks at the ends not at all (as in ESPnet and jiwer). ``phone39`` are phones folded into 39 classes.

    Raises:
        DataError: a phone that cannot be folded.
    """
    words = text.split()
    if unit == "phone39":
        return fold39(words)
    if unit != "char":
        return words
    return [SPACE if char == " " else char for char in " ".join(words)]


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Counts over tokens and sentences; ``+`` adds them."""

    correct: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    sentences: int = 0
    sentences_wrong: int = 0

    @property
    def reference(self) -> int:
        """Tokens in the reference."""
        return self.correct + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors per reference token, a fraction; without any reference token, the number of errors."""
        return self.errors / max(1, self.reference)

    @property
    def sentence_rate(self) -> float:
        """Share of sentences with an error."""
        return self.sentences_wrong / max(1, self.sentences)

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.correct + other.correct,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.sentences + other.sentences,
            self.sentences_wrong + other.sentences_wrong,
        )

    def percentages(self) -> tuple[float, float, float, float, float, float]:
        """Corr, Sub, Del, Ins and Err in % of the reference, S.Err in % of the sentences."""
        share = 100 / max(1, self.reference)
        return (
            share * self.correct,
            share * self.substitutions,
            share * self.deletions,
            share * self.insertions,
            100 * self.rate,
            100 * self.sentence_rate,
        )

    def kaldi_line(self, name: str) -> str:
        """Kaldi's line, for example ``%WER 7.40 [ 57 / 773, 3 ins, 3 del, 51 sub ]``."""
        return (
            f"%{name} {100 * self.rate:.2f} [ {self.errors} / {self.reference}, {self.insertions} ins, "
            f"{self.deletions} del, {self.substitutions} sub ]"
        )

    def sentence_line(self) -> str:
        """Kaldi's line on sentences, for example ``%SER 30.77 [ 40 / 130 ]``."""
        return f"%SER {100 * self.sentence_rate:.2f} [ {self.sentences_wrong} / {self.sentences} ]"


def count(alignment: Iterable[Edit]) -> ErrorCounts:
    """Counts of one sentence."""
    codes = Counter(edit.code for edit in alignment)
    wrong = codes.keys() - {"C"}
    return ErrorCounts(codes["C"], codes["S"], codes["D"], codes["I"], 1, int(bool(wrong)))
