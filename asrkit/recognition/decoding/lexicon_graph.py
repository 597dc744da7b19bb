"""The graph of a lexicon and the word n-gram model, for the decoders that use them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled
from asrkit.errors import DataError, UsageError
from asrkit.recognition.ngram.model import WORD_UNK_ID, NgramModel, read_ngram
from asrkit.recognition.ngram.trie_kernels import NgramArrays
from asrkit.recognition.text.spellings import Spellings


class Graph(NamedTuple):
    """The token sequences of a lexicon's words, as arcs between states.

    Attributes:
        first: int64[S + 1]; the arcs that leave state s are ``first[s]`` to ``first[s + 1]``.
        token: int32[A], the token that an arc emits.
        target: int32[A], the state it leads to.
        word: int32[A], the word it ends; -1: none.
        final: bool[S], states in which an utterance may end, besides the initial state 0.
        ahead: float64[S], look-ahead: an estimate of the best score of the words that end next.
    """

    first: np.ndarray
    token: np.ndarray
    target: np.ndarray
    word: np.ndarray
    final: np.ndarray
    ahead: np.ndarray


class WordModel(NamedTuple):
    """An n-gram model for the words of a lexicon.

    Attributes:
        ngrams: the n-gram model.
        ids: int64[W], the word of `ngrams` for each word of the lexicon.
        weight: of log probabilities, at least 0.
        bonus: added for each word.
    """

    ngrams: NgramArrays
    ids: np.ndarray
    weight: float
    bonus: float


def lexicon_graph(
    spellings: Spellings,
    vocab: int,
    *,
    blank: int = -1,
    separator: int | None = None,
    silence: Sequence[int] = (),
) -> Graph:
    """The graph of all sequences of words; words that share a beginning share its states.

    Args:
        blank: a token that no spelling may hold.
        separator: token that stands between words, but not before the first or after the last.
        silence: tokens that together may come before, between and after words.

    Raises:
        DataError: a spelling is empty or holds something that is no token.
    """
    words = np.repeat(np.arange(len(spellings.words)), spellings.counts)
    lengths, flat = spellings.lengths, spellings.tokens
    if silence:
        words, lengths = np.append(words, -1), np.append(lengths, len(silence))
        flat = np.append(flat, silence)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    wrong = np.bincount(rows, (flat < 0) | (flat >= vocab) | (flat == blank), len(lengths)) + (lengths == 0)
    if wrong.any():
        row = int(wrong.argmax())
        text, spelling = spellings.words[words[row]], flat[rows == row].tolist()
        raise DataError(f"the spelling {spelling} of {text!r} in the lexicon", "use ids of tokens")
    starts = np.cumsum(lengths) - lengths
    state, states = np.zeros(len(lengths), np.int64), 1
    inside = []
    for depth in range(int(lengths.max()) - 1):
        longer = np.flatnonzero(lengths > depth + 1)
        shared, place = np.unique(state[longer] * vocab + flat[starts[longer] + depth], return_inverse=True)
        targets = states + np.arange(len(shared))
        inside.append(np.stack([shared // vocab, shared % vocab, targets, np.full(len(shared), -1)]))
        state[longer], states = targets[place], states + len(shared)
    complete = 0
    if separator is not None:
        states, complete = states + 1, states
        inside.append(np.array([[complete], [separator], [0], [-1]]))
    ends = np.stack([state, flat[starts + lengths - 1], np.full(len(state), complete), words])
    arcs = np.concatenate([*inside, ends], axis=1).astype(np.int32)
    arcs = arcs[:, np.lexsort(arcs[::-1])]
    arcs = arcs[:, np.append(True, (arcs[:, 1:] != arcs[:, :-1]).any(axis=0))]
    sources, tokens, targets, names = np.ascontiguousarray(arcs)
    final = np.arange(states) == complete
    first = np.searchsorted(sources, np.arange(states + 1))
    return Graph(first, tokens, targets, names, final, np.zeros(states))


def word_model(
    graph: Graph, words: Sequence[str], lm: NgramModel | Path | None, weight: float, bonus: float
) -> WordModel:
    """The language model for a lexicon's words, and ``graph.ahead`` filled by its unigrams.

    Without `lm`, a model of words or its ARPA file, every sentence has the log probability 0.

    Raises:
        UsageError: a negative weight.
        DataError: a faulty ARPA file.
    """
    if not weight >= 0:
        raise UsageError(f"language model weight {weight}", "it must not be negative")
    if lm is None:
        node, values = np.zeros(2, np.int32), np.zeros(2, np.float32)
        ngrams = NgramArrays(np.zeros(1, np.int64), values, values, node, node, size=1, start=0, end=0)
        model = WordModel(ngrams, np.zeros(len(words), np.int64), 0.0, float(bonus))
    else:
        lm = lm if isinstance(lm, NgramModel) else read_ngram(lm)
        ids = np.array([lm.ids.get(word, WORD_UNK_ID) for word in words])
        model = WordModel(lm.arrays, ids, float(weight), float(bonus))
    unigrams = model.ngrams.log_probs[1 + model.ids].astype(np.float64)
    look_ahead(graph, model.weight * unigrams + model.bonus)
    return model


@compiled
def look_ahead(graph: Graph, values: np.ndarray) -> None:
    """Fill ``graph.ahead`` with the highest of `values` float64[W] among the words that end next.

    It is 0 for the states in which words begin and end; the other states follow those that lead to them.
    """
    for state in range(graph.final.size - 1, -1, -1):
        best = -np.inf
        for arc in range(graph.first[state], graph.first[state + 1]):
            word = graph.word[arc]
            best = max(best, values[word] if word >= 0 else graph.ahead[graph.target[arc]])
        graph.ahead[state] = 0.0 if state == 0 or graph.final[state] else best


def check_beam(size: int, threshold: float, nbest: int = 1, tokens: int = 0) -> None:
    """Raises UsageError for a beam without room."""
    if size < 1 or nbest < 1 or tokens < 0 or not threshold > 0:
        raise UsageError(
            f"beam size {size}, threshold {threshold}, n-best {nbest}, tokens {tokens}",
            "sizes must be at least 1, the threshold above 0, tokens at least 0",
        )
