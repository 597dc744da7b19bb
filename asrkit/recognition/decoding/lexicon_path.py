"""Compiled loops of frame decoding with a lexicon: the best path through its arcs, with an n-gram model."""

from typing import NamedTuple

import numpy as np

from asrkit.compiled import compiled
from asrkit.recognition.decoding.lexicon_graph import Graph, WordModel
from asrkit.recognition.decoding.prefix_kernels import table_size
from asrkit.recognition.ngram.trie_kernels import predict


class Paths(NamedTuple):
    """Partial paths, or candidates for them.

    Attributes:
        arcs: int32[K], the arc a path is in; -1: none yet.
        contexts: int64[K], of the language model.
        totals: float64[K], score.
        traces: int32[K], the entry in the trace of the last arc entered; 0: none.
    """

    arcs: np.ndarray
    contexts: np.ndarray
    totals: np.ndarray
    traces: np.ndarray


class Trace(NamedTuple):
    """All arcs entered so far; entry 0 is the beginning.

    Attributes:
        before: int32[N], the entry of the arc before.
        arcs: int32[N].
    """

    before: np.ndarray
    arcs: np.ndarray


@compiled
def lexicon_path(
    scores: np.ndarray, graph: Graph, lm: WordModel, beam_size: int, threshold: float
) -> tuple[np.ndarray, float, float]:
    """The best path in which each frame is in one arc and each arc lasts one frame or more.

    Viterbi with a beam: of the paths in the same arc and context of the language model, only the best
    continues. The best path that may end is always kept.

    Args:
        scores: float32[T, V], log score of each token in each frame, finite.
        graph, lm, beam_size, threshold: as for ``lexicon_beam``.

    Returns:
        int32[N], the arcs; the log score of the frames; log probability of the words. Score -inf: no path.
    """
    frames = len(scores)
    room = beam_size + 1  # for a path that may end
    most = room * (1 + np.diff(graph.first).max())
    trace, entries = Trace(np.zeros(frames * room + 1, np.int32), np.zeros(frames * room + 1, np.int32)), 1
    table = np.zeros(table_size(most), np.int32)  # of candidates by arc and context, from 1; 0: free
    paths, count = new_paths(room), 1
    arcs, contexts, totals, traces = paths
    arcs[0], contexts[0] = -1, lm.ngrams.start
    new = new_paths(most)
    new_arcs, new_contexts, new_totals, new_traces = new
    ranks, entered = np.zeros(most), np.zeros(most, np.bool_)
    ngrams = lm.ngrams
    for t in range(frames):
        table[:] = 0
        size, best = 0, -np.inf
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
                    gain, context = predict(ngrams, context, lm.ids[graph.word[arc]])
                    gain = lm.weight * gain + lm.bonus
                    total, rank = total + gain, rank + gain
                if rank < best - threshold:
                    continue
                best = max(best, rank)
                slot = ((context * 1000003 + arc) * 7046029254386353131 >> 24) & (table.size - 1)
                while table[slot] != 0:
                    k = table[slot] - 1
                    if new_arcs[k] == arc and new_contexts[k] == context:
                        break
                    slot = (slot + 1) & (table.size - 1)
                if table[slot] == 0:
                    k = size
                    size += 1
                    table[slot] = size
                    new_arcs[k], new_contexts[k] = arc, context
                elif new_totals[k] >= total:
                    continue
                new_totals[k], ranks[k], new_traces[k], entered[k] = total, rank, traces[i], enters
        count, entries = select(new, ranks[:size], entered, best - threshold, graph, paths, trace, entries)

    best, entry = best_end(paths, count, graph, lm)
    path = traced(trace, entry, frames)
    words, count = word_log_prob(graph.word[path], lm)
    for _ in range(count):
        best -= lm.bonus
    return path, best - lm.weight * words, words


@compiled
def new_paths(size: int) -> Paths:
    """Room for `size` paths."""
    return Paths(np.zeros(size, np.int32), np.zeros(size, np.int64), np.zeros(size), np.zeros(size, np.int32))


@compiled
def select(
    new: Paths,
    ranks: np.ndarray,
    entered: np.ndarray,
    limit: float,
    graph: Graph,
    paths: Paths,
    trace: Trace,
    entries: int,
) -> tuple[int, int]:
    """Put the best of the candidates `new` into `paths`: those of rank `limit` or more, and one that may end.

    `ranks`, float64[K], are scores with look-ahead; `entered`, bool[K], says whether the arc begins in this
    frame: then it goes into the trace. Returns the number of paths, and the new number of `entries`.
    """
    arcs, contexts, totals, traces = paths
    new_arcs, new_contexts, new_totals, new_traces = new
    may_end, target = graph.final, graph.target
    final = -1
    for k in range(ranks.size):
        if may_end[target[new_arcs[k]]] and (final < 0 or ranks[k] > ranks[final]):
            final = k
    count = 0
    for k in np.argsort(-ranks):
        if (count < arcs.size - 1 and ranks[k] >= limit) or k == final:
            arcs[count], contexts[count], totals[count] = new_arcs[k], new_contexts[k], new_totals[k]
            traces[count] = new_traces[k]
            if entered[k]:
                trace.before[entries], trace.arcs[entries] = new_traces[k], new_arcs[k]
                traces[count] = entries
                entries += 1
            count += 1
    return count, entries


@compiled
def best_end(paths: Paths, count: int, graph: Graph, lm: WordModel) -> tuple[float, int]:
    """The score, end of the sentence included, and trace of the best path that may end; -inf and 0: none."""
    best, entry = -np.inf, 0
    for i in range(count):
        if paths.arcs[i] >= 0 and graph.final[graph.target[paths.arcs[i]]]:
            total = paths.totals[i] + lm.weight * predict(lm.ngrams, paths.contexts[i], lm.ngrams.end)[0]
            if total > best:
                best, entry = total, paths.traces[i]
    return best, entry


@compiled
def traced(trace: Trace, entry: int, frames: int) -> np.ndarray:
    """The arcs int32[N], N <= `frames`, that lead to `entry` of the trace."""
    arcs = np.zeros(frames, np.int32)
    begin = frames
    while entry > 0:
        begin -= 1
        arcs[begin] = trace.arcs[entry]
        entry = trace.before[entry]
    return arcs[begin:]


@compiled
def word_log_prob(words: np.ndarray, lm: WordModel) -> tuple[float, int]:
    """log p of a sentence of words of the lexicon, int32[N] with -1 for none; and how many there are."""
    total, count, context = 0.0, 0, lm.ngrams.start
    for word in words:
        if word >= 0:
            gain, context = predict(lm.ngrams, context, lm.ids[word])
            total += gain
            count += 1
    return total + predict(lm.ngrams, context, lm.ngrams.end)[0], count
