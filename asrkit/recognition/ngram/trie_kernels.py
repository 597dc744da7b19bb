"""Compiled loops over the trie of an n-gram model: linking suffixes, scoring word by word."""

from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled


class NgramArrays(NamedTuple):
    """What compiled code needs of an :class:`asrkit.recognition.ngram.trie.NgramModel`.

    Attributes:
        keys, log_probs, backoffs, suffixes, contexts: those of the model.
        size: number of its words.
        start: context of a sentence's first word.
        end: id of ``</s>``.
    """

    keys: np.ndarray
    log_probs: np.ndarray
    backoffs: np.ndarray
    suffixes: np.ndarray
    contexts: np.ndarray
    size: int
    start: int
    end: int


@compiled
def predict(model: NgramArrays, context: int, word: int) -> tuple[float, int]:
    """log p(word | context), and the context after it."""
    score = 0.0
    while True:
        key = context * model.size + word
        index = np.searchsorted(model.keys, key)
        if index < model.keys.size and model.keys[index] == key:
            return score + model.log_probs[index + 1], model.contexts[index + 1]
        score += model.backoffs[context]
        context = model.suffixes[context]


@compiled
def link_suffixes(keys: np.ndarray, first: int, vocab: int, suffixes: np.ndarray) -> None:
    """Fill ``suffixes[first:]``, int32[N + 1], from zero; shorter n-grams come first.

    Args:
        keys: int64[N], rising, of the nodes 1 to N: parent times `vocab` plus word.
        first: the first node of order 2.
        vocab: words in all.
    """
    begins = np.empty(len(suffixes) + 1, np.int32)  # where in `keys` the children of each node begin
    node = 0
    for index in range(len(keys)):
        while node * vocab <= keys[index]:
            begins[node] = index
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
