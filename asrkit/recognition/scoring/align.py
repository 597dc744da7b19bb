"""Alignment of a hypothesis with its reference, by the fewest errors."""

from collections.abc import Sequence
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

_CODES = {"equal": "C", "replace": "S", "delete": "D", "insert": "I"}


class Edit(NamedTuple):
    """One step of an alignment.

    Attributes:
        code: ``C`` correct, ``S`` substitution, ``D`` deletion, ``I`` insertion.
        reference: the reference token; empty for an insertion.
        hypothesis: the hypothesis token; empty for a deletion.
    """

    code: str
    reference: str
    hypothesis: str


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[Edit]:
    """Align two token sequences with the least number of errors, each kind of error costing one.

    sclite instead weighs a substitution 4 and the others 3; it may then prefer a deletion and an insertion
    to two substitutions, and its total can be a little higher.
    """
    edits: list[Edit] = []
    for block in Levenshtein.opcodes(reference, hypothesis):
        before = reference[block.src_start : block.src_end]
        after = hypothesis[block.dest_start : block.dest_end]
        width = max(len(before), len(after))
        blank = [""] * width
        edits.extend(map(Edit, _CODES[block.tag] * width, before or blank, after or blank))
    return edits
