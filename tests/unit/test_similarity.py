"""String similarity against values worked by hand, scikit-learn, and a search over all edits."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics import jaccard_score
from sklearn.metrics.pairwise import cosine_similarity

from asrkit.errors import DataError
from asrkit.recognition.scoring.similarity import MEASURES, cosine, damerau_levenshtein, jaccard, similarity

WORDS = st.lists(st.sampled_from(["A", "THE", "CAT", "CATS", "ÊTRE", "'TIS"]), max_size=7).map(" ".join)


def test_hand_worked_values() -> None:
    a, b = "THE CAT SAT ON THE MAT", "THE CAT ON A MAT"
    assert jaccard(a, b) == 4 / 6  # THE CAT ON MAT, of THE CAT SAT ON MAT A
    assert cosine(a, b) == pytest.approx(5 / (8 * 5) ** 0.5)  # (2,1,1,1,1,0) and (1,1,0,1,1,1)
    assert damerau_levenshtein("GRAY FOX", "GRYA FOX") == 1 - 1 / 8  # one swap
    assert damerau_levenshtein("CA", "ABC") == pytest.approx(
        1 - 2 / 3
    )  # swap, then insert between: not OSA's 3
    assert damerau_levenshtein("KITTEN", "SITTING") == pytest.approx(1 - 3 / 7)
    assert damerau_levenshtein("AB CD", "ABCD") == 1 - 1 / 5  # the blank counts


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_ends_of_the_scale(measure: object) -> None:
    assert callable(measure)
    assert measure("", "") == measure("A  B ", " A B") == measure("  ", "") == 1
    assert measure("A B", "") == measure("", "A B") == measure("A B", "XYZ") == 0
    assert measure("A", "a") == 0


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@given(a=WORDS, b=WORDS)
@settings(max_examples=80, deadline=None)
def test_symmetry_range_and_identity(measure: object, a: str, b: str) -> None:
    assert callable(measure)
    assert measure(a, b) == pytest.approx(measure(b, a), abs=1e-15)
    assert 0 <= measure(a, b) <= 1 + 1e-12
    assert measure(a, a) == pytest.approx(1, abs=1e-12)


@given(a=WORDS.filter(bool), b=WORDS.filter(bool))
@settings(max_examples=60, deadline=None)
def test_words_against_scikit_learn(a: str, b: str) -> None:
    counts = CountVectorizer(lowercase=False, token_pattern=r"\S+").fit_transform([a, b]).toarray()
    assert cosine(a, b) == pytest.approx(cosine_similarity(counts)[0, 1])
    assert jaccard(a, b) == pytest.approx(jaccard_score(counts[0] > 0, counts[1] > 0))


def edits(text: str) -> set[str]:
    """All strings one insertion, deletion, substitution or swap of neighbours away."""
    cuts = [(text[:i], text[i:]) for i in range(len(text) + 1)]
    return (
        {a + b[1:] for a, b in cuts if b}
        | {a + c + b for a, b in cuts for c in "AB "}
        | {a + c + b[1:] for a, b in cuts if b for c in "AB "}
        | {a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1}
    )


def test_damerau_levenshtein_against_a_search_over_all_edits() -> None:
    """The distance is the shortest path from string to string; breadth first from each start."""
    starts = ["", "A", "AB", "ABA", "BAAB", "A B", "AB A"]
    compared = set()
    for start in starts:
        distance, seen, frontier = 0, {start}, {start}
        while frontier and distance < 4:
            for other in frontier:
                if other == " ".join(other.split()) and len(other) <= 4:
                    longest = max(len(start), len(other), 1)
                    assert damerau_levenshtein(start, other) == pytest.approx(1 - distance / longest)
                    compared.add((start, other))
            reached = {edited for text in frontier for edited in edits(text) if len(edited) <= 5}
            frontier, seen, distance = reached - seen, seen | reached, distance + 1
    assert len(compared) > 250


def test_mean_over_utterances() -> None:
    references = {"u1": "A B", "u2": "C", "u3": ""}
    actual = similarity(references, {"u1": "A", "u3": "", "stray": "X"})
    assert actual == pytest.approx(
        {
            "jaccard": (1 / 2 + 0 + 1) / 3,
            "cosine": (2**-0.5 + 0 + 1) / 3,
            "damerau_levenshtein": (1 / 3 + 0 + 1) / 3,
        }
    )
    assert similarity(references, references) == dict.fromkeys(MEASURES, 1.0)
    with pytest.raises(DataError, match="no reference"):
        similarity({}, {})
