"""Compiled pieces of prefix beam search: the trie of prefixes, the beam, and lists of the best candidates.

A prefix is a sequence of labels: tokens in CTC prefix beam search, arcs of a lexicon's graph with a lexicon.
"""

import math
from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled


class Trie(NamedTuple):
    """Prefixes as nodes of a trie; node 0 is the empty one.

    Attributes:
        parents: int32[N], the node of the prefix without its last label.
        labels: int32[N], the last label.
        places: int32[N], position in the beam; -1: outside.
        table: int32[M], a hash table of the nodes by parent and label, with open addressing; M is a power of
            two, and 0 marks a free slot.
    """

    parents: np.ndarray
    labels: np.ndarray
    places: np.ndarray
    table: np.ndarray


@compiled
def table_size(entries: int) -> int:
    """Slots of a hash table that is at most half full."""
    slots = 4
    while slots < 2 * entries:
        slots *= 2
    return slots


@compiled
def new_trie(capacity: int, label: int) -> Trie:
    """A trie with room for `capacity` nodes; the empty prefix has the last label `label`."""
    trie = Trie(
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int32),
        np.zeros(table_size(capacity), np.int32),
    )
    trie.parents[0], trie.labels[0], trie.places[0] = 0, label, 0
    return trie


@compiled
def new_beam(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A beam of prefixes, the first of which is the empty one.

    Nodes int32[K], and float64[K] each: log probability, that of the paths that end in blank, of the others.
    """
    return np.zeros(size, np.int32), np.zeros(size), np.zeros(size), np.full(size, -np.inf)


@compiled
def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)), without the smaller one where double precision cannot represent it."""
    high, low = (a, b) if a > b else (b, a)
    if low <= high - 40.0:
        return high
    return high + math.log(1.0 + math.exp(low - high))


@compiled
def insert(scores: np.ndarray, items: np.ndarray, count: int, score: float, item: int) -> int:
    """Insert `item` into a list of `count`, best first; a full one drops its worst. Returns the new count."""
    if count < scores.size:
        count += 1
    elif score <= scores[count - 1]:
        return count
    at = count - 1
    while at > 0 and scores[at - 1] < score:
        scores[at] = scores[at - 1]
        items[at] = items[at - 1]
        at -= 1
    scores[at] = score
    items[at] = item
    return count


@compiled
def push(scores: np.ndarray, items: np.ndarray, count: int, score: float, item: int) -> int:
    """Push `item` onto a heap of `count`, worst on top; a full one drops its worst. Returns the new count."""
    if count == scores.size:
        if score <= scores[0]:
            return count
        at, below = 0, 1
        while below < count:
            if below + 1 < count and scores[below + 1] < scores[below]:
                below += 1
            if scores[below] >= score:
                break
            scores[at], items[at] = scores[below], items[below]
            at, below = below, 2 * below + 1
    else:
        at, count = count, count + 1
        while at > 0 and scores[(at - 1) >> 1] > score:
            scores[at], items[at] = scores[(at - 1) >> 1], items[(at - 1) >> 1]
            at = (at - 1) >> 1
    scores[at], items[at] = score, item
    return count


@compiled
def known_child(table: np.ndarray, parents: np.ndarray, labels: np.ndarray, node: int, label: int) -> int:
    """The trie node of prefix `node` followed by `label`; 0 if it does not exist."""
    mask = table.size - 1
    slot = ((node * 1000003 + label) * 7046029254386353131 >> 24) & mask
    while table[slot] != 0:
        child: int = table[slot]
        if parents[child] == node and labels[child] == label:
            return child
        slot = (slot + 1) & mask
    return 0


@compiled
def find_child(
    table: np.ndarray, parents: np.ndarray, labels: np.ndarray, nodes: int, node: int, label: int
) -> int:
    """The trie node of prefix `node` followed by `label`; the new node `nodes` if it does not exist yet."""
    mask = table.size - 1
    slot = ((node * 1000003 + label) * 7046029254386353131 >> 24) & mask
    while table[slot] != 0:
        child: int = table[slot]
        if parents[child] == node and labels[child] == label:
            return child
        slot = (slot + 1) & mask
    table[slot] = nodes
    parents[nodes] = node
    labels[nodes] = label
    return nodes


@compiled
def possible(log_probs: np.ndarray, floor: np.ndarray, t: int, row: np.ndarray) -> None:
    """Copy the log posteriors of frame `t` into `row`, float64[V]; -inf for those below ``floor[t]``."""
    for token in range(row.size):
        row[token] = log_probs[t, token] if log_probs[t, token] >= floor[t] else -np.inf


@compiled
def sequences(trie: Trie, nodes: np.ndarray, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The labels int32[N, T] of `nodes` at the end of each row, and their numbers int64[N]; T is `frames`."""
    labels = np.zeros((nodes.size, frames), np.int32)
    lengths = np.zeros(nodes.size, np.int64)
    for k in range(nodes.size):
        node = nodes[k]
        while node > 0:
            lengths[k] += 1
            labels[k, frames - lengths[k]] = trie.labels[node]
            node = trie.parents[node]
    return labels, lengths
