"""Compiled loops of grapheme-to-phoneme conversion: alignment of letters with phones, and beam search.

A graphone joins one or two letters and the phones they stand for, in one of the four ``SHAPES``. Graphones
are numbered shape by shape, and within a shape by their letters and phones as digits.
"""

from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled
from asrkit.recognition.ngram.trie_kernels import NgramArrays, predict

SHAPES = ((1, 0), (1, 1), (1, 2), (2, 1))
"""Letters and phones of a graphone."""


class Entries(NamedTuple):
    """Words and their pronunciations, one after the other.

    Attributes:
        letters: int32[sum of I].
        letter_ends: int64[W + 1]; word w is ``letters[letter_ends[w] : letter_ends[w + 1]]``.
        phones: int32[sum of J].
        phone_ends: int64[W + 1], the same for the pronunciations.
        alphabet: number of different letters.
        sounds: number of different phones.
    """

    letters: np.ndarray
    letter_ends: np.ndarray
    phones: np.ndarray
    phone_ends: np.ndarray
    alphabet: int
    sounds: int


class JointModel(NamedTuple):
    """An n-gram model whose words are graphones, and the graphones of each letter and pair of letters.

    Attributes:
        ngrams: the n-gram model.
        spelled: int64[A + A * A + 1]; the graphones of the letter a are those from ``spelled[a]`` to
            ``spelled[a + 1]`` in `words`, those of the letters a, b from ``spelled[A + A * a + b]``.
        words: int64[G], the graphones as the model's words.
        alphabet: A, number of different letters.
    """

    ngrams: NgramArrays
    spelled: np.ndarray
    words: np.ndarray
    alphabet: int


@compiled
def number(shape: int, entries: Entries, i: int, j: int) -> int:
    """The graphone of a shape that begins at letter i and phone j."""
    a, p = entries.alphabet, entries.sounds
    letter: int = entries.letters[i]
    if shape == 0:
        return letter
    phone: int = entries.phones[j]
    if shape == 1:
        return a + letter * p + phone
    if shape == 2:
        second: int = entries.phones[j + 1]
        return a + a * p + (letter * p + phone) * p + second
    following: int = entries.letters[i + 1]
    return a + a * p + a * p * p + (letter * a + following) * p + phone


@compiled
def expected_counts(entries: Entries, probs: np.ndarray, counts: np.ndarray) -> float:
    """Add the expected count of each graphone to `counts`, by the forward-backward algorithm.

    Jiampojamarn, Kondrak & Sherif, "Applying Many-to-Many Alignments and Hidden Markov Models to
    Letter-to-Phoneme Conversion", NAACL-HLT 2007.

    `probs` and `counts` are float64[G], of all graphones. Returns log p(entries), without the entries whose
    probability is 0.
    """
    total = 0.0
    for w in range(entries.letter_ends.size - 1):
        i0, j0 = entries.letter_ends[w], entries.phone_ends[w]
        letters, phones = entries.letter_ends[w + 1] - i0, entries.phone_ends[w + 1] - j0
        forward = np.zeros((letters + 1, phones + 1))
        forward[0, 0] = 1.0
        for i in range(letters):
            for j in range(phones + 1):
                for shape in range(len(SHAPES)):
                    to_i, to_j = i + SHAPES[shape][0], j + SHAPES[shape][1]
                    if to_i <= letters and to_j <= phones:
                        forward[to_i, to_j] += forward[i, j] * probs[number(shape, entries, i0 + i, j0 + j)]
        whole = forward[letters, phones]
        if not whole > 0.0:
            continue
        total += np.log(whole)
        backward = np.zeros((letters + 1, phones + 1))
        backward[letters, phones] = 1.0 / whole
        for i in range(letters - 1, -1, -1):
            for j in range(phones, -1, -1):
                for shape in range(len(SHAPES)):
                    to_i, to_j = i + SHAPES[shape][0], j + SHAPES[shape][1]
                    if to_i <= letters and to_j <= phones:
                        graphone = number(shape, entries, i0 + i, j0 + j)
                        rest = probs[graphone] * backward[to_i, to_j]
                        backward[i, j] += rest
                        counts[graphone] += forward[i, j] * rest
    return total


@compiled
def best_alignments(entries: Entries, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The graphones int32[N] of all entries, one after the other, and the number of each entry's, int64[W].

    They maximise the sum of `scores`, float64[G] of all graphones; an entry whose maximum is -inf has none.
    """
    words = entries.letter_ends.size - 1
    lengths = np.zeros(words, np.int64)
    graphones = np.zeros(entries.letters.size, np.int32)
    size = 0
    for w in range(words):
        i0, j0 = entries.letter_ends[w], entries.phone_ends[w]
        letters, phones = entries.letter_ends[w + 1] - i0, entries.phone_ends[w + 1] - j0
        best = np.full((letters + 1, phones + 1), -np.inf)
        shapes = np.zeros((letters + 1, phones + 1), np.int8)
        best[0, 0] = 0.0
        for i in range(letters):
            for j in range(phones + 1):
                for shape in range(len(SHAPES)):
                    to_i, to_j = i + SHAPES[shape][0], j + SHAPES[shape][1]
                    if to_i <= letters and to_j <= phones:
                        score = best[i, j] + scores[number(shape, entries, i0 + i, j0 + j)]
                        if score > best[to_i, to_j]:
                            best[to_i, to_j], shapes[to_i, to_j] = score, shape
        if best[letters, phones] == -np.inf:
            continue
        i, j = letters, phones
        while i > 0:
            shape = shapes[i, j]
            i, j = i - SHAPES[shape][0], j - SHAPES[shape][1]
            graphones[size + lengths[w]] = number(shape, entries, i0 + i, j0 + j)
            lengths[w] += 1
        graphones[size : size + lengths[w]] = graphones[size : size + lengths[w]][::-1].copy()
        size += lengths[w]
    return graphones[:size], lengths


@compiled
def search(letters: np.ndarray, model: JointModel, beam: int) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest sequences of graphones that spell `letters`, by beam search from left to right.

    Of `letters`, int64[I], the K <= `beam` sequences kept after the last, in no order: log probabilities, the
    end included, float64[K]; words of the model int64[K, I], padded with -1 at the front.
    """
    count = letters.size
    scores = np.zeros((count + 1, beam))
    contexts = np.zeros((count + 1, beam), np.int64)
    words = np.full((count + 1, beam), -1)
    before = np.zeros((count + 1, beam), np.int64)  # letters * beam + rank, of what it continues
    sizes = np.zeros(count + 1, np.int64)
    sizes[0], contexts[0, 0] = 1, model.ngrams.start
    for i in range(1, count + 1):
        chunks = np.array([letters[i - 1], 0])
        if i > 1:
            chunks[1] = model.alphabet * (1 + letters[i - 2]) + letters[i - 1]
        room = 0
        for step in range(1, min(i, 2) + 1):
            chunk = chunks[step - 1]
            room += sizes[i - step] * (model.spelled[chunk + 1] - model.spelled[chunk])
        new_scores, new = np.empty(room), np.empty((room, 3), np.int64)
        at = 0
        for step in range(1, min(i, 2) + 1):
            chunk = chunks[step - 1]
            for rank in range(sizes[i - step]):
                for index in range(model.spelled[chunk], model.spelled[chunk + 1]):
                    word = model.words[index]
                    gain, context = predict(model.ngrams, contexts[i - step, rank], word)
                    new_scores[at] = scores[i - step, rank] + gain
                    new[at, 0], new[at, 1], new[at, 2] = context, word, (i - step) * beam + rank
                    at += 1
        kept = np.argsort(-new_scores, kind="mergesort")[:beam]
        sizes[i] = kept.size
        for rank in range(kept.size):
            scores[i, rank] = new_scores[kept[rank]]
            contexts[i, rank] = new[kept[rank], 0]
            words[i, rank] = new[kept[rank], 1]
            before[i, rank] = new[kept[rank], 2]
    paths = np.full((sizes[count], count), -1)
    for rank in range(sizes[count]):
        scores[count, rank] += predict(model.ngrams, contexts[count, rank], model.ngrams.end)[0]
        at, i, r = count, count, rank
        while i > 0:
            at -= 1
            paths[rank, at] = words[i, r]
            i, r = before[i, r] // beam, before[i, r] % beam
    return scores[count, : sizes[count]], paths
