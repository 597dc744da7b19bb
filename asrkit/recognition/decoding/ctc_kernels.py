"""Compiled loops of CTC decoding: the prefix beam search and the alignment of what it found."""

from __future__ import annotations

import math

import numpy as np

from asrkit.compiled import compiled


@compiled
def log_add(a: float, b: float) -> float:
    """log(exp(a) + exp(b)); what double precision cannot show is not computed."""
    high, low = (a, b) if a > b else (b, a)
    if low <= high - 40.0:
        return high
    return high + math.log(1.0 + math.exp(low - high))


@compiled
def insert(scores: np.ndarray, items: np.ndarray, count: int, score: float, item: int) -> int:
    """Put `item` among the first `count`, best first; a full list loses its worst. Returns the new count."""
    if count < scores.size:
        count += 1
    elif score <= scores[count - 1]:
        return count
    at = count - 1
    while at > 0 and scores[at - 1] < score:
        scores[at] = scores[at - 1]
        items[at] = items[at - 1]
        at -= 1
    scores[at] = score
    items[at] = item
    return count


@compiled
def find_child(
    table: np.ndarray, parents: np.ndarray, tokens: np.ndarray, nodes: int, node: int, token: int
) -> int:
    """The trie node of prefix `node` followed by `token`; the new node `nodes` where there was none.

    `table` finds nodes by open addressing; its length is a power of two, and 0 marks a free slot.
    """
    mask = table.size - 1
    slot = ((node * 1000003 + token) * 7046029254386353131 >> 24) & mask
    while table[slot] != 0:
        child = table[slot]
        if parents[child] == node and tokens[child] == token:
            return child
        slot = (slot + 1) & mask
    table[slot] = nodes
    parents[nodes] = node
    tokens[nodes] = token
    return nodes


@compiled
def prefix_beam(
    log_probs: np.ndarray, floor: np.ndarray, beam_size: int, nbest: int, blank: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prefix beam search over one utterance.

    Each frame, a prefix of the beam stays (by blank, by its last token once more, and by its parent growing
    into it where that is in the beam too) or grows by a token into a prefix outside the beam. So everything
    a prefix can receive is added up before the best are taken. Prefixes are nodes of a trie: one that comes
    back after it left the beam is known again, and its children still there receive from it.

    Two shortcuts, both exact: growth is not looked at where it cannot beat the worst candidate kept, and only
    the ``beam_size + 1`` likeliest tokens are, since with each of those (save its own last token) the same
    prefix grows into something better.

    Args:
        log_probs: float32[T, V], no NaN.
        floor: float32[T]; what lies below it in a frame is taken for impossible.
        beam_size: prefixes kept after each frame, at least 1.
        nbest: hypotheses returned at most.
        blank: id of blank.

    Returns:
        Best first, for N <= nbest hypotheses: int32[N, T], the tokens at the end of each row; int64[N], how
        many they are; float64[N], log probabilities. N >= 1 if every frame has a token that is possible.
    """
    frames, vocab = log_probs.shape
    capacity = frames * beam_size + 1
    parents = np.empty(capacity, np.int32)
    tokens = np.empty(capacity, np.int32)
    places = np.empty(capacity, np.int32)  # of a node in the beam; -1: outside
    parents[0], tokens[0], places[0] = 0, blank, 0
    nodes = 1
    slots = 4
    while slots < 2 * capacity:
        slots *= 2
    table = np.zeros(slots, np.int32)

    # The beam, best first: nodes, their log probability, and that of their paths ending in blank, in a token.
    beam, next_beam = np.zeros(beam_size, np.int32), np.zeros(beam_size, np.int32)
    total, next_total = np.zeros(beam_size), np.zeros(beam_size)
    p_b, next_b = np.zeros(beam_size), np.zeros(beam_size)
    p_nb, next_nb = np.full(beam_size, -np.inf), np.zeros(beam_size)
    count = 1

    stay_b, stay_nb = np.zeros(beam_size), np.zeros(beam_size)
    sources = np.zeros(beam_size, np.int64)  # of candidates: place << 32 | token grown by, blank if it stays
    likely_tokens = np.zeros(min(beam_size + 1, vocab), np.int64)
    likely_scores = np.zeros(likely_tokens.size)
    grown = np.full((beam_size, vocab), -1, np.int32)  # last frame in which place + token was in the beam

    row = np.zeros(vocab)
    for t in range(frames):
        for token in range(vocab):
            row[token] = log_probs[t, token] if log_probs[t, token] >= floor[t] else -np.inf
        found = 0
        for i in range(count):
            last = tokens[beam[i]]
            b = total[i] + row[blank]
            nb = p_nb[i] + row[last]
            up = places[parents[beam[i]]] if beam[i] > 0 else -1
            if up >= 0:
                grown[up, last] = t
                nb = log_add(nb, (p_b[up] if last == tokens[beam[up]] else total[up]) + row[last])
            stay_b[i], stay_nb[i] = b, nb
            score = log_add(b, nb)
            if score > -np.inf:
                found = insert(next_total, sources, found, score, i << 32 | blank)
        worst = next_total[found - 1] if found == beam_size else -np.inf

        likely = 0
        for token in range(vocab):
            if total[0] + row[token] > worst and token != blank:
                likely = insert(likely_scores, likely_tokens, likely, row[token], token)

        for i in range(count):
            last = tokens[beam[i]]
            for k in range(likely):
                token = likely_tokens[k]
                if total[i] + likely_scores[k] <= worst:
                    break
                score = (p_b[i] if token == last else total[i]) + likely_scores[k]
                if score > worst and grown[i, token] < t:
                    found = insert(next_total, sources, found, score, i << 32 | token)
                    worst = next_total[found - 1] if found == beam_size else -np.inf

        for i in range(count):
            places[beam[i]] = -1
        for k in range(found):
            i, token = sources[k] >> 32, sources[k] & 0xFFFFFFFF
            if token == blank:
                node = beam[i]
                next_b[k], next_nb[k] = stay_b[i], stay_nb[i]
            else:
                node = find_child(table, parents, tokens, nodes, beam[i], token)
                nodes = max(nodes, node + 1)
                next_b[k], next_nb[k] = -np.inf, next_total[k]
            next_beam[k] = node
            places[node] = k
        beam, next_beam = next_beam, beam
        total, next_total = next_total, total
        p_b, next_b = next_b, p_b
        p_nb, next_nb = next_nb, p_nb
        count = found

    count = min(count, nbest)
    hypotheses = np.zeros((count, frames), np.int32)
    lengths = np.zeros(count, np.int64)
    scores = np.zeros(count)
    for k in range(count):
        scores[k] = total[k]
        node = beam[k]
        while node > 0:
            lengths[k] += 1
            hypotheses[k, frames - lengths[k]] = tokens[node]
            node = parents[node]
    return hypotheses, lengths, scores


@compiled
def align(
    log_probs: np.ndarray, best: np.ndarray, tokens: np.ndarray, blank: int
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest path of a token sequence: Viterbi over the lattice of Graves et al. 2006, section 4.1.

    What a path loses against the best token of each frame only grows, so partial paths that lost more than
    some limit can be left out; it is raised until a whole path stays within, which is then the likeliest.

    Args:
        log_probs: float32[T, V], no NaN.
        best: float32[T], largest log posterior of each frame, finite.
        tokens: int32[U], a sequence with at least one path through the T frames.
        blank: id of blank.

    Returns:
        int64[U, 2], each token's first frame and the one after its last, and float32[U], its best log
        posterior in between.
    """
    frames, count = log_probs.shape[0], tokens.size
    # Loss of the best path in which u tokens have begun: it is in the last of them, or in the blank after it.
    in_token, in_blank = np.zeros(count + 1), np.zeros(count + 1)
    was_token = np.empty((frames, count + 1), np.bool_)  # before blank: the token, not blank
    moves = np.empty((frames, count + 1), np.uint8)  # before a token: 0 itself, 1 blank, 2 the previous token
    limit = 1.0
    done = False
    while not done:
        limit *= 4.0
        in_token[:] = np.inf
        in_blank[:] = np.inf
        in_blank[0] = 0.0
        low, high = 0, 0  # outside these u, every loss is beyond the limit
        for t in range(frames):
            if high < count:
                high += 1
            for u in range(high, low - 1, -1):
                was_token[t, u] = in_token[u] < in_blank[u]
                loss = min(in_token[u], in_blank[u]) + best[t] - log_probs[t, blank]
                if u > 0:
                    least, move = in_token[u], 0
                    if in_blank[u - 1] < least:
                        least, move = in_blank[u - 1], 1
                    if u > 1 and in_token[u - 1] < least and tokens[u - 1] != tokens[u - 2]:
                        least, move = in_token[u - 1], 2
                    least += best[t] - log_probs[t, tokens[u - 1]]
                    in_token[u] = least if least <= limit else np.inf
                    moves[t, u] = move
                in_blank[u] = loss if loss <= limit else np.inf
            while low <= high and min(in_token[low], in_blank[low]) == np.inf:
                low += 1
            while low < high and min(in_token[high], in_blank[high]) == np.inf:
                high -= 1
        done = min(in_token[count], in_blank[count]) <= limit

    spans = np.zeros((count, 2), np.int64)
    peaks = np.full(count, -np.inf, np.float32)
    u, token = count, in_token[count] < in_blank[count]
    for t in range(frames - 1, -1, -1):
        if token:
            spans[u - 1, 0] = t
            spans[u - 1, 1] = max(spans[u - 1, 1], t + 1)
            peaks[u - 1] = max(peaks[u - 1], log_probs[t, tokens[u - 1]])
            move = moves[t, u]
            if move > 0:
                u, token = u - 1, move == 2
        else:
            token = was_token[t, u]
    return spans, peaks


@compiled
def peak_frames(
    log_probs: np.ndarray, best: np.ndarray, sequences: np.ndarray, lengths: np.ndarray, blank: int
) -> np.ndarray:
    """Where each token of each sequence is likeliest, within its part of the sequence's likeliest path.

    Args:
        log_probs, best, blank: as for ``align``.
        sequences: int32[N, T], the tokens at the end of each row; each sequence has a path.
        lengths: int64[N], how many they are.

    Returns:
        int32[N, T], frames, laid out as the tokens are.
    """
    count, width = sequences.shape
    peaks = np.zeros((count, width), np.int32)
    for k in range(count):
        begin = width - lengths[k]
        tokens = np.ascontiguousarray(sequences[k, begin:])
        spans, _ = align(log_probs, best, tokens, blank)
        for u in range(tokens.size):
            frame = spans[u, 0]
            for t in range(spans[u, 0] + 1, spans[u, 1]):
                if log_probs[t, tokens[u]] > log_probs[frame, tokens[u]]:
                    frame = t
            peaks[k, begin + u] = frame
    return peaks
