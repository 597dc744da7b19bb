"""Compiled loops of CTC decoding: prefix beam search, and the alignment of its hypotheses."""

import numpy as np

from asrkit.compiled import compiled
from asrkit.recognition.decoding.prefix_kernels import (
    find_child,
    insert,
    log_add,
    new_beam,
    new_trie,
    possible,
    sequences,
)


@compiled
def prefix_beam(
    log_probs: np.ndarray, floor: np.ndarray, beam_size: int, nbest: int, blank: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prefix beam search over one utterance.

    In each frame, a prefix of the beam stays (by blank, by its last token once more, and by its parent
    growing into it if that is in the beam too) or grows by a token into a prefix outside the beam. So all
    that a prefix can receive is summed before the best are selected. Prefixes are nodes of a trie: one that
    returns after it left the beam is the same node, and its children in the beam receive from it.

    Two shortcuts, both exact: a growth that cannot beat the worst candidate kept is skipped, and only the
    ``beam_size + 1`` likeliest tokens are tried, since each of them (except the prefix's last token) makes
    the same prefix a better candidate.

    Args:
        log_probs: float32[T, V], no NaN.
        floor: float32[T]; tokens below it in a frame are impossible there.
        beam_size: prefixes kept after each frame, at least 1.

    Returns:
        Best first, for N <= nbest hypotheses: int32[N, T], the tokens at the end of each row; int64[N], their
        numbers; float64[N], log probabilities. N >= 1 if every frame has a possible token.
    """
    frames, vocab = log_probs.shape
    trie, count, nodes = new_trie(frames * beam_size + 1, blank), 1, 1
    parents, tokens, places, table = trie
    beam, total, p_b, p_nb = new_beam(beam_size)
    next_beam, next_total, next_b, next_nb = new_beam(beam_size)
    stay_b, stay_nb = np.zeros(beam_size), np.zeros(beam_size)
    sources = np.zeros(beam_size, np.int64)  # of candidates: place << 32 | next token, blank if it stays
    likely_tokens = np.zeros(min(beam_size + 1, vocab), np.int64)
    likely_scores = np.zeros(likely_tokens.size)
    grown = np.full((beam_size, vocab), -1, np.int32)  # last frame in which place + token was in the beam

    row = np.zeros(vocab)
    for t in range(frames):
        possible(log_probs, floor, t, row)
        size = 0
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
                size = insert(next_total, sources, size, score, i << 32 | blank)
        worst = next_total[size - 1] if size == beam_size else -np.inf

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
                    size = insert(next_total, sources, size, score, i << 32 | token)
                    worst = next_total[size - 1] if size == beam_size else -np.inf

        for i in range(count):
            places[beam[i]] = -1
        for k in range(size):
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
        count = size

    count = min(count, nbest)
    hypotheses, lengths = sequences(trie, beam[:count], frames)
    return hypotheses, lengths, total[:count].copy()


@compiled
def align(
    log_probs: np.ndarray, best: np.ndarray, tokens: np.ndarray, blank: int
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest path of a token sequence: Viterbi over the lattice of Graves et al. 2006, section 4.1.

    The loss of a path, relative to the best token of each frame, only grows. So partial paths with a loss
    above a limit are pruned; the limit is raised until a complete path stays within it: the likeliest one.

    Args:
        log_probs: float32[T, V], no NaN.
        best: float32[T], largest log posterior of each frame, finite.
        tokens: int32[U], a sequence with at least one path through the T frames.

    Returns:
        int64[U, 2], each token's first frame and the one after its last; float32[U], its highest log
        posterior in these frames.
    """
    frames, count = log_probs.shape[0], tokens.size
    # Loss of the best path in which u tokens have begun: in the last of them, or in the blank after it.
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
        low, high = 0, 0  # outside this range of u, every loss is above the limit
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
    """The frame in which each token of each sequence has its highest posterior, on the sequence's best path.

    `sequences`, int32[N, T] with `lengths` int64[N], have the tokens at the end of each row, and each has a
    path; the frames int32[N, T] lie as they do. The other arguments are as for ``align``.
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
