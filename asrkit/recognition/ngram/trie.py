"""Back-off n-gram models: a trie in flat arrays, and how it scores text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from asrkit.errors import DataError

if TYPE_CHECKING:
    from asrkit.recognition.ngram.trie_kernels import NgramArrays

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
WORD_UNK_ID, BOS_ID, EOS_ID = 0, 1, 2
ROOT = 0
NEVER = -99.0  # log10; ARPA files give it to <s>, which nothing predicts
LOG_10 = math.log(10.0)


class Perplexity(NamedTuple):
    """Perplexity per word, the end of each sentence counted as a word.

    Attributes:
        including_oov: of all words, those outside the vocabulary with the probability of ``<unk>``.
        excluding_oov: without the words outside the vocabulary; they still cut the context of the next.
        words: how many words and sentence ends there are.
        oov: how many of them are outside the vocabulary.
    """

    including_oov: float
    excluding_oov: float
    words: int
    oov: int


@dataclass(frozen=True, eq=False)
class NgramModel:
    """A back-off model as a trie of n-grams in flat arrays.

    Node 0, the root, is the empty n-gram; node ``w + 1`` is the word w alone; those of higher orders follow,
    order by order. A node is found by its key, ``parent * len(words) + word``: keys rise with the nodes, so
    that the children of a node lie side by side. N nodes, the root not counted.

    Attributes:
        words: by id: ``<unk>`` 0, ``<s>`` 1, ``</s>`` 2, then the others.
        keys: int64[N], of node ``i + 1`` in place i.
        log_probs: float32[N + 1], log p(last word | the words before), natural.
        backoffs: float32[N + 1], what longer n-grams with this context that are not listed cost.
        suffixes: int32[N + 1], the longest n-gram listed that a node's n-gram ends in; of the root, itself.
        first: int64[order + 2], the first node of each order from 0, and the number of nodes.
    """

    words: list[str]
    keys: np.ndarray
    log_probs: np.ndarray
    backoffs: np.ndarray
    suffixes: np.ndarray
    first: np.ndarray

    @property
    def order(self) -> int:
        return len(self.first) - 2

    @property
    def vocabulary(self) -> list[str]:
        """The words without the special ones."""
        return self.words[3:]

    @cached_property
    def ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.words)}

    @cached_property
    def contexts(self) -> np.ndarray:
        """int32[N + 1]: the node to go on from, which is a node's own unless it is of the highest order."""
        nodes = np.arange(self.first[-1], dtype=np.int32)
        return np.where(nodes < self.first[self.order], nodes, self.suffixes)

    @property
    def start(self) -> int:
        """The context of a sentence's first word."""
        return int(self.contexts[BOS_ID + 1])

    @cached_property
    def arrays(self) -> NgramArrays:
        """What compiled code needs of the model."""
        from asrkit.recognition.ngram.trie_kernels import NgramArrays

        arrays = (self.keys, self.log_probs, self.backoffs, self.suffixes, self.contexts)
        return NgramArrays(*arrays, size=len(self.words), start=self.start, end=EOS_ID)

    def find(self, nodes: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The children int64[K] of `nodes` by `words`, both int[K]; -1 where none is, and for nodes of -1."""
        children: np.ndarray = find(self.keys, nodes, words, len(self.words))
        return children

    def advance(self, contexts: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The contexts int64[K] after `words` followed `contexts`, both int64[K]."""
        contexts = contexts.copy()
        nodes = self.find(contexts, words)
        while (missing := nodes < 0).any():
            contexts[missing] = self.suffixes[contexts[missing]]
            nodes[missing] = self.find(contexts[missing], words[missing])
        following: np.ndarray = self.contexts[nodes]
        return following

    def next_log_probs(self, context: int) -> np.ndarray:
        """log p(word | context) of every word, float32[W]."""
        first, after = np.searchsorted(self.keys, np.array([context, context + 1]) * len(self.words))
        if context == ROOT:
            row = np.zeros(len(self.words), np.float32)
        else:
            row = self.next_log_probs(int(self.suffixes[context])) + self.backoffs[context]
        row[self.keys[first:after] - context * len(self.words)] = self.log_probs[first + 1 : after + 1]
        return row

    def log_prob(self, sentence: Sequence[str]) -> float:
        """log p(the words, and then the end of the sentence)."""
        return float(self._score(np.array([BOS_ID, *self._encode(sentence), EOS_ID])).sum())

    def perplexity(self, sentences: Iterable[Sequence[str]]) -> Perplexity:
        """How well the model predicts sentences. Raises DataError if there are none."""
        encoded = ((BOS_ID, *self._encode(sentence), EOS_ID) for sentence in sentences)
        text = np.fromiter(chain.from_iterable(encoded), np.int64)
        if len(text) == 0:
            raise DataError("no text to measure perplexity on", "give at least one sentence")
        scores, known = self._score(text), text[text != BOS_ID] != WORD_UNK_ID
        including, excluding = (float(np.exp(-some.mean())) for some in (scores, scores[known]))
        return Perplexity(including, excluding, len(known), int((~known).sum()))

    def _encode(self, words: Iterable[str]) -> Iterator[int]:
        return (self.ids.get(word, WORD_UNK_ID) for word in words)

    def _score(self, text: np.ndarray) -> np.ndarray:
        """float64: log p of each word of ``<s> … </s> <s> … </s>``, except of ``<s>``."""
        node = np.full(len(text), ROOT)
        scores = np.zeros(len(text))
        for length in range(self.order):
            # node[i] is the n-gram of `length` words from i on; scores that of word i after fewer words.
            ends = np.arange(length, len(text))
            context, node = node[: len(ends)], self.find(node[: len(ends)], text[ends])
            backed_off = scores[ends] + np.where(context >= 0, self.backoffs[context], 0.0)
            scores[ends] = np.where(node >= 0, self.log_probs[node], backed_off)
        words: np.ndarray = scores[text != BOS_ID]
        return words


def find(keys: np.ndarray, nodes: np.ndarray, words: np.ndarray, vocab: int) -> np.ndarray:
    """As :meth:`NgramModel.find`, by the `keys` int64[N] of a model of `vocab` words."""
    wanted = np.where(nodes < 0, -1, nodes * vocab + words)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places + 1, -1)


def longest_suffixes(keys: np.ndarray, first: Sequence[int] | np.ndarray, vocab: int) -> np.ndarray:
    """``suffixes`` of a model with these ``keys`` and ``first`` nodes of each order."""
    from asrkit.recognition.ngram.trie_kernels import link_suffixes

    suffixes = np.zeros(first[-1], np.int32)
    link_suffixes(keys, int(first[min(2, len(first) - 1)]), vocab, suffixes)
    return suffixes
