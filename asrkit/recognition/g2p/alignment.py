"""Alignment of words with their pronunciations: every entry of a lexicon as a sequence of graphones."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from asrkit.errors import DataError
from asrkit.recognition.g2p.kernels import SHAPES, Entries, best_alignments, expected_counts
from asrkit.recognition.text.lexicon import Pronunciation

MIN_GAIN = 1e-3  # of the mean log-likelihood of an entry; EM stops below it
MAX_ITERATIONS = 30
MAX_GRAPHONES = 1 << 25  # possible ones, each of which takes some numbers during EM


def align(
    listed: Sequence[tuple[str, Pronunciation]], letters: str, sounds: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Cut words and their pronunciations into graphones.

    Graphone probabilities are estimated by expectation maximisation from a uniform start. The alignment of an
    entry then maximises the product of its graphones' probabilities, each to the power of its letters or
    phones, whichever are more: otherwise few long graphones beat many short ones.

    Args:
        listed: words and pronunciations, with at most two phones a letter.
        letters, sounds: all their letters and phones.

    Returns:
        The graphones int32[N] of all entries, one after the other, numbered as in ``kernels``, and the number
        of each entry's, int64[W].

    Raises:
        DataError: more than :data:`MAX_GRAPHONES` different graphones are possible.
    """
    kinds = [len(letters) ** spelt * len(sounds) ** spoken for spelt, spoken in SHAPES]
    if sum(kinds) > MAX_GRAPHONES:
        raise DataError(
            f"{len(letters)} letters and {len(sounds)} phones are too many to predict pronunciations",
            "switch it off with text.g2p=false",
        )
    entries = _entries(listed, letters, sounds)
    probs = np.full(sum(kinds), 1.0 / sum(kinds))
    before = -np.inf
    for _ in range(MAX_ITERATIONS):
        counts = np.zeros(len(probs))
        likelihood = expected_counts(entries, probs, counts) / len(listed)
        probs = counts / counts.sum()
        if likelihood - before < MIN_GAIN:
            break
        before = likelihood
    with np.errstate(divide="ignore"):
        values = np.repeat([max(shape) for shape in SHAPES], kinds) * np.log(probs)
    best: tuple[np.ndarray, np.ndarray] = best_alignments(entries, values)
    return best


def _entries(listed: Sequence[tuple[str, Pronunciation]], letters: str, sounds: Sequence[str]) -> Entries:
    """A lexicon with letters and phones as numbers."""

    def flat(sequences: list[Sequence[str]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        numbers = {name: index for index, name in enumerate(names)}
        ends = np.cumsum([0, *map(len, sequences)])
        return np.fromiter(map(numbers.__getitem__, chain.from_iterable(sequences)), np.int32), ends

    return Entries(
        *flat([word for word, _ in listed], letters),
        *flat([phones for _, phones in listed], sounds),
        len(letters),
        len(sounds),
    )


def graphone_rows(numbers: np.ndarray, letters: int, sounds: int) -> np.ndarray:
    """The letters and the phones of graphones by number, int32[G, 4]; -1: none."""
    rows = np.full((len(numbers), 4), -1, np.int32)
    first = 0
    for spelt, spoken in SHAPES:
        sizes = [letters] * spelt + [sounds] * spoken
        after = first + int(np.prod(sizes))
        inside = (numbers >= first) & (numbers < after)
        digits = np.unravel_index(numbers[inside] - first, sizes)
        for column, values in zip([*range(spelt), *range(2, 2 + spoken)], digits, strict=True):
            rows[inside, column] = values
        first = after
    return rows
