"""N-gram language models: interpolated modified Kneser-Ney estimation, scoring, ARPA files."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.files import atomic_write

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
UNK_ID, BOS_ID, EOS_ID = 0, 1, 2
ROOT = 0
NEVER = -99.0  # log10; ARPA files give it to <s>, which nothing predicts
UNLISTED = -100.0  # log10; what KenLM gives unknown words where the file has no <unk>
FALLBACK = (0.5, 1.0, 1.5)  # discounts as lmplz --discount_fallback has them
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
        suffixes: int64[N + 1], the longest n-gram listed that a node's n-gram ends in; of the root, itself.
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
        """int64[N + 1]: the node to go on from, which is a node's own unless it is of the highest order."""
        nodes = np.arange(self.first[-1])
        return np.where(nodes < self.first[self.order], nodes, self.suffixes)

    @property
    def start(self) -> int:
        """The context of a sentence's first word."""
        return int(self.contexts[BOS_ID + 1])

    def find(self, nodes: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The children int64[K] of `nodes` by `words`, both int[K]; -1 where none is, and for nodes of -1."""
        return _find(self.keys, nodes, words, len(self.words))

    def advance(self, contexts: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The contexts int64[K] after `words` followed `contexts`, both int64[K]."""
        contexts = contexts.copy()
        nodes = self.find(contexts, words)
        while (missing := nodes < 0).any():
            contexts[missing] = self.suffixes[contexts[missing]]
            nodes[missing] = self.find(contexts[missing], words[missing])
        return self.contexts[nodes]

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
        """How well the model predicts sentences.

        Raises:
            DataError: there are no sentences.
        """
        text = np.fromiter(
            chain.from_iterable((BOS_ID, *self._encode(s), EOS_ID) for s in sentences), np.int64
        )
        if len(text) == 0:
            raise DataError("no text to measure perplexity on", "give at least one sentence")
        scores, known = self._score(text), text[text != BOS_ID] != UNK_ID
        return Perplexity(
            float(np.exp(-scores.mean())),
            float(np.exp(-scores[known].mean())),
            len(known),
            int((~known).sum()),
        )

    def _encode(self, words: Iterable[str]) -> Iterator[int]:
        return (self.ids.get(word, UNK_ID) for word in words)

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
        return scores[text != BOS_ID]

    def write_arpa(self, path: Path | str) -> None:
        """Write the model in the ARPA format, with base-10 logarithms."""
        parents, last = np.divmod(self.keys, len(self.words))
        with atomic_write(path) as file:
            file.write("\\data\\\n")
            file.writelines(
                f"ngram {n}={self.first[n + 1] - self.first[n]}\n" for n in range(1, self.order + 1)
            )
            texts = [""]
            for n in range(1, self.order + 1):
                nodes = slice(self.first[n], self.first[n + 1])
                places = slice(nodes.start - 1, nodes.stop - 1)
                above = (parents[places] - self.first[n - 1]).tolist()
                texts = [
                    f"{texts[p]} {self.words[w]}".lstrip()
                    for p, w in zip(above, last[places].tolist(), strict=True)
                ]
                log_probs, backoffs = (
                    values[nodes].astype(np.float64) / LOG_10 for values in (self.log_probs, self.backoffs)
                )
                file.write(f"\n\\{n}-grams:\n")
                file.writelines(
                    f"{p:.7g}\t{text}\t{b:.7g}\n" if b else f"{p:.7g}\t{text}\n"
                    for p, text, b in zip(log_probs.tolist(), texts, backoffs.tolist(), strict=True)
                )
            file.write("\n\\end\\\n")

    @classmethod
    def read_arpa(cls, path: Path | str) -> NgramModel:
        """Read an ARPA file of any origin.

        Raises:
            DataError: not readable, or not a whole ARPA file.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                return cls._parse(file)
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read {path}: {error}", "give an ARPA file in UTF-8") from error
        except (ValueError, IndexError) as error:
            raise DataError(f"{path} is no ARPA file: {error}", "make it again; is it cut off?") from error

    @classmethod
    def _parse(cls, file: Iterable[str]) -> NgramModel:
        lines = (line for raw in file if (line := raw.strip()))
        sizes, section = _parse_sizes(lines)
        words, ids = [UNK, BOS, EOS], {UNK: UNK_ID, BOS: BOS_ID, EOS: EOS_ID}
        keys: list[np.ndarray] = []
        log_probs = [np.zeros(1, np.float32)]
        backoffs = [np.zeros(1, np.float32)]
        suffixes = np.zeros(1, np.int64)
        for n, size in enumerate(sizes, 1):
            if section != f"\\{n}-grams:":
                raise ValueError(f"{section!r} where \\{n}-grams: should be")
            grams, section = np.zeros((size, n), np.int64), ""
            values = np.zeros((2, size), np.float32)
            for row, line in zip(range(size), lines, strict=False):
                fields = line.split()
                if not n < len(fields) <= n + 2:
                    raise ValueError(f"{line!r} among the {n}-grams")
                if n == 1 and fields[1] not in ids:
                    ids[fields[1]] = len(words)
                    words.append(fields[1])
                grams[row] = [ids.get(word, -1) for word in fields[1 : n + 1]]
                values[0, row] = float(fields[0])
                values[1, row] = float(fields[n + 1]) if len(fields) > n + 1 else 0.0
            section = next(lines, "")
            values *= np.float32(LOG_10)
            if n == 1:
                grams, values = _with_specials(grams, values, len(words))
            if (grams < 0).any():
                raise ValueError(f"a word of the {n}-grams is not among the 1-grams")
            parents = np.zeros(len(grams), np.int64)
            for column in grams.T[:-1]:
                parents = _find(np.concatenate(keys), parents, column, len(words))
            if (parents < 0).any():
                raise ValueError(f"an n-gram of {n} words whose first {n - 1} are not listed")
            new = parents * len(words) + grams[:, -1]
            order = np.argsort(new)
            if (np.diff(new[order]) == 0).any():
                raise ValueError(f"one of the {n}-grams is listed twice")
            if n > 1:
                suffixes = _longest_suffixes(np.concatenate(keys), suffixes, new[order], len(words))
            else:
                suffixes = np.zeros(len(words) + 1, np.int64)
            keys.append(new[order])
            log_probs.append(values[0, order])
            backoffs.append(values[1, order])
        if section != "\\end\\":
            raise ValueError(f"{section!r} where \\end\\ should be")
        first = np.cumsum([0, 1, *map(len, keys)])
        return cls(
            words, np.concatenate(keys), np.concatenate(log_probs), np.concatenate(backoffs), suffixes, first
        )


def estimate(sentences: Iterable[Sequence[str]], order: int) -> NgramModel:
    """Interpolated Kneser-Ney with three discounts an order, as ``lmplz`` of KenLM estimates it.

    Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", 1998, section 3
    (modified Kneser-Ney); Heafield et al., "Scalable Modified Kneser-Ney Language Model Estimation", 2013,
    section 3. N-grams of the highest order and those that begin with ``<s>`` count as often as they occur,
    all others as many different words as come before them. Unigrams are interpolated with the uniform
    distribution over the vocabulary, ``<unk>`` and ``</s>`` included, which is all that ``<unk>`` gets unless
    it occurs. Nothing is pruned.

    Args:
        sentences: of words, without ``<s>`` and ``</s>``; read once.
        order: words of the longest n-grams, 1 to 5. Where all sentences are shorter, the model's is lower.

    Raises:
        UsageError: an order out of range.
        DataError: no sentences, or ``<s>`` or ``</s>`` in one.
    """
    if not 1 <= order <= 5:
        raise UsageError(f"an n-gram model of order {order}", "choose an order from 1 to 5")
    text, words = _read(sentences)
    keys, counts, suffixes, first = _count(text, len(words), order)
    parents = np.concatenate([[ROOT], keys // len(words)])
    orders = [slice(*ends) for ends in pairwise(first[1:])]

    whole = np.zeros(first[-1], np.bool_)
    whole[BOS_ID + 1] = True
    for nodes in orders[1:]:
        whole[nodes] = whole[parents[nodes]]  # they begin as their parents do, with <s> or not
    whole[orders[-1]] = True
    adjusted = np.where(whole, counts, np.bincount(suffixes[first[2] :], minlength=first[-1]))
    adjusted[BOS_ID + 1] = 0

    # Each n-gram gives up a discount; those of a parent's children together are its back-off weight.
    discounts = np.zeros(first[-1])
    for nodes in orders:
        discounts[nodes] = _discounts(adjusted[nodes])[np.minimum(adjusted[nodes], 3)]
    total, given_up = (
        np.bincount(parents[1:], weights=values[1:], minlength=first[-1]) for values in (adjusted, discounts)
    )
    weights = np.divide(given_up, total, out=np.ones(first[-1]), where=total > 0)
    backoffs = np.log(weights).astype(np.float32)
    backoffs[ROOT] = 0.0

    probs = np.zeros(first[-1])
    probs[ROOT] = 1.0 / (len(words) - 1)
    for nodes in orders:
        above = parents[nodes]
        own = (adjusted[nodes] - discounts[nodes]) / total[above]
        probs[nodes] = own + weights[above] * probs[suffixes[nodes]]
    log_probs = np.log(probs).astype(np.float32)
    log_probs[[ROOT, BOS_ID + 1]] = 0.0, NEVER * LOG_10
    return NgramModel(words, keys, log_probs, backoffs, suffixes, first)


def _read(sentences: Iterable[Sequence[str]]) -> tuple[np.ndarray, list[str]]:
    """All sentences as ids int64, each between its ``<s>`` and ``</s>``, and the words by id."""
    ids: defaultdict[str, int] = defaultdict()
    ids.default_factory = ids.__len__
    for word in (UNK, BOS, EOS):
        ids[word]
    stream = chain.from_iterable((BOS, *sentence, EOS) for sentence in sentences)
    text = np.fromiter(map(ids.__getitem__, stream), np.int64)
    if len(text) == 0:
        raise DataError("no text to estimate a language model from", "give at least one sentence")
    begins, ends = np.flatnonzero(text == BOS_ID), np.flatnonzero(text == EOS_ID)
    if len(begins) != len(ends) or (begins[1:] != ends[:-1] + 1).any():
        raise DataError(f"a sentence holds {BOS} or {EOS}", "take them out: they are added to each sentence")
    return text, list(ids)


def _count(text: np.ndarray, vocab: int, order: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Every n-gram of the text: ``keys``, how often each occurs, ``suffixes`` and ``first`` of NgramModel.

    An n-gram at a place of the text is the n-gram one shorter there, and one more word; so each order takes
    one sort of integers.
    """
    at = text + 1  # the node at each place, -1 where a sentence ends too soon
    keys = [np.arange(vocab)]
    counts = [np.zeros(1, np.int64), np.bincount(text, minlength=vocab)]
    suffixes = [np.zeros(vocab + 1, np.int64)]
    first = [0, 1, vocab + 1]
    for n in range(2, order + 1):
        places = np.flatnonzero((at[: 1 - n] >= 0) & (text[n - 1 :] != BOS_ID)) if len(text) >= n else at[:0]
        key = at[places] * vocab + text[places + n - 1]
        by_key = np.argsort(key)
        places, key = places[by_key], key[by_key]
        new = np.diff(key, prepend=-1) != 0
        begins = np.flatnonzero(new)
        if len(begins) == 0:  # all sentences are shorter
            break
        keys.append(key[begins])
        counts.append(np.diff(begins, append=len(key)))
        suffixes.append(at[places[begins] + 1])
        at = np.full(len(text), -1)
        at[places] = first[-1] - 1 + new.cumsum()
        first.append(first[-1] + len(begins))
    return np.concatenate(keys), np.concatenate(counts), np.concatenate(suffixes), np.array(first)


def _discounts(adjusted: np.ndarray) -> np.ndarray:
    """float64[4]: what n-grams of adjusted count 0, 1, 2, and 3 or more lose (Chen & Goodman, equation 26).

    Small or artificial text may lack counts of 1, 2 or 3, or give a discount not above 0 or above the count:
    then they are 0.5, 1 and 1.5.
    """
    n = np.bincount(np.minimum(adjusted, 5), minlength=6)
    if n[1:4].all():
        y = n[1] / (n[1] + 2 * n[2])
        discounts = np.array([j - (j + 1) * y * n[j + 1] / n[j] for j in (1, 2, 3)])
        if (discounts > 0).all() and (discounts <= [1, 2, 3]).all():
            return np.array([0.0, *discounts])
    return np.array([0.0, *FALLBACK])


def _find(keys: np.ndarray, nodes: np.ndarray, words: np.ndarray, vocab: int) -> np.ndarray:
    wanted = np.where(nodes < 0, -1, nodes * vocab + words)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, places + 1, -1)


def _longest_suffixes(keys: np.ndarray, suffixes: np.ndarray, new: np.ndarray, vocab: int) -> np.ndarray:
    """`suffixes` of the nodes with `keys`, continued by those of the next order with the keys `new`."""
    parents, words = np.divmod(new, vocab)
    shorter = suffixes[parents]
    found = _find(keys, shorter, words, vocab)
    while (missing := found < 0).any():
        shorter[missing] = suffixes[shorter[missing]]
        found[missing] = _find(keys, shorter[missing], words[missing], vocab)
    return np.concatenate([suffixes, found])


def _with_specials(grams: np.ndarray, values: np.ndarray, vocab: int) -> tuple[np.ndarray, np.ndarray]:
    """The unigrams int64[V, 1] and their values float32[2, V], with those that a file need not have."""
    absent = np.setdiff1d(np.arange(vocab), grams[:, 0])
    filled = np.zeros((2, len(absent)), np.float32)
    filled[0] = np.where(absent == BOS_ID, NEVER, UNLISTED) * LOG_10
    return np.concatenate([grams, absent[:, None]]), np.concatenate([values, filled], axis=1)


def _parse_sizes(lines: Iterator[str]) -> tuple[list[int], str]:
    """How many n-grams of each order the header announces, and the line after it."""
    if not any(line == "\\data\\" for line in lines):
        raise ValueError("it has no \\data\\")
    sizes: list[int] = []
    for line in lines:
        if not line.startswith("ngram "):
            break
        order, size = line[6:].split("=")
        if int(order) != len(sizes) + 1:
            raise ValueError(f"{line!r} out of order")
        sizes.append(int(size))
    if not sizes:
        raise ValueError("it announces no n-grams")
    return sizes, line
