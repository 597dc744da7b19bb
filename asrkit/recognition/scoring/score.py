"""Scoring a set of utterances: what `asrkit score` and the score stage count."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asrkit.errors import DataError
from asrkit.recognition.scoring.align import Edit, align
from asrkit.recognition.scoring.bootstrap import confidence_interval
from asrkit.recognition.scoring.formats import read_pair
from asrkit.recognition.scoring.rates import RATES, ErrorCounts, count, split


@dataclass(frozen=True)
class ScoredUtterance:
    """One utterance: who spoke (empty if unknown), and its alignment."""

    id: str
    speaker: str
    alignment: list[Edit]
    counts: ErrorCounts


@dataclass(frozen=True)
class Score:
    """Error counts of a set of utterances.

    Attributes:
        unit: ``word``, ``char``, ``phone`` or ``phone39``.
        utterances: in the order of the references.
        missing: ids without a hypothesis; all their tokens count as deleted.
        interval: 95 % bootstrap interval of the rate, as fractions; None if not asked for or not defined.
    """

    unit: str
    utterances: list[ScoredUtterance]
    missing: list[str]
    interval: tuple[float, float] | None = None

    @cached_property
    def total(self) -> ErrorCounts:
        return sum((u.counts for u in self.utterances), ErrorCounts())

    @cached_property
    def speakers(self) -> dict[str, ErrorCounts]:
        """Counts of each known speaker, by name."""
        counts: dict[str, ErrorCounts] = {}
        for utterance in self.utterances:
            if utterance.speaker:
                counts[utterance.speaker] = counts.get(utterance.speaker, ErrorCounts()) + utterance.counts
        return dict(sorted(counts.items()))

    @cached_property
    def edits(self) -> Counter[Edit]:
        """How often each pair of reference and hypothesis token was aligned, correct ones included."""
        return Counter(edit for utterance in self.utterances for edit in utterance.alignment)

    def tally(self, code: str) -> Counter[tuple[str, str]]:
        """The (reference, hypothesis) pairs of one code; ``S`` gives the confusion pairs."""
        return Counter({(e.reference, e.hypothesis): n for e, n in self.edits.items() if e.code == code})

    def lines(self) -> list[str]:
        """The score in Kaldi's format, with the interval and missing hypotheses, if any."""
        lines = [self.total.kaldi_line(RATES[self.unit]), self.total.sentence_line()]
        if self.interval:
            low, high = (100 * end for end in self.interval)
            lines.append(f"95 % interval [ {low:.2f}, {high:.2f} ], bootstrap over utterances")
        if self.missing:
            lines.append(f"{len(self.missing)} without hypothesis, counted as deleted: {_some(self.missing)}")
        return lines


def score_texts(
    references: Mapping[str, str],
    hypotheses: Mapping[str, str],
    unit: str = "word",
    speakers: Mapping[str, str] | None = None,
    bootstrap: int = 0,
) -> Score:
    """Compare hypotheses with references; upper and lower case differ.

    Args:
        references, hypotheses: utterance id -> text; either may be empty.
        unit: ``word``, ``char``, ``phone`` or ``phone39``.
        speakers: utterance id -> speaker, for the table of speakers.
        bootstrap: samples for the confidence interval; 0 for none.

    Raises:
        DataError: no references, or hypotheses that have none.
    """
    if not references:
        raise DataError("no references to score against", "check that the reference is not empty")
    stray = [name for name in hypotheses if name not in references]
    if stray:
        message = f"{len(stray)} hypotheses without a reference: {_some(stray)}"
        raise DataError(message, "both files must use the same ids")
    utterances = []
    for name, text in references.items():
        alignment = align(split(text, unit), split(hypotheses.get(name, ""), unit))
        speaker = (speakers or {}).get(name, "")
        utterances.append(ScoredUtterance(name, speaker, alignment, count(alignment)))
    interval = None
    if bootstrap:
        errors, lengths = zip(*((u.counts.errors, u.counts.reference) for u in utterances), strict=True)
        interval = confidence_interval(errors, lengths, bootstrap)
    return Score(unit, utterances, [name for name in references if name not in hypotheses], interval)


def score_files(
    reference: Path | str, hypothesis: Path | str, unit: str = "word", bootstrap: int = 1000, form: str = ""
) -> Score:
    """Score a file of hypotheses: trn, Kaldi ``text``, or plain text paired line by line.

    The speaker is the part of an id before the first ``-``, as in sclite's ``-i rm``.

    Args:
        reference, hypothesis: files of the same form.
        unit: ``word``, ``char``, ``phone`` or ``phone39``.
        bootstrap: samples for the confidence interval; 0 for none.
        form: one of asrkit.recognition.scoring.formats.FORMS; empty: seen from the content.

    Raises:
        DataError: unreadable or malformed files, or ones that do not belong together.
    """
    references, hypotheses = read_pair(reference, hypothesis, form)
    speakers = {name: name.split("-")[0] for name in references if "-" in name}
    return score_texts(references, hypotheses, unit, speakers, bootstrap)


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
