"""The written form of a score: a report in the manner of sclite, and Kaldi's ``wer_details``."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.cells import cell_len

from asrkit.files import atomic_write
from asrkit.recognition.scoring.align import Edit
from asrkit.recognition.scoring.score import Score

NOTHING = "***"
"""Stands in an alignment where the other side has a token."""


def write_score(folder: Path | str, score: Score, title: str) -> None:
    """Write all there is to say about a score into a folder, each file atomically.

    ``summary`` holds the lines of :meth:`Score.lines`, ``report.txt`` the report of :func:`report`, and
    ``wer_details/`` the files ``per_utt``, ``per_spk`` and ``ops`` in Kaldi's layout.

    Args:
        folder: made where it is missing.
        score: what to write.
        title: the system's name, for the report.
    """
    folder = Path(folder)
    files = {
        "summary": score.lines(),
        "report.txt": report(score, title),
        "wer_details/per_utt": per_utterance(score),
        "wer_details/per_spk": per_speaker(score),
        "wer_details/ops": operations(score),
    }
    for name, lines in files.items():
        with atomic_write(folder / name) as file:
            file.writelines(line + "\n" for line in lines)


def report(score: Score, title: str) -> Iterator[str]:
    """Lines of a report with sclite's sections: speakers, totals, kinds of errors, alignments."""
    yield f"SYSTEM: {title}    UNIT: {score.unit}"
    yield ""
    yield from score.lines()
    yield ""
    yield from _speaker_table(score)
    yield from _performance(score)
    confusions = score.tally("S")
    yield from _tally("CONFUSION PAIRS", {f"{r} ==> {h}": n for (r, h), n in confusions.items()})
    yield from _tally("INSERTIONS", {h: n for (_, h), n in score.tally("I").items()})
    yield from _tally("DELETIONS", {r: n for (r, _), n in score.tally("D").items()})
    yield from _tally("SUBSTITUTIONS", _summed((r, n) for (r, _), n in confusions.items()))
    yield from _tally("FALSELY RECOGNIZED", _summed((h, n) for (_, h), n in confusions.items()))
    yield "ALIGNMENTS"
    for utterance in score.utterances:
        counts = utterance.counts
        yield ""
        yield f"id: ({utterance.id})"
        numbers = (counts.correct, counts.substitutions, counts.deletions, counts.insertions)
        yield f"Scores: (#C #S #D #I) {' '.join(map(str, numbers))}"
        reference, hypothesis, codes = _columns(utterance.alignment)
        yield f"REF:  {' '.join(reference)}".rstrip()
        yield f"HYP:  {' '.join(hypothesis)}".rstrip()
        yield f"Eval: {' '.join(codes).replace('C', ' ')}".rstrip()


def per_utterance(score: Score) -> Iterator[str]:
    """Kaldi's ``per_utt``: reference, hypothesis, operations, and counts of C, S, I, D of each utterance."""
    width = max((cell_len(u.id) for u in score.utterances), default=0)
    for utterance in score.utterances:
        rows = dict(zip(("ref", "hyp", "op"), _columns(utterance.alignment), strict=True))
        counts = utterance.counts
        csid = (counts.correct, counts.substitutions, counts.insertions, counts.deletions)
        rows["#csid"] = [str(number) for number in csid]
        for name, cells in rows.items():
            yield f"{_pad(utterance.id, width)} {name:<5} {'  '.join(cells)}".rstrip()


def per_speaker(score: Score) -> Iterator[str]:
    """Kaldi's ``per_spk``: counts (raw) and percentages (sys) of each speaker and of all."""
    rows = {**score.speakers, "SUM": score.total}
    width = max(15, *(cell_len(name) for name in rows))
    heads = ("#SENT", "#WORD", "Corr", "Sub", "Ins", "Del", "Err", "S.Err")
    yield f"{_pad('SPEAKER', width)} id  " + "".join(f" {head:>10}" for head in heads)
    for name, counts in rows.items():
        size = f" {counts.sentences:>10} {counts.reference:>10}"
        correct, substituted, deleted, inserted, errors, wrong = counts.percentages()
        shares = (correct, substituted, inserted, deleted, errors, wrong)
        raw = (counts.correct, counts.substitutions, counts.insertions, counts.deletions, counts.errors)
        yield f"{_pad(name, width)} raw" + size + "".join(f" {n:>10}" for n in (*raw, counts.sentences_wrong))
        yield f"{_pad(name, width)} sys" + size + "".join(f" {share:>10.2f}" for share in shares)


def operations(score: Score) -> Iterator[str]:
    """Kaldi's ``ops``: how often each token was correct, substituted, deleted or inserted."""
    names = {"C": "correct", "S": "substitution", "D": "deletion", "I": "insertion"}
    width = max((cell_len(token) for edit in score.edits for token in edit[1:]), default=0)
    for (code, reference, hypothesis), number in sorted(score.edits.items()):
        pair = (_pad(reference or NOTHING, width), _pad(hypothesis or NOTHING, width))
        yield f"{names[code]:<12}  {'  '.join(pair)}  {number}"


def _speaker_table(score: Score) -> Iterator[str]:
    rows = {**score.speakers, "Sum": score.total}
    width = max(8, *(cell_len(name) for name in rows))
    rule = f"|{'-' * (width + 2)}+-----------------+-------------------------------------------|"
    yield f"| {_pad('SPKR', width)} |  # Snt   # Wrd |   Corr    Sub    Del    Ins    Err  S.Err |"
    yield rule
    for name, counts in rows.items():
        shares = "".join(f" {share:6.1f}" for share in counts.percentages())
        yield f"| {_pad(name, width)} | {counts.sentences:6}  {counts.reference:6}  |{shares} |"
    yield ""


def _performance(score: Score) -> Iterator[str]:
    total, sentences = score.total, [u.counts for u in score.utterances]
    yield "SENTENCE RECOGNITION PERFORMANCE"
    yield ""
    yield f" sentences                                {total.sentences:11}"
    for name, number in (
        ("with errors", total.sentences_wrong),
        ("  with substitutions", sum(c.substitutions > 0 for c in sentences)),
        ("  with deletions", sum(c.deletions > 0 for c in sentences)),
        ("  with insertions", sum(c.insertions > 0 for c in sentences)),
    ):
        yield f" {name:<30}{100 * number / max(1, total.sentences):10.1f}%   ({number:6})"
    yield ""
    yield f"{score.unit.upper()} RECOGNITION PERFORMANCE"
    yield ""
    correct, substituted, deleted, inserted, errors, _ = total.percentages()
    for name, share, number in (
        ("Total Error", errors, total.errors),
        ("Correct", correct, total.correct),
        ("Substitution", substituted, total.substitutions),
        ("Deletions", deleted, total.deletions),
        ("Insertions", inserted, total.insertions),
    ):
        yield f"Percent {name:<18}= {share:6.1f}%   ({number:6})"
    for name, number in (
        ("Ref.", total.reference),
        ("Hyp.", total.correct + total.substitutions + total.insertions),
        ("Aligned", total.reference + total.insertions),
    ):
        yield f"{f'{name} {score.unit}s':<26}=           ({number:6})"
    yield ""


def _tally(title: str, numbers: dict[str, int]) -> Iterator[str]:
    yield f"{title:<32} Total ({len(numbers)})"
    yield ""
    for rank, (name, number) in enumerate(sorted(numbers.items(), key=lambda item: (-item[1], item[0])), 1):
        yield f"{rank:4}: {number:4}  ->  {name}"
    yield "     -------"
    yield f"{sum(numbers.values()):10}"
    yield ""


def _summed(numbers: Iterable[tuple[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for name, number in numbers:
        total[name] += number
    return total


def _columns(alignment: Sequence[Edit]) -> tuple[list[str], list[str], list[str]]:
    """Reference, hypothesis and codes, each padded to the width of its column."""
    rows: tuple[list[str], list[str], list[str]] = ([], [], [])
    for code, reference, hypothesis in alignment:
        cells = (reference or NOTHING, hypothesis or NOTHING, code)
        width = max(map(cell_len, cells))
        for row, cell in zip(rows, cells, strict=True):
            row.append(_pad(cell, width))
    return rows


def _pad(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
