"""Compiled loops of lexicon decoding: prefix beam search along a lexicon, with an n-gram model."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled
from asrkit.recognition.decoding.ctc_kernels import find_child, insert, log_add
from asrkit.recognition.ngram.trie_kernels import NgramArrays, predict


class Graph(NamedTuple):
    """The token sequences of a lexicon's words, as arcs between states.

    Attributes:
        first: int64[S + 1]; the arcs that leave state s are ``first[s]`` to ``first[s + 1]``.
        token: int32[A], what an arc emits.
        target: int32[A], the state it leads to.
        word: int32[A], the word it ends; -1: none.
        final: bool[S], states in which an utterance may end. It may always be empty.
        ahead: float64[S], what the words that can be reached will add to the score at best, as a guess.
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


@compiled
def look_ahead(graph: Graph, values: np.ndarray) -> None:
    """Fill ``graph.ahead`` with the highest of `values` float64[W] among the words that end next.

    States that words begin and end in have 0; all others come after the states that lead to them.
    """
    for state in range(graph.final.size - 1, -1, -1):
        best = -np.inf
        for arc in range(graph.first[state], graph.first[state + 1]):
            word = graph.word[arc]
            best = max(best, values[word] if word >= 0 else graph.ahead[graph.target[arc]])
        graph.ahead[state] = 0.0 if state == 0 or graph.final[state] else best


@compiled
def known_child(table: np.ndarray, parents: np.ndarray, arcs: np.ndarray, node: int, arc: int) -> int:
    """The trie node of prefix `node` followed by `arc`, 0 if there is none; see ``find_child``."""
    mask = table.size - 1
    slot = ((node * 1000003 + arc) * 7046029254386353131 >> 24) & mask
    while table[slot] != 0:
        child = table[slot]
        if parents[child] == node and arcs[child] == arc:
            return child
        slot = (slot + 1) & mask
    return 0


@compiled
def push(scores: np.ndarray, items: np.ndarray, count: int, score: float, item: int) -> int:
    """Put `item` into a heap of `count`, the worst on top; a full one loses it. Returns the new count."""
    if count == scores.size:
        if score <= scores[0]:
            return count
        at, below = 0, 1
        while below < count:
            if below + 1 < count and scores[below + 1] < scores[below]:
                below += 1
            if scores[below] >= score:
                break
            scores[at], items[at] = scores[below], items[below]
            at, below = below, 2 * below + 1
    else:
        at, count = count, count + 1
        while at > 0 and scores[(at - 1) >> 1] > score:
            scores[at], items[at] = scores[(at - 1) >> 1], items[(at - 1) >> 1]
            at = (at - 1) >> 1
    scores[at], items[at] = score, item
    return count


@compiled
def take_seat(seats: np.ndarray, key: int, most: int) -> bool:
    """Count `key` in a table int64[N, 2] of keys (-1: free) and counts; False after `most` times."""
    slot = (key * 7046029254386353131 >> 24) & (len(seats) - 1)
    while seats[slot, 0] >= 0 and seats[slot, 0] != key:
        slot = (slot + 1) & (len(seats) - 1)
    if seats[slot, 0] < 0:
        seats[slot, 0], seats[slot, 1] = key, 0
    seats[slot, 1] += 1
    return seats[slot, 1] <= most


@compiled
def lexicon_beam(
    log_probs: np.ndarray,
    floor: np.ndarray,
    graph: Graph,
    lm: WordModel,
    beam_size: int,
    threshold: float,
    nbest: int,
    twins: int,
    blank: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Prefix beam search over sequences of arcs.

    As ``prefix_beam``, which see, but what grows is a sequence of arcs: tokens, and the words they end. So
    equal tokens that are different words are different prefixes, and each collects the probability of all
    its paths. A prefix is ranked by its log probability, those of its words, and the guess of its state.

    A complete prefix, if there is any, is always kept. When the beam is full, room is made by dropping those
    whose words differ so long ago that neither lexicon nor language model can tell them from better ones.

    Args:
        log_probs: float32[T, V], finite.
        floor: float32[T]; tokens, save blank, that lie below it in a frame are taken for impossible.
        graph: the lexicon.
        lm: the language model.
        beam_size: prefixes kept after each frame, at least 1.
        threshold: prefixes that score this much less than the best are dropped.
        nbest: hypotheses returned at most.
        twins: prefixes in the same arc and context of the language model that a full beam keeps.
        blank: id of blank.

    Returns:
        Best first, for N <= nbest hypotheses: int32[N, T], the arcs at the end of each row; int64[N], how
        many they are; float64[N], log probability of the tokens; float64[N], that of the words.
    """
    frames, vocab = log_probs.shape
    beam_size += 1  # room for a complete prefix
    capacity = frames * beam_size + 1
    parents = np.empty(capacity, np.int32)
    arcs = np.empty(capacity, np.int32)
    places = np.empty(capacity, np.int32)  # of a node in the beam; -1: outside
    contexts = np.empty(capacity, np.int64)
    words = np.empty(capacity)  # log probability of the words
    extra = np.empty(capacity)  # that weighted, and their bonus
    parents[0], arcs[0], places[0], contexts[0], words[0], extra[0] = 0, -1, 0, lm.ngrams.start, 0.0, 0.0
    nodes = 1
    slots = 4
    while slots < 2 * capacity:
        slots *= 2
    table = np.zeros(slots, np.int32)

    # The beam: nodes, their log probability, and that of their paths ending in blank, in a token.
    beam, next_beam = np.zeros(beam_size, np.int32), np.zeros(beam_size, np.int32)
    total, next_total = np.zeros(beam_size), np.zeros(beam_size)
    p_b, next_b = np.zeros(beam_size), np.zeros(beam_size)
    p_nb, next_nb = np.full(beam_size, -np.inf), np.zeros(beam_size)
    count = 1

    stay_b, stay_nb = np.zeros(beam_size), np.zeros(beam_size)
    ranks = np.zeros(beam_size - 1)  # of candidates, the worst first
    sources = np.zeros(beam_size, np.int64)  # of candidates: place << 32 | arc grown by + 1, 0 if it stays
    chosen = np.zeros(beam_size, np.int64)  # those in order
    slots = 4
    while slots < 2 * beam_size:
        slots *= 2
    seats = np.zeros((slots, 2), np.int64)

    # What the language model was asked last, and its answers: prefixes that wait ask again in each frame.
    questions, answers = np.full(1 << 16, -1, np.int64), np.zeros(1 << 16)
    row = np.zeros(vocab)
    for t in range(frames):
        for token in range(vocab):
            row[token] = log_probs[t, token] if log_probs[t, token] >= floor[t] else -np.inf
        row[blank] = log_probs[t, blank]
        found, best, best_complete, complete = 0, -np.inf, -np.inf, -1
        for i in range(count):
            arc = arcs[beam[i]]
            b = total[i] + row[blank]
            nb = -np.inf
            if arc >= 0:
                last = graph.token[arc]
                nb = p_nb[i] + row[last]
                up = places[parents[beam[i]]]
                if up >= 0:
                    before = arcs[beam[up]]
                    same = before >= 0 and graph.token[before] == last
                    nb = log_add(nb, (p_b[up] if same else total[up]) + row[last])
            stay_b[i], stay_nb[i] = b, nb
            state = graph.target[arc] if arc >= 0 else 0
            score = log_add(b, nb) + extra[beam[i]]
            if score > -np.inf:
                best = max(best, score + graph.ahead[state])
                found = push(ranks, sources, found, score + graph.ahead[state], i << 32)
                if (arc < 0 or graph.final[state]) and score > best_complete:
                    best_complete, complete = score, i
        limit = max(best - threshold, ranks[0] if found == ranks.size else -np.inf)

        for i in range(count):
            arc = arcs[beam[i]]
            last = graph.token[arc] if arc >= 0 else blank
            state = graph.target[arc] if arc >= 0 else 0
            for arc in range(graph.first[state], graph.first[state + 1]):
                token = graph.token[arc]
                score = (p_b[i] if token == last else total[i]) + row[token] + extra[beam[i]]
                score += graph.ahead[graph.target[arc]]
                if graph.word[arc] >= 0:
                    score += lm.bonus
                    if score <= limit:
                        continue
                    asked = contexts[beam[i]] * lm.ngrams.size + lm.ids[graph.word[arc]]
                    slot = (asked * 7046029254386353131 >> 40) & (questions.size - 1)
                    if questions[slot] != asked:
                        answers[slot] = predict(lm.ngrams, contexts[beam[i]], lm.ids[graph.word[arc]])[0]
                        questions[slot] = asked
                    score += lm.weight * answers[slot]
                if score <= limit:
                    continue
                node = known_child(table, parents, arcs, beam[i], arc)
                if node == 0 or places[node] < 0:
                    best = max(best, score)
                    found = push(ranks, sources, found, score, i << 32 | arc + 1)
                    limit = max(best - threshold, ranks[0] if found == ranks.size else -np.inf)

        order = np.argsort(-ranks[:found])
        full, kept, found = found == ranks.size, False, 0
        for k in order:
            if ranks[k] < best - threshold:
                break
            chosen[found] = sources[k]
            found += 1
            i, arc = sources[k] >> 32, (sources[k] & 0xFFFFFFFF) - 1
            kept = kept or (i == complete if arc < 0 else graph.final[graph.target[arc]])
        if not kept and complete >= 0:
            chosen[found] = complete << 32
            found += 1

        for i in range(count):
            places[beam[i]] = -1
        if full:
            seats[:, 0] = -1
        size = 0
        for source in chosen[:found]:
            i, arc = source >> 32, (source & 0xFFFFFFFF) - 1
            if arc < 0:
                node = beam[i]
                b, nb = stay_b[i], stay_nb[i]
            else:
                node = find_child(table, parents, arcs, nodes, beam[i], arc)
                if node == nodes:
                    nodes += 1
                    places[node] = -1
                    contexts[node], words[node], extra[node] = (
                        contexts[beam[i]],
                        words[beam[i]],
                        extra[beam[i]],
                    )
                    if graph.word[arc] >= 0:
                        gain, contexts[node] = predict(lm.ngrams, contexts[beam[i]], lm.ids[graph.word[arc]])
                        words[node] += gain
                        extra[node] += lm.weight * gain + lm.bonus
                token = graph.token[arc]
                last = arcs[beam[i]]
                same = last >= 0 and graph.token[last] == token
                b, nb = -np.inf, (p_b[i] if same else total[i]) + row[token]
            if full and not take_seat(seats, contexts[node] * (graph.token.size + 1) + arcs[node] + 1, twins):
                continue
            next_b[size], next_nb[size] = b, nb
            next_total[size] = log_add(b, nb)
            next_beam[size] = node
            places[node] = size
            size += 1
        beam, next_beam = next_beam, beam
        total, next_total = next_total, total
        p_b, next_b = next_b, p_b
        p_nb, next_nb = next_nb, p_nb
        count = size

    found = 0
    ends, ranks = np.zeros(beam_size), np.zeros(beam_size)
    for i in range(count):
        arc = arcs[beam[i]]
        if arc < 0 or graph.final[graph.target[arc]]:
            ends[i] = predict(lm.ngrams, contexts[beam[i]], lm.ngrams.end)[0]
            found = insert(ranks, sources, found, total[i] + extra[beam[i]] + lm.weight * ends[i], i)
    count = min(found, nbest)
    hypotheses = np.zeros((count, frames), np.int32)
    lengths = np.zeros(count, np.int64)
    of_tokens, of_words = np.zeros(count), np.zeros(count)
    for k in range(count):
        i = sources[k]
        of_tokens[k], of_words[k] = total[i], words[beam[i]] + ends[i]
        node = beam[i]
        while node > 0:
            lengths[k] += 1
            hypotheses[k, frames - lengths[k]] = arcs[node]
            node = parents[node]
    return hypotheses, lengths, of_tokens, of_words


@compiled
def lexicon_path(
    scores: np.ndarray, graph: Graph, lm: WordModel, beam_size: int, threshold: float
) -> tuple[np.ndarray, float, float]:
    """The best path in which each frame is in some arc and each arc lasts one frame or more.

    Viterbi with a beam: of paths in the same arc and with the same words to come under the language model,
    the best goes on. The best path that may end is always kept.

    Args:
        scores: float32[T, V], log score of each token in each frame, finite.
        graph, lm, beam_size, threshold: as for ``lexicon_beam``.

    Returns:
        int32[N], the arcs; the log score of the frames; log probability of the words. Score -inf: no path.
    """
    frames = len(scores)
    beam_size += 1  # room for a path that may end
    most = 1 + np.diff(graph.first).max()
    traces = 1
    came = np.zeros(frames * beam_size + 1, np.int32)
    traced = np.full(frames * beam_size + 1, -1, np.int32)
    slots = 4
    while slots < 2 * beam_size * most:
        slots *= 2
    table = np.zeros(slots, np.int32)  # of candidates, from 1

    # Paths: the arc they are in, its entry in the trace, context, score; and those of candidates.
    arcs, trace = np.full(beam_size, -1, np.int32), np.zeros(beam_size, np.int32)
    contexts, totals = np.full(beam_size, lm.ngrams.start), np.zeros(beam_size)
    new_arcs, new_trace = np.zeros(beam_size * most, np.int32), np.zeros(beam_size * most, np.int32)
    new_contexts, new_totals = np.zeros(beam_size * most, np.int64), np.zeros(beam_size * most)
    ranks = np.zeros(beam_size * most)
    entered = np.zeros(beam_size * most, np.bool_)
    count = 1
    for t in range(frames):
        table[:] = 0
        found, best = 0, -np.inf
        for i in range(count):
            state = graph.target[arcs[i]] if arcs[i] >= 0 else 0
            # First it stays in its arc, unless this is the first frame; then it leaves it by another.
            for arc in range(graph.first[state] - 1, graph.first[state + 1]):
                enters = arc >= graph.first[state]
                if not enters:
                    arc = arcs[i]
                    if arc < 0:
                        continue
                total, context = totals[i] + scores[t, graph.token[arc]], contexts[i]
                rank = total + graph.ahead[graph.target[arc]]
                if enters and graph.word[arc] >= 0:
                    if rank + lm.bonus < best - threshold:
                        continue
                    gain, context = predict(lm.ngrams, context, lm.ids[graph.word[arc]])
                    gain = lm.weight * gain + lm.bonus
                    total, rank = total + gain, rank + gain
                if rank < best - threshold:
                    continue
                best = max(best, rank)
                slot = ((context * 1000003 + arc) * 7046029254386353131 >> 24) & (slots - 1)
                while table[slot] != 0:
                    k = table[slot] - 1
                    if new_arcs[k] == arc and new_contexts[k] == context:
                        break
                    slot = (slot + 1) & (slots - 1)
                if table[slot] == 0:
                    k = found
                    found += 1
                    table[slot] = found
                    new_arcs[k], new_contexts[k] = arc, context
                elif new_totals[k] >= total:
                    continue
                new_totals[k], ranks[k], new_trace[k], entered[k] = total, rank, trace[i], enters

        count, final = 0, -1
        for k in range(found):
            if graph.final[graph.target[new_arcs[k]]] and (final < 0 or ranks[k] > ranks[final]):
                final = k
        for k in np.argsort(-ranks[:found]):
            if (count < beam_size - 1 and ranks[k] >= best - threshold) or k == final:
                arcs[count], contexts[count], totals[count] = new_arcs[k], new_contexts[k], new_totals[k]
                trace[count] = new_trace[k]
                if entered[k]:
                    came[traces], traced[traces] = new_trace[k], new_arcs[k]
                    trace[count] = traces
                    traces += 1
                count += 1

    best, last, words = -np.inf, 0, 0.0
    for i in range(count):
        if arcs[i] >= 0 and graph.final[graph.target[arcs[i]]]:
            total = totals[i] + lm.weight * predict(lm.ngrams, contexts[i], lm.ngrams.end)[0]
            if total > best:
                best, last = total, trace[i]
    path = np.zeros(frames, np.int32)
    length = 0
    while last > 0:
        length += 1
        path[frames - length] = traced[last]
        last = came[last]
    path = path[frames - length :]
    context = lm.ngrams.start
    for word in graph.word[path]:
        if word >= 0:
            gain, context = predict(lm.ngrams, context, lm.ids[word])
            words += gain
            best -= lm.bonus
    words += predict(lm.ngrams, context, lm.ngrams.end)[0]
    return path, best - lm.weight * words, words
