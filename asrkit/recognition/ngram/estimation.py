"""Estimation of n-gram models: interpolated modified Kneser-Ney, with thresholds on counts."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from asrkit.errors import UsageError
from asrkit.progress import track
from asrkit.recognition.ngram.pruning import prune_by_entropy
from asrkit.recognition.ngram.text import EncodedText
from asrkit.recognition.ngram.trie import BOS_ID, EOS_ID, LOG_10, NEVER, ROOT, WORD_UNK_ID, NgramModel

FALLBACK = (0.5, 1.0, 1.5)  # discounts as lmplz --discount_fallback has them


class Counts(NamedTuple):
    """The K different n-grams of one order, sorted; an n-gram is known by its place in its order.

    Attributes:
        parents: int32[K], the n-gram without the last word.
        words: int32[K], the last word.
        counts: int64[K], how often each occurs.
        suffixes: int32[K], the n-gram without the first word.
    """

    parents: np.ndarray
    words: np.ndarray
    counts: np.ndarray
    suffixes: np.ndarray


def estimate(
    sentences: Iterable[Sequence[str]] | EncodedText,
    order: int,
    prune: Sequence[int] = (0,),
    vocabulary: Iterable[str] | None = None,
    entropy: float = 0.0,
) -> NgramModel:
    """Interpolated Kneser-Ney with three discounts an order, as ``lmplz`` of KenLM estimates it.

    Chen & Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling", 1998, section 3
    (modified Kneser-Ney); Heafield et al., "Scalable Modified Kneser-Ney Language Model Estimation", 2013,
    section 3. N-grams of the highest order and those that begin with ``<s>`` count as often as they occur,
    all others as many different words as come before them. Unigrams are interpolated with the uniform
    distribution over the vocabulary, ``<unk>`` and ``</s>`` included, which is all that ``<unk>`` gets unless
    it occurs.

    N-grams are pruned as by lmplz's ``--prune`` and ``--limit_vocab_file``: they are counted with the others,
    which keep their discounts, and their probability mass goes to lower orders.

    Args:
        sentences: of words, without ``<s>`` and ``</s>``, read once; or a corpus.
        order: words of the longest n-grams, 1 to 8. Where no n-grams of the highest orders are left, since
            sentences are shorter or all are pruned, the model's is lower.
        prune: for each order, n-grams with at most this count are pruned. No number is lower than the
            one before; the last is also that of the orders beyond.
        vocabulary: n-grams with other words are left out, which makes these ``<unk>``. Words that the text
            does not have are added. None: the words of the text.
        entropy: entropy pruning threshold, see
            :func:`asrkit.recognition.ngram.pruning.prune_by_entropy`; 0: none.

    Raises:
        UsageError: an order out of range, or thresholds that fall.
        DataError: no sentences, or ``<s>`` or ``</s>`` in one.
    """
    if not 1 <= order <= 8:
        raise UsageError(f"an n-gram model of order {order}", "choose an order from 1 to 8")
    check_prune(prune, order)
    thresholds = [*prune, *[prune[-1]] * (order - len(prune))]
    corpus = sentences if isinstance(sentences, EncodedText) else EncodedText.of(sentences)
    listed = np.ones(len(corpus.words), np.bool_)
    if vocabulary is not None:
        wanted = dict.fromkeys(vocabulary)
        corpus = EncodedText(corpus.ids, [*dict.fromkeys((*corpus.words, *wanted))])
        listed = np.array([word in wanted for word in corpus.words])
    listed[[WORD_UNK_ID, BOS_ID, EOS_ID]] = True
    model, counts = _smooth(count_ngrams(corpus, order), corpus.words, listed, thresholds)
    counts[ROOT] = corpus.tokens + corpus.sentences
    return prune_by_entropy(model, counts, entropy) if entropy else model


def count_ngrams(corpus: EncodedText, order: int) -> list[Counts]:
    """Every n-gram of a corpus that crosses no end of a sentence, order by order.

    An n-gram at a place of the text is the n-gram one shorter there, and one more word; so each order takes
    one sort of integers.
    """
    text, vocab = corpus.ids, len(corpus.words)
    none = np.zeros(vocab, np.int32)
    found = [Counts(none, np.arange(vocab, dtype=np.int32), np.bincount(text, minlength=vocab), none)]
    at = text  # the n-gram that begins at each place, -1 where a sentence ends too soon
    for n in track(range(2, order + 1), "count n-grams"):
        places = np.flatnonzero((at[: 1 - n] >= 0) & (text[n - 1 :] != BOS_ID)).astype(np.int32)
        if len(places) == 0:  # all sentences are shorter
            break
        key = at[places].astype(np.int64) * vocab + text[places + n - 1]
        by_key = np.argsort(key)
        places, key = places[by_key], key[by_key]
        new = np.diff(key, prepend=-1) != 0
        begins = np.flatnonzero(new)
        parents, words = (part.astype(np.int32) for part in np.divmod(key[begins], vocab))
        found.append(Counts(parents, words, np.diff(begins, append=len(key)), at[places[begins] + 1]))
        at = np.full(len(text), -1, np.int32)
        at[places] = np.cumsum(new, dtype=np.int32) - 1
    return found


def check_prune(prune: Sequence[int], order: int) -> None:
    """Raises UsageError for thresholds that :func:`estimate` refuses."""
    if not 0 < len(prune) <= order or prune[0] < 0 or any(low > high for low, high in pairwise(prune)):
        raise UsageError(
            f"pruning thresholds {' '.join(map(str, prune)) or 'none'} for a model of order {order}",
            "give at most one for each order, none lower than the one before: 0 0 1",
        )


def _smooth(
    found: Sequence[Counts], words: list[str], listed: np.ndarray, thresholds: Sequence[int]
) -> tuple[NgramModel, np.ndarray]:
    """The model of the n-grams of `listed` words, bool[V], that exceed `thresholds`; and its counts."""
    listed = listed & (_frequent(found[0], thresholds[0]) | (np.arange(len(words)) <= EOS_ID))
    vocab, new_word = int(listed.sum()), np.cumsum(listed) - 1

    keys: list[np.ndarray] = []
    suffixes, log_probs, backoffs = [np.zeros(1, np.int32)], [np.zeros(1, np.float32)], []
    first, counts = [ROOT, 1], [np.zeros(1, np.int64)]
    places = np.zeros(1, np.int64)  # where the n-grams one shorter are among those kept; -1: they are not
    probs = np.array([1.0 / (vocab - 1)])
    for order, adjusted, threshold in zip(found, adjusted_counts(found), thresholds, strict=False):
        kept = listed[order.words] & (places[order.parents] >= 0)
        if len(first) > 2:
            kept &= _frequent(order, threshold)
        discounts = _discounts(adjusted)[np.minimum(adjusted, 3)]
        given_up = np.where(kept, discounts, adjusted)
        total, rest = (
            np.bincount(order.parents, weights=w, minlength=len(places)) for w in (adjusted, given_up)
        )
        weights = np.divide(rest, total, out=np.ones(len(places)), where=total > 0)
        backoffs.append(np.log(weights[places >= 0]).astype(np.float32))
        if not kept.any():
            break
        parents, last, suffix = (column[kept] for column in (order.parents, order.words, order.suffixes))
        own = (adjusted - discounts)[kept] / total[parents]
        probs = own + weights[parents] * probs[places[suffix]]
        log_probs.append(np.log(probs).astype(np.float32))
        keys.append((first[-2] + places[parents]) * vocab + new_word[last])
        suffixes.append((first[-2] + places[suffix]).astype(np.int32))
        first.append(first[-1] + len(probs))
        counts.append(order.counts[kept])
        places = np.where(kept, np.cumsum(kept) - 1, -1)
    else:
        backoffs.append(np.zeros(len(probs), np.float32))
    backoffs[0][ROOT], log_probs[1][BOS_ID] = 0.0, NEVER * LOG_10
    names = [word for word, here in zip(words, listed, strict=True) if here]
    arrays = [*map(np.concatenate, (keys, log_probs, backoffs, suffixes)), np.array(first)]
    return NgramModel(names, *arrays), np.concatenate(counts)


def _frequent(order: Counts, threshold: int) -> np.ndarray:
    return order.counts > threshold if threshold else np.ones(len(order.counts), np.bool_)


def adjusted_counts(found: Sequence[Counts]) -> list[np.ndarray]:
    """int64[K] for each order: what Kneser-Ney counts, see :func:`estimate`."""
    adjusted: list[np.ndarray] = []
    begins = found[0].words == BOS_ID
    for order, longer in pairwise(found):
        if adjusted:
            begins = begins[order.parents]
        different = np.bincount(longer.suffixes, minlength=len(order.counts))
        adjusted.append(np.where(begins, order.counts, different))
    adjusted.append(found[-1].counts.copy())
    adjusted[0][BOS_ID] = 0
    return adjusted


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
