"""Cutting long recordings into pieces, where nothing is said if possible."""

from collections.abc import Iterable, Iterator

import numpy as np

HOP_SECONDS = 0.01
PAUSE_SECONDS = 0.15  # stops within words are shorter
QUIET = 0.25  # of the range of levels, in decibels
FLOOR = 1e-10  # power; 100 dB below the loudest sine


def cut_at_pauses(blocks: Iterable[np.ndarray], sample_rate: int, seconds: float) -> Iterator[np.ndarray]:
    """Pieces f32[N] of at most `seconds` each; joined, they are the blocks joined.

    All but the last are at least half as long. Where the blocks end and where the pieces do has nothing to do
    with each other; no more than a piece and a block are held.

    Args:
        blocks: consecutive samples f32[N] of one recording.
        sample_rate: Hz.
        seconds: longest piece; at least two frames of 10 ms.
    """
    most = max(round(seconds * sample_rate), 2 * _hop(sample_rate))
    held: list[np.ndarray] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count <= most:
            continue
        wave = np.concatenate(held)
        while len(wave) > most:
            cut = quiet_place(wave[:most], sample_rate)
            yield wave[:cut]
            wave = wave[cut:]
        held, count = [wave], len(wave)
    if count:
        yield np.concatenate(held)


def quiet_place(wave: np.ndarray, sample_rate: int) -> int:
    """Where to cut samples f32[N] of two frames or more: a sample in their second half.

    That is the middle of the longest pause there, a pause being at least 0.15 s of quiet frames; without one,
    the middle of the quietest frame. A frame is quiet in the lowest quarter of the range of levels, which is
    that of all frames without the twentieth at either end.
    """
    hop = _hop(sample_rate)
    frames = wave[: len(wave) // hop * hop].reshape(-1, hop)
    level = np.log10(frames.var(axis=1, dtype=np.float64) + FLOOR)
    low, high = np.percentile(level, [5, 95])
    first = len(level) // 2
    quiet = level[first:] <= low + QUIET * (high - low)
    changes = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
    starts, ends = changes[::2], changes[1::2]
    longest = int(np.argmax(ends - starts)) if len(starts) else 0
    if len(starts) and ends[longest] - starts[longest] >= PAUSE_SECONDS / HOP_SECONDS:
        return int(2 * first + starts[longest] + ends[longest]) * hop // 2
    return (first + int(np.argmin(level[first:]))) * hop + hop // 2


def _hop(sample_rate: int) -> int:
    return max(1, round(HOP_SECONDS * sample_rate))
