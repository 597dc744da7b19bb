"""A trained recogniser: from audio to text. The one path for `asrkit decode`, recipes and Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from asrkit.config import DecodeConfig
from asrkit.config.decoders import DECODERS, require_decoder
from asrkit.errors import AsrkitError, DataError
from asrkit.parallel import ahead
from asrkit.recognition.acoustics import AcousticModel, EncodedBatch
from asrkit.recognition.audio.pieces import cut_at_pauses
from asrkit.recognition.audio.reading import as_wave
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.batching import Piece, as_pieces, batches, read_pieces, whole_file
from asrkit.recognition.components import Components, open_components
from asrkit.recognition.decoding import MAKERS, Resources
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.features.signal import read_signal
from asrkit.recognition.parts import Parts, open_parts
from asrkit.recognition.transcript import Transcript, join_transcripts, make_transcript

if TYPE_CHECKING:
    from asrkit.recognition.decoding import Search

PIECE_SECONDS = 30.0  # about the longest utterances that recognisers are trained on
EVEN_SECONDS = 2.0  # pieces are padded to a multiple: oneDNN keeps compiled code for each length it met


class Recognizer:
    """Audio in, transcripts out. Made by :meth:`load`.

    Attributes:
        config: the configuration it was trained with.
        settings: how to decode. Frozen; between calls it may be replaced by another.
        threads: batches decoded at once on a CPU, each by one thread; no result depends on it.
        piece_seconds: longer recordings are cut at pauses into pieces of at most this length. May be changed
            between calls.
    """

    def __init__(self, components: Components, threads: int) -> None:
        self.components, self.threads = components, threads
        self.config, self.tokenizer = components.config, components.tokenizer
        self.acoustics, self.lm, self.rescorer = components.acoustics, components.lm, components.rescorer
        self.labels, self.counts = components.labels, components.counts
        self.settings = components.config.decode
        self.piece_seconds = PIECE_SECONDS
        self._made: tuple[DecodeConfig, Search] | None = None
        self._making = Lock()

    @classmethod
    def load(cls, path: Path | str, *, device: str = "auto", threads: int = 0, lm: bool = True) -> Recognizer:
        """Open a bundle (file or folder), an experiment folder or a checkpoint.

        Args:
            path: what to open.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            threads: CPU threads; 0: all.
            lm: with its language model, if it has one.

        Raises:
            ModelError: it is none of these, or damaged.
        """
        with open_parts(Path(path), lm) as parts:
            return cls.of(parts, device=device, threads=threads)

    @classmethod
    def of(cls, parts: Parts, *, device: str = "auto", threads: int = 0) -> Recognizer:
        """Open the parts of a model; see :meth:`load`."""
        components = open_components(parts, device, threads)
        return cls(components, threads or components.acoustics.threads)

    @property
    def model(self) -> AcousticModel:
        """Facts about the acoustic model."""
        return self.acoustics.model

    @property
    def frame_seconds(self) -> float:
        """Seconds between two encoder frames."""
        return self.acoustics.feature_seconds * self.model.stride

    def transcribe(self, audio: str | Path | tuple[np.ndarray, int]) -> Transcript:
        """The transcript of one recording: an audio file, or samples and their rate in Hz.

        Samples are [N] or [N, channels], floating point in −1..1 or signed integers of the whole range. A
        recording longer than ``piece_seconds`` is decoded in pieces and then has no n-best list.

        Raises:
            DataError: they cannot be read.
        """
        if isinstance(audio, tuple):
            if self.config.features.kind == "given":
                raise DataError("the model takes features, not samples", "give the path of a NumPy file")
            rate = self.config.features.sample_rate
            waves = cut_at_pauses([as_wave(*audio, rate)], rate, self.piece_seconds)
            pieces = as_pieces(whole_file(""), waves, rate)
        else:
            pieces = self._pieces(whole_file(audio))
        [result] = self._transcripts(pieces)
        if isinstance(result, AsrkitError):
            raise result
        return result

    def transcribe_many(
        self, utterances: Iterable[Utterance], progress: Callable[[float], object] | None = None
    ) -> Iterator[Transcript | AsrkitError]:
        """One result each, in order; an unreadable utterance gives its error and stops nothing.

        Whole files (of start and duration 0) are read as a stream and, if longer than ``piece_seconds``,
        decoded in pieces, so that memory does not grow with their length; their n-best lists are then empty.
        Utterances that are parts of files are decoded as they are.

        Args:
            utterances: what to decode; no more is requested than is about to be decoded.
            progress: called with the seconds of each piece of audio that was decoded.
        """
        return self._transcripts(chain.from_iterable(map(self._pieces, utterances)), progress)

    def encode(self, waves: list[np.ndarray], multiple: int = 1) -> EncodedBatch:
        """Encode waves f32[N] (or given features f32[T, F]) as one batch; see ``decode.shifts``.

        Args:
            waves: of any lengths.
            multiple: pad until the longest is a multiple of this.
        """
        return self.acoustics.encode(waves, multiple, self.settings.shifts)

    def search(self, encoded: EncodedBatch) -> list[list[Hypothesis]]:
        """The n-best list of each utterance, by the decoder that the settings name."""
        with self._making:
            if self._made is None or self._made[0] != self.settings:
                self._made = (self.settings, self._make_search(self.settings))
            search = self._made[1]
        return search(encoded)

    def waves(self, utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, np.ndarray]]:
        """The samples f32[N] of each utterance that can be read."""
        for utterance in utterances:
            with suppress(DataError):
                yield utterance, read_signal(self.config.features, utterance)

    def frame_log_probs(self, wave: np.ndarray) -> np.ndarray:
        """Log posteriors of the frame labels f32[T', C] of one utterance's samples f32[N]."""
        encoded = self.encode([wave])
        return encoded.frame_log_probs()[0, : encoded.lens[0]]

    def ctc_log_probs(self, wave: np.ndarray) -> np.ndarray:
        """CTC log posteriors f32[T'', V] of one utterance's samples f32[N]."""
        log_probs, lens = self.encode([wave]).ctc_log_probs()
        return log_probs[0, : lens[0]]

    def mean_ctc_posterior(self, utterances: Iterable[Utterance]) -> np.ndarray:
        """Mean of the CTC posteriors f64[V] over all frames of the utterances that can be read."""
        total, frames = np.zeros(len(self.tokenizer.tokens)), 0
        for _, wave in self.waves(utterances):
            posteriors = np.exp(self.ctc_log_probs(wave))
            total, frames = total + posteriors.sum(axis=0), frames + len(posteriors)
        return total / max(frames, 1)

    def attention_map(self, transcript: Transcript) -> np.ndarray:
        """Attention weights of each token of a transcript and its end, f32[H, U + 1, T'].

        H counts the heads of all layers.
        """
        wave = read_signal(self.config.features, whole_file(transcript.audio))
        ids = [self.tokenizer.ids[token.text] for token in transcript.tokens]
        result: np.ndarray = self.acoustics.encode([wave]).attention().maps([ids])[0]
        return result

    def _make_search(self, settings: DecodeConfig) -> Search:
        decoder = require_decoder(settings.decoder, self.model.heads, self.config.lm.kind)
        return MAKERS[decoder.name](
            Resources(
                self.model,
                self.tokenizer,
                settings,
                self.frame_seconds,
                self.threads,
                self.lm,
                self.rescorer,
                self.labels,
                self.counts,
                self.components.ctc_prior,
            )
        )

    def _pieces(self, utterance: Utterance) -> Iterator[Piece]:
        return read_pieces(self.config.features, utterance, self.piece_seconds)

    def _transcripts(
        self, pieces: Iterable[Piece], progress: Callable[[float], object] | None = None
    ) -> Iterator[Transcript | AsrkitError]:
        """One result for the pieces of each utterance, as soon as the last of them is decoded."""
        threads = self.threads if self.acoustics.on_cpu else 0
        rate, seconds = self.config.features.signal_rate, self.settings.batch_seconds
        batched = batches(pieces, rate, seconds, cut_alone=threads > 0)
        parts: list[Transcript] = []
        for piece, result in chain.from_iterable(ahead(self._decode, batched, threads)):
            if isinstance(result, AsrkitError):
                parts = []
                yield result
                continue
            if progress is not None:
                progress(result.seconds)
            parts.append(result)
            if piece.last:
                yield join_transcripts(parts)
                parts = []

    def _decode(self, batch: list[Piece]) -> list[tuple[Piece, Transcript | AsrkitError]]:
        waves = [piece.wave for piece in batch if not isinstance(piece.wave, AsrkitError)]
        multiple = 1
        if any(piece.cut for piece in batch):
            multiple = round(EVEN_SECONDS * self.config.features.sample_rate)
        with self.acoustics.one_thread():
            nbest = iter(self.search(self.encode(waves, multiple)) if waves else [])
        return [(piece, self._transcript(piece, nbest)) for piece in batch]

    def _transcript(self, piece: Piece, nbest: Iterator[list[Hypothesis]]) -> Transcript | AsrkitError:
        utterance, begin, wave, last = piece
        if isinstance(wave, AsrkitError):
            return wave
        seconds, offset = len(wave) / self.config.features.signal_rate, utterance.start + begin
        return make_transcript(
            utterance.id,
            utterance.audio,
            seconds,
            offset,
            next(nbest),
            self.tokenizer,
            math.inf if last else offset + seconds,
            peaky=DECODERS[self.settings.decoder].peaky,
        )
