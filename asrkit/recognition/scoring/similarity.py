"""How alike a hypothesis and its reference are as strings: three measures from 0 (nothing) to 1 (equal).

Error rates count corrections; these measure the share of the text that is right. Upper and lower case
differ; runs of spaces count once and spaces at the ends are ignored. Two empty texts are equal; a text and an
empty one score 0.
"""

from collections import Counter
from collections.abc import Mapping
from math import sqrt
from statistics import fmean

from rapidfuzz.distance import DamerauLevenshtein

from asrkit.errors import DataError


def jaccard(a: str, b: str) -> float:
    """Words in both texts as a share of the words in either, each word once and in any order.

    Jaccard 1912; Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", section 3.3.4.
    """
    first, second = set(a.split()), set(b.split())
    return len(first & second) / len(first | second) if first or second else 1.0


def cosine(a: str, b: str) -> float:
    """Cosine of the angle between the texts' vectors of word counts: repetitions count, the order does not.

    Manning, Raghavan and Schütze 2008, "Introduction to Information Retrieval", equation 6.10, with raw
    counts as weights. Letters within a word are not compared.
    """
    first, second = Counter(a.split()), Counter(b.split())
    lengths = _squares(first) * _squares(second)
    if not lengths:
        return float(first == second)
    return sum(count * second[word] for word, count in first.items()) / sqrt(lengths)


def damerau_levenshtein(a: str, b: str) -> float:
    """1 - distance / length of the longer text, in characters, spaces included.

    The distance is the unrestricted one, a metric: the fewest insertions, deletions, substitutions and swaps
    of neighbours, where what was swapped may be edited again (Damerau 1964; Lowrance and Wagner 1975). The
    restricted one, optimal string alignment, is 3 instead of 2 between ``CA`` and ``ABC``.
    """
    return DamerauLevenshtein.normalized_similarity(" ".join(a.split()), " ".join(b.split()))


MEASURES = {"jaccard": jaccard, "cosine": cosine, "damerau_levenshtein": damerau_levenshtein}
"""Name -> measure of two texts."""


def similarity(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> dict[str, float]:
    """Mean of each measure over the utterances, each of the same weight.

    Args:
        references: utterance id -> text.
        hypotheses: the same; one that is missing counts as empty, one without a reference not at all.

    Returns:
        name in `MEASURES` -> mean, from 0 to 1.

    Raises:
        DataError: no references.
    """
    if not references:
        raise DataError("no references to compare with", "check that the reference is not empty")
    return {
        name: fmean(measure(text, hypotheses.get(id_, "")) for id_, text in references.items())
        for name, measure in MEASURES.items()
    }


def _squares(counts: Counter[str]) -> int:
    return sum(count * count for count in counts.values())
