"""Edit distance: how many substitutions, deletions and insertions turn one sequence into another."""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

Pair = tuple[Hashable, Hashable]


class EditAlignment(NamedTuple):
    """Two sequences side by side.

    Attributes:
        distance: substitutions + deletions + insertions.
        pairs: (reference, hypothesis) items in order; None stands opposite a deletion or an insertion.
        substitutions, deletions, insertions: how many of each. (Several alignments may have the fewest
            errors; this is one of them, and only the sum is the same for all.)
    """

    distance: int
    pairs: list[Pair]
    substitutions: int
    deletions: int
    insertions: int


def edit_distance(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> EditAlignment:
    """Align with the fewest errors (Levenshtein 1966), by the table of Wagner and Fischer (1974).

    cost[i, j] is the distance of the first i reference items from the first j hypothesis items; walking
    back from the last cell along what gave each minimum reads off the alignment. Items must not be None.
    """
    rows, columns = len(reference), len(hypothesis)
    cost = np.zeros((rows + 1, columns + 1), np.int64)
    cost[:, 0] = np.arange(rows + 1)
    cost[0, :] = np.arange(columns + 1)
    for i in range(1, rows + 1):
        for j in range(1, columns + 1):
            matched = cost[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1])
            cost[i, j] = min(matched, cost[i - 1, j] + 1, cost[i, j - 1] + 1)

    pairs: list[Pair] = []
    i, j = rows, columns
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (reference[i - 1] != hypothesis[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((reference[i], hypothesis[j]))
        elif i and cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
            pairs.append((reference[i], None))
        else:
            j -= 1
            pairs.append((None, hypothesis[j]))
    pairs.reverse()
    deletions = sum(hypothesis is None for _, hypothesis in pairs)
    insertions = sum(meant is None for meant, _ in pairs)
    distance = int(cost[rows, columns])
    return EditAlignment(distance, pairs, distance - deletions - insertions, deletions, insertions)
