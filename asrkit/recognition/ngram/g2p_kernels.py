"""Compiled loops of grapheme-to-phoneme conversion: aligning letters with phones, and searching for phones.

A graphone joins one or two letters and the phones they stand for, in one of the four ``SHAPES``. Graphones
are numbered shape by shape, and within one by their letters and phones as digits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled

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
    """An n-gram model of graphones, as ``ngram.model.NgramModel`` has it, and what it may predict.

    Attributes:
        keys, log_probs, backoffs, suffixes, contexts: the model's.
        size: number of its words.
        start: context of the first graphone.
        end: its word for the end.
        spelled: int64[A + A * A + 1]; the graphones of the letter a are those from ``spelled[a]`` to
            ``spelled[a + 1]`` in `words`, those of the letters a, b from ``spelled[A + A * a + b]``.
        words: int64[G], the graphones as the model's words.
        alphabet: A, number of different letters.
    """

    keys: np.ndarray
    log_probs: np.ndarray
    backoffs: np.ndarray
    suffixes: np.ndarray
    contexts: np.ndarray
    size: int
    start: int
    end: int
    spelled: np.ndarray
    words: np.ndarray
    alphabet: int


@compiled
def number(shape: int, entries: Entries, i: int, j: int) -> int:
    """The graphone of a shape that begins at letter i and phone j."""
    a, p = entries.alphabet, entries.sounds
    letter = entries.letters[i]
    if shape == 0:
        return letter
    phone = entries.phones[j]
    if shape == 1:
        return a + letter * p + phone
    if shape == 2:
        return a + a * p + (letter * p + phone) * p + entries.phones[j + 1]
    return a + a * p + a * p * p + (letter * a + entries.letters[i + 1]) * p + phone


@compiled
def expected_counts(entries: Entries, probs: np.ndarray, counts: np.ndarray) -> float:
    """Add to `counts` how often each graphone is expected, by the forward-backward algorithm.

    Jiampojamarn, Kondrak & Sherif, "Applying Many-to-Many Alignments and Hidden Markov Models to
    Letter-to-Phoneme Conversion", NAACL-HLT 2007, on many-to-many alignments.

    Args:
        entries: what to align.
        probs: float64[G] of all graphones.
        counts: float64[G].

    Returns:
        log p(entries). An entry without an alignment of probability above 0 is passed over.
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
    """The graphones int32[N] of all entries, one after the other, and how many each has, int64[W].

    Those whose `scores`, float64[G] of all graphones, have the highest sum; none where that is -inf.
    """
    words = entries.letter_ends.size - 1
    lengths = np.zeros(words, np.int64)
    found = np.zeros(entries.letters.size, np.int32)
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
            found[size + lengths[w]] = number(shape, entries, i0 + i, j0 + j)
            lengths[w] += 1
        found[size : size + lengths[w]] = found[size : size + lengths[w]][::-1].copy()
        size += lengths[w]
    return found[:size], lengths


@compiled
def predict(model: JointModel, context: int, word: int) -> tuple[float, int]:
    """log p(word | context), and the context after it."""
    score = 0.0
    while True:
        key = context * model.size + word
        place = np.searchsorted(model.keys, key)
        if place < model.keys.size and model.keys[place] == key:
            return score + model.log_probs[place + 1], model.contexts[place + 1]
        score += model.backoffs[context]
        context = model.suffixes[context]


@compiled
def search(letters: np.ndarray, model: JointModel, beam: int) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest sequences of graphones that spell `letters`, by beam search from left to right.

    Args:
        letters: int64[I].
        model: of graphones.
        beam: sequences kept after each letter.

    Returns:
        their log probabilities, the end included, float64[K], and the model's words int64[K, I], filled up
        with -1 at the front; in no order.
    """
    count = letters.size
    scores = np.zeros((count + 1, beam))
    contexts = np.zeros((count + 1, beam), np.int64)
    words = np.full((count + 1, beam), -1)
    before = np.zeros((count + 1, beam), np.int64)  # place and rank of what it continues, as one number
    sizes = np.zeros(count + 1, np.int64)
    sizes[0], contexts[0, 0] = 1, model.start
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
                for place in range(model.spelled[chunk], model.spelled[chunk + 1]):
                    word = model.words[place]
                    gain, context = predict(model, contexts[i - step, rank], word)
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
    found = np.full((sizes[count], count), -1)
    for rank in range(sizes[count]):
        scores[count, rank] += predict(model, contexts[count, rank], model.end)[0]
        at, i, r = count, count, rank
        while i > 0:
            at -= 1
            found[rank, at] = words[i, r]
            i, r = before[i, r] // beam, before[i, r] % beam
    return scores[count, : sizes[count]], found
