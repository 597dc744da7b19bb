"""Recordings in pieces, and pieces in batches."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkit.config import FeatureConfig
from asrkit.errors import AsrkitError
from asrkit.recognition.audio.pieces import cut_at_pauses
from asrkit.recognition.audio.reading import stream_audio
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.features.signal import read_signal


class Piece(NamedTuple):
    """A part of an utterance that is decoded at once.

    Attributes:
        utterance: which it belongs to.
        begin: where it begins, in seconds from the utterance's start.
        wave: its samples f32[N] (given features for a model of those), or why they cannot be read.
        last: whether the utterance ends with it.
    """

    utterance: Utterance
    begin: float
    wave: np.ndarray | AsrkitError
    last: bool

    @property
    def cut(self) -> bool:
        """Whether the utterance has more pieces."""
        return self.begin > 0 or not self.last


def whole_file(path: str | Path) -> Utterance:
    """An audio file as one utterance, named after the file."""
    return Utterance(id=Path(path).stem, audio=str(path), start=0.0, duration=0.0, text="", speaker="")


def read_pieces(features: FeatureConfig, utterance: Utterance, piece_seconds: float) -> Iterator[Piece]:
    """An utterance in pieces, read as they are needed.

    Whole files that are longer than `piece_seconds` are cut at pauses. An utterance that cannot be read, or
    no further, ends with its error.
    """

    def waves() -> Iterable[np.ndarray]:
        if features.kind == "given" or utterance.start or utterance.duration:
            return [read_signal(features, utterance)]
        blocks = stream_audio(utterance.audio, features.sample_rate)
        return cut_at_pauses(blocks, features.sample_rate, piece_seconds)

    read = 0.0
    try:
        for piece in as_pieces(utterance, waves(), features.signal_rate):
            assert isinstance(piece.wave, np.ndarray)
            yield piece
            read = piece.begin + len(piece.wave) / features.signal_rate
    except AsrkitError as error:
        yield Piece(utterance, read, error, last=True)


def as_pieces(utterance: Utterance, waves: Iterable[np.ndarray], rate: float) -> Iterator[Piece]:
    """Consecutive waves of an utterance, at `rate` values a second, as its pieces."""
    samples, held = 0, None
    for wave in waves:
        if held is not None:
            yield Piece(utterance, samples / rate, held, last=False)
            samples += len(held)
        held = wave
    assert held is not None, "audio without samples is an error"
    yield Piece(utterance, samples / rate, held, last=True)


def batches(
    pieces: Iterable[Piece], rate: float, batch_seconds: float, *, cut_alone: bool
) -> Iterator[list[Piece]]:
    """Pieces in batches of at most `batch_seconds`, padding included; an error waits for none after it.

    Args:
        pieces: in order.
        rate: values a second of their waves.
        batch_seconds: largest batch.
        cut_alone: pieces of long recordings go one by one. On a CPU that is faster for LSTMs than two or four
            at once, and takes less memory.
    """
    waiting: list[Piece] = []
    longest = 0.0
    for piece in pieces:
        seconds = 0.0 if isinstance(piece.wave, AsrkitError) else len(piece.wave) / rate
        padded = max(longest, seconds) * (len(waiting) + 1)
        alone = cut_alone and piece.cut
        if waiting and (padded > batch_seconds or alone):
            yield waiting
            waiting, longest = [], 0.0
        waiting.append(piece)
        longest = max(longest, seconds)
        if isinstance(waiting[0].wave, AsrkitError) or alone:
            yield waiting
            waiting, longest = [], 0.0
    if waiting:
        yield waiting
