"""The loop that links each n-gram to its longest suffix in a model."""

from __future__ import annotations

import numpy as np

from asrkit.compiled import compiled


@compiled
def link_suffixes(keys: np.ndarray, first: int, vocab: int, suffixes: np.ndarray) -> None:
    """Fill in ``suffixes[first:]``, int32[N + 1]; the rest is zero, and shorter n-grams come first.

    Args:
        keys: int64[N], rising, of the nodes 1 to N: parent times `vocab` plus word.
        first: the first node of order 2.
        vocab: words in all.
    """
    begins = np.empty(len(suffixes) + 1, np.int32)  # where in `keys` the children of each node begin
    node = 0
    for place in range(len(keys)):
        while node * vocab <= keys[place]:
            begins[node] = place
            node += 1
    begins[node:] = len(keys)
    for node in range(first, len(suffixes)):
        parent = keys[node - 1] // vocab
        word = keys[node - 1] - parent * vocab
        shorter = np.int64(suffixes[parent])
        while shorter != 0:
            low, high = begins[shorter], begins[shorter + 1]
            wanted = shorter * vocab + word
            while low < high:
                middle = (low + high) // 2
                if keys[middle] < wanted:
                    low = middle + 1
                else:
                    high = middle
            if low < begins[shorter + 1] and keys[low] == wanted:
                break
            shorter = suffixes[shorter]
        suffixes[node] = low + 1 if shorter != 0 else word + 1
