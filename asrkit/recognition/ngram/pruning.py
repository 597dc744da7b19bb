"""Entropy pruning of n-gram models."""

import dataclasses

import numpy as np

from asrkit.recognition.ngram.trie import NgramModel, longest_suffixes

EMPTY = 1e-6  # of less probability than this nothing can be said in single precision


def prune_by_entropy(model: NgramModel, counts: np.ndarray, threshold: float) -> NgramModel:
    """Remove the n-grams whose removal raises the perplexity by less than `threshold`, relative.

    Stolcke, "Entropy-based Pruning of Backoff Language Models", 1998, section 3: each n-gram is judged by the
    relative entropy between the model and the one without it alone; those that longer ones begin with stay.
    Contexts have the probability of their counts and not that of the model, whose lower orders under
    Kneser-Ney say little of it: Chelba et al., "Study on Interaction between Entropy Pruning and Kneser-Ney
    Smoothing", 2010.

    Args:
        model: one in which every n-gram's suffix is listed.
        counts: int[N + 1], how often each node's n-gram occurs; of the root, all words of the text.
        threshold: entropy pruning threshold, such as 1e-8.
    """
    parents = np.concatenate([[0], model.keys // len(model.words)])
    kept = np.ones(len(parents), np.bool_)
    for n in range(model.order, 1, -1):
        nodes, longer = np.arange(model.first[n], model.first[n + 1]), slice(model.first[n + 1], None)
        contexts = parents[nodes]
        log_p, log_lower = (model.log_probs[x].astype(np.float64) for x in (nodes, model.suffixes[nodes]))
        backoff = model.backoffs[contexts].astype(np.float64)
        p, lower = np.exp(log_p), np.exp(log_lower)
        # `left` is the probability that a context gives by backing off, `left_lower` what those words have.
        left_lower = np.maximum(1.0 - np.bincount(contexts, weights=lower), 0.0)[contexts]
        left = np.exp(backoff) * left_lower
        change = np.log((left + p) / (left_lower + lower)) - backoff
        lost = -counts[contexts] / counts[0] * (p * (log_lower + backoff + change - log_p) + left * change)
        kept[nodes] = np.expm1(lost) >= threshold
        kept[parents[longer][kept[longer]]] = True
    return _normalised(_only(model, kept))


def _only(model: NgramModel, kept: np.ndarray) -> NgramModel:
    """The model of the nodes that are `kept`, bool[N + 1]."""
    vocab, place = len(model.words), np.cumsum(kept) - 1
    parents, words = np.divmod(model.keys[kept[1:]], vocab)
    keys = place[parents] * vocab + words
    first = np.unique(np.concatenate([[0], 1 + place[model.first[1:] - 1]]))
    values = (model.log_probs[kept], model.backoffs[kept])
    return NgramModel(model.words, keys, *values, longest_suffixes(keys, first, vocab), first)


def _normalised(model: NgramModel) -> NgramModel:
    """The model with back-offs by which the probabilities after every context sum to one."""
    parents, words = np.divmod(model.keys, len(model.words))
    backoffs = np.zeros(model.first[-1])
    for n in range(1, model.order):
        nodes = np.arange(model.first[n + 1], model.first[n + 2])
        contexts, last = parents[nodes - 1], words[nodes - 1]
        lower, shorter = np.zeros(len(nodes)), model.suffixes[contexts]
        while ((found := model.find(shorter, last)) < 0).any():
            lower += np.where(found < 0, backoffs[shorter], 0.0)
            shorter = np.where(found < 0, model.suffixes[shorter], shorter)
        lower += model.log_probs[found]
        left, left_lower = (
            1.0 - np.bincount(contexts, weights=np.exp(x, dtype=np.float64), minlength=model.first[n + 1])
            for x in (model.log_probs[nodes], lower)
        )
        weights = np.exp(model.backoffs[: len(left)], dtype=np.float64)
        np.divide(left, left_lower, out=weights, where=(left > EMPTY) & (left_lower > EMPTY))
        above = slice(model.first[n], model.first[n + 1])
        backoffs[above] = np.log(weights[above])
    return dataclasses.replace(model, backoffs=backoffs.astype(np.float32))
