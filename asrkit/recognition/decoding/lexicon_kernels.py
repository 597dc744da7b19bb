"""Compiled loops of lexicon decoding: prefix beam search along a lexicon, with an n-gram model."""

from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled
from asrkit.recognition.decoding.lexicon_graph import Graph, WordModel
from asrkit.recognition.decoding.prefix_kernels import (
    Trie,
    find_child,
    insert,
    known_child,
    log_add,
    new_beam,
    new_trie,
    possible,
    push,
    sequences,
    table_size,
)
from asrkit.recognition.ngram.trie_kernels import predict


class Words(NamedTuple):
    """The words of each node of the trie of prefixes.

    Attributes:
        contexts: int64[N], of the language model.
        log_probs: float64[N], log probability of the words.
        scores: float64[N], the same weighted, with the bonus of each word.
    """

    contexts: np.ndarray
    log_probs: np.ndarray
    scores: np.ndarray


class Cache(NamedTuple):
    """The latest log probabilities of the language model: a prefix asks for the same ones in each frame.

    Attributes:
        keys: int64[M], context and word as one number; -1: free. M is a power of two.
        log_probs: float64[M].
    """

    keys: np.ndarray
    log_probs: np.ndarray


@compiled
def lexicon_beam(
    log_probs: np.ndarray,
    floor: np.ndarray,
    graph: Graph,
    lm: WordModel,
    beam_size: int,
    threshold: float,
    nbest: int,
    per_state: int,
    blank: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Prefix beam search over sequences of arcs.

    As ``prefix_beam``, but a prefix is a sequence of arcs: tokens, and the words they end. So equal tokens
    that are different words are different prefixes, and each sums the probability of all its paths. A prefix
    is ranked by its log probability, the score of its words, and the look-ahead of its state.

    The best complete prefix, if any, is always kept. A full beam recombines: of the prefixes that neither
    lexicon nor language model distinguish from now on, only the best `per_state` remain.

    Args:
        log_probs: float32[T, V], finite.
        floor: float32[T]; tokens below it in a frame, except blank, are impossible there.
        beam_size: prefixes kept after each frame, at least 1.
        threshold: prefixes with a score more than this below the best are dropped.
        per_state: prefixes with the same last arc and language model context that a full beam keeps.

    Returns:
        Best first, for N <= nbest hypotheses: int32[N, T], the arcs at the end of each row; int64[N], their
        numbers; float64[N], log probability of the tokens; float64[N], that of the words.
    """
    frames, vocab = log_probs.shape
    room = beam_size + 1  # for a complete prefix
    trie, count, nodes = new_trie(frames * room + 1, -1), 1, 1
    parents, labels, places, table = trie
    words = new_words(places.size, lm.ngrams.start)
    contexts, _, extra = words
    beam, total, p_b, p_nb = new_beam(room)
    next_beam, next_total, next_b, next_nb = new_beam(room)

    stay_b, stay_nb = np.zeros(room), np.zeros(room)
    ranks = np.zeros(beam_size)  # of candidates, the worst first
    sources = np.zeros(room, np.int64)  # of candidates: place << 32 | next arc + 1, 0 if it stays
    selected = np.zeros(room, np.int64)  # those to keep, best first
    states = np.zeros((table_size(room), 2), np.int64)
    cache = Cache(np.full(1 << 16, -1, np.int64), np.zeros(1 << 16))
    row = np.zeros(vocab)
    for t in range(frames):
        possible(log_probs, floor, t, row)
        row[blank] = log_probs[t, blank]
        size, best, complete = stay(
            trie, beam[:count], total, p_b, p_nb, row, blank, graph, extra, ranks, sources, stay_b, stay_nb
        )
        size, best = grow(
            trie,
            words,
            beam[:count],
            total,
            p_b,
            row,
            graph,
            lm,
            cache,
            ranks,
            sources,
            size,
            best,
            threshold,
        )
        full = size == ranks.size
        size = select(ranks[:size], sources, best - threshold, graph, complete, selected)
        for i in range(count):
            places[beam[i]] = -1
        if full:
            states[:, 0] = -1
        count = 0
        for source in selected[:size]:
            i, arc = source >> 32, (source & 0xFFFFFFFF) - 1
            if arc < 0:
                node = beam[i]
                b, nb = stay_b[i], stay_nb[i]
            else:
                node = find_child(table, parents, labels, nodes, beam[i], arc)
                if node == nodes:
                    nodes += 1
                    places[node] = -1
                    add_word(words, beam[i], node, graph.word[arc], lm)
                token = graph.token[arc]
                last = labels[beam[i]]
                same = last >= 0 and graph.token[last] == token
                b, nb = -np.inf, (p_b[i] if same else total[i]) + row[token]
            state = contexts[node] * (graph.token.size + 1) + labels[node] + 1
            if full and not admitted(states, state, per_state):
                continue
            next_b[count], next_nb[count] = b, nb
            next_total[count] = log_add(b, nb)
            next_beam[count] = node
            places[node] = count
            count += 1
        beam, next_beam = next_beam, beam
        total, next_total = next_total, total
        p_b, next_b = next_b, p_b
        p_nb, next_nb = next_nb, p_nb

    order, ends = complete_prefixes(labels, beam[:count], total, words, graph, lm)
    order = order[:nbest]
    hypotheses, lengths = sequences(trie, beam[order], frames)
    return hypotheses, lengths, total[order], words.log_probs[beam[order]] + ends[order]


@compiled
def new_words(capacity: int, start: int) -> Words:
    """Room for the words of `capacity` nodes; those of the empty prefix have the context `start`."""
    words = Words(np.empty(capacity, np.int64), np.empty(capacity), np.empty(capacity))
    words.contexts[0], words.log_probs[0], words.scores[0] = start, 0.0, 0.0
    return words


@compiled
def stay(
    trie: Trie,
    beam: np.ndarray,
    total: np.ndarray,
    p_b: np.ndarray,
    p_nb: np.ndarray,
    row: np.ndarray,
    blank: int,
    graph: Graph,
    extra: np.ndarray,
    ranks: np.ndarray,
    sources: np.ndarray,
    stay_b: np.ndarray,
    stay_nb: np.ndarray,
) -> tuple[int, float, int]:
    """The candidates in which a prefix of `beam` stays; `stay_b` and `stay_nb` receive their probabilities.

    Returns their number, the best rank, and the index of the best complete prefix, or -1.
    """
    parents, labels, places, _ = trie
    size, best, best_complete, complete = 0, -np.inf, -np.inf, -1
    for i in range(beam.size):
        arc = labels[beam[i]]
        b = total[i] + row[blank]
        nb = -np.inf
        if arc >= 0:
            last = graph.token[arc]
            nb = p_nb[i] + row[last]
            up = places[parents[beam[i]]]
            if up >= 0:
                before = labels[beam[up]]
                same = before >= 0 and graph.token[before] == last
                nb = log_add(nb, (p_b[up] if same else total[up]) + row[last])
        stay_b[i], stay_nb[i] = b, nb
        state = graph.target[arc] if arc >= 0 else 0
        score = log_add(b, nb) + extra[beam[i]]
        if score > -np.inf:
            best = max(best, score + graph.ahead[state])
            size = push(ranks, sources, size, score + graph.ahead[state], i << 32)
            if (arc < 0 or graph.final[state]) and score > best_complete:
                best_complete, complete = score, i
    return size, best, complete


@compiled
def grow(
    trie: Trie,
    words: Words,
    beam: np.ndarray,
    total: np.ndarray,
    p_b: np.ndarray,
    row: np.ndarray,
    graph: Graph,
    lm: WordModel,
    cache: Cache,
    ranks: np.ndarray,
    sources: np.ndarray,
    size: int,
    best: float,
    threshold: float,
) -> tuple[int, float]:
    """Add the candidates in which a prefix of `beam` grows to the `size` so far, whose best rank is `best`.

    Returns the new number and the new best rank.
    """
    parents, labels, places, table = trie
    ngrams, ids, (keys, log_probs) = lm.ngrams, lm.ids, cache
    limit = max(best - threshold, ranks[0] if size == ranks.size else -np.inf)
    for i in range(beam.size):
        node = beam[i]
        arc = labels[node]
        last = graph.token[arc] if arc >= 0 else -1
        state = graph.target[arc] if arc >= 0 else 0
        context, extra = words.contexts[node], words.scores[node]
        for arc in range(graph.first[state], graph.first[state + 1]):
            token = graph.token[arc]
            score = (p_b[i] if token == last else total[i]) + row[token] + extra
            score += graph.ahead[graph.target[arc]]
            if graph.word[arc] >= 0:
                score += lm.bonus
                if score <= limit:
                    continue
                key = context * ngrams.size + ids[graph.word[arc]]
                slot = (key * 7046029254386353131 >> 40) & (keys.size - 1)
                if keys[slot] != key:
                    log_probs[slot] = predict(ngrams, context, ids[graph.word[arc]])[0]
                    keys[slot] = key
                score += lm.weight * log_probs[slot]
            if score <= limit:
                continue
            child = known_child(table, parents, labels, node, arc)
            if child == 0 or places[child] < 0:
                best = max(best, score)
                size = push(ranks, sources, size, score, i << 32 | arc + 1)
                limit = max(best - threshold, ranks[0] if size == ranks.size else -np.inf)
    return size, best


@compiled
def select(
    ranks: np.ndarray, sources: np.ndarray, limit: float, graph: Graph, complete: int, selected: np.ndarray
) -> int:
    """Put the sources of the candidates of rank `limit` or more into `selected`, best first.

    If none is a complete prefix, the one at index `complete` is added, unless -1. Returns their number.
    """
    size, kept = 0, False
    for k in np.argsort(-ranks):
        if ranks[k] < limit:
            break
        selected[size] = sources[k]
        size += 1
        i, arc = sources[k] >> 32, (sources[k] & 0xFFFFFFFF) - 1
        kept = kept or (i == complete if arc < 0 else graph.final[graph.target[arc]])
    if not kept and complete >= 0:
        selected[size] = complete << 32
        size += 1
    return size


@compiled
def add_word(words: Words, parent: int, node: int, word: int, lm: WordModel) -> None:
    """Fill in the words of `node`: those of `parent`, and `word` if it is not -1."""
    words.contexts[node] = words.contexts[parent]
    words.log_probs[node], words.scores[node] = words.log_probs[parent], words.scores[parent]
    if word >= 0:
        gain, words.contexts[node] = predict(lm.ngrams, words.contexts[parent], lm.ids[word])
        words.log_probs[node] += gain
        words.scores[node] += lm.weight * gain + lm.bonus


@compiled
def admitted(states: np.ndarray, state: int, most: int) -> bool:
    """Count `state` in a hash table int64[M, 2] of states (-1: free) and counts; False after `most` times."""
    slot = (state * 7046029254386353131 >> 24) & (len(states) - 1)
    while states[slot, 0] >= 0 and states[slot, 0] != state:
        slot = (slot + 1) & (len(states) - 1)
    if states[slot, 0] < 0:
        states[slot, 0], states[slot, 1] = state, 0
    states[slot, 1] += 1
    count: int = states[slot, 1]
    return count <= most


@compiled
def complete_prefixes(
    labels: np.ndarray, beam: np.ndarray, total: np.ndarray, words: Words, graph: Graph, lm: WordModel
) -> tuple[np.ndarray, np.ndarray]:
    """The places int64[N] of complete prefixes of `beam`, best first; of each place, log p of the end."""
    places, scores, ends = np.zeros(beam.size, np.int64), np.zeros(beam.size), np.zeros(beam.size)
    size = 0
    for i in range(beam.size):
        arc = labels[beam[i]]
        if arc < 0 or graph.final[graph.target[arc]]:
            ends[i] = predict(lm.ngrams, words.contexts[beam[i]], lm.ngrams.end)[0]
            score = total[i] + words.scores[beam[i]] + lm.weight * ends[i]
            size = insert(scores, places, size, score, i)
    return places[:size], ends
