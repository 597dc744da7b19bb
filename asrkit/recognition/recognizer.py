"""A trained recogniser: from audio to text. The one path for `asrkit decode`, recipes and Python."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from asrkit.config import Config, DecodeConfig, with_weights
from asrkit.config.decoders import DECODERS, require_decoder
from asrkit.errors import AsrkitError, ConfigError, DataError, ModelError
from asrkit.learning.features.cmvn import Cmvn, CmvnStats
from asrkit.learning.features.frontend import make_frontend
from asrkit.learning.lm.neural import LanguageModel, load_lm, ngram_lm
from asrkit.learning.lm.rescorer import Rescorer
from asrkit.learning.models.asr import AsrModel, Batch, build_model
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.models.weights import load_weights
from asrkit.learning.padding import shift
from asrkit.learning.training.hardware import choose_device
from asrkit.parallel import ahead
from asrkit.recognition.audio.pieces import cut_at_pauses
from asrkit.recognition.audio.reading import as_wave, stream_audio
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.decoding import MAKERS, Resources
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.features.signal import read_signal
from asrkit.recognition.ngram.g2p import open_tokenizer
from asrkit.recognition.parts import CTC_PRIOR, Parts, open_parts
from asrkit.recognition.stored_lm import RESCORER
from asrkit.recognition.text.labels import LabelCounts, LabelSet
from asrkit.recognition.text.tokenizer import Tokenizer
from asrkit.recognition.transcript import Transcript, join_transcripts, make_transcript

if TYPE_CHECKING:
    from asrkit.recognition.decoding import Search


LEAST_PRIOR = 1e-6
PIECE_SECONDS = 30.0  # about the longest utterances that recognisers are trained on
EVEN_SECONDS = 2.0  # pieces are padded to a multiple: oneDNN keeps compiled code for each length it met


class Piece(NamedTuple):
    """What is decoded at once of an utterance.

    Attributes:
        utterance: which it belongs to.
        begin: where it begins, in seconds from the utterance's start.
        wave: its samples f32[N] (of a model for given features, those), or why they cannot be read.
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


class Recognizer:
    """Audio in, transcripts out. Made by :meth:`load`.

    Attributes:
        config: the configuration it was trained with.
        settings: how to decode; may be changed between calls.
        threads: batches decoded at once on a CPU, each by one thread; no result depends on it.
        piece_seconds: recordings that are longer are cut at pauses into pieces of at most this length; may
            be changed between calls.
    """

    def __init__(
        self,
        config: Config,
        model: AsrModel,
        tokenizer: Tokenizer,
        cmvn: CmvnStats | None,
        device: torch.device,
        threads: int = 1,
        *,
        lm: LanguageModel | None = None,
        rescorer: Rescorer | None = None,
        labels: LabelSet | None = None,
        counts: LabelCounts | None = None,
        ctc_prior: torch.Tensor | None = None,
    ) -> None:
        self.config, self.tokenizer, self.device, self.threads = config, tokenizer, device, threads
        self.settings: DecodeConfig = config.decode
        self.piece_seconds = PIECE_SECONDS
        self.frontend = make_frontend(config.features)
        self.cmvn = Cmvn(config.features.cmvn, cmvn)
        self.model = model.to(device).eval()
        self.lm, self.rescorer = lm, rescorer
        self.labels, self.counts, self.ctc_prior = labels, counts, ctc_prior
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
        """Made of the parts of a model; see :meth:`load`."""
        if threads:
            torch.set_num_threads(threads)
        place = choose_device(device)
        files, config = parts.files, parts.config
        tokenizer = open_tokenizer(files["tokenizer"])
        labels = counts = None
        if "frame" in config.model.heads:
            labels = LabelSet.load(files["labels"] / "labels.txt")
            counts = LabelCounts.load(files["labels"] / "counts.json")
        model = build_model(config, len(tokenizer.tokens), len(labels.names) if labels else 0)
        load_weights(files["model.safetensors"], model)
        if files["tuned.json"].exists():
            config.decode = tuned_settings(config.decode, files["tuned.json"])
        ctc_prior = read_ctc_prior(files[CTC_PRIOR], len(tokenizer.tokens))
        lm = None
        if parts.ngram:
            lm = ngram_lm(config.lm.kind, parts.ngram.result(), files["lm"])
        elif parts.lm:
            lm = load_lm(config.lm, files["lm"], len(tokenizer.tokens), place)
        rescorer = None
        if parts.lm and config.lm.rescorer.kind != "none":
            rescorer = Rescorer.load(config.lm.rescorer, files["lm"] / RESCORER, place)
        return cls(
            config,
            model,
            tokenizer,
            CmvnStats.load(files["cmvn.json"]),
            place,
            threads or torch.get_num_threads(),
            lm=lm,
            rescorer=rescorer,
            labels=labels,
            counts=counts,
            ctc_prior=ctc_prior,
        )

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
            blocks = [as_wave(*audio, rate)]
            pieces = self._pieces(whole_file(""), cut_at_pauses(blocks, rate, self.piece_seconds))
        else:
            pieces = self._pieces(whole_file(audio))
        [result] = self._transcripts(pieces)
        if isinstance(result, AsrkitError):
            raise result
        return result

    def transcribe_many(
        self, utterances: Iterable[Utterance], heard: Callable[[float], object] | None = None
    ) -> Iterator[Transcript | AsrkitError]:
        """One result each, in order; an unreadable utterance gives its error and stops nothing.

        Whole files (of start and duration 0) are read as a stream and, if longer than ``piece_seconds``,
        decoded in pieces, so that memory does not grow with their length; their n-best lists are then empty.
        Utterances that are parts of files are decoded as they are.

        Args:
            utterances: what to decode; no more is asked for than is about to be decoded.
            heard: told the seconds of each piece of audio that was decoded.
        """
        return self._transcripts(chain.from_iterable(map(self._pieces, utterances)), heard)

    def features(self, waves: list[np.ndarray], multiple: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised features f32[B, T, F] of waves f32[N] each, and their lengths int64[B].

        Of a model for given features, a wave is these, f32[T, F]; so it is below.

        Args:
            waves: of any lengths.
            multiple: waves are padded until the longest is a multiple of this.
        """
        samples = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
        if more := -samples.shape[1] % multiple:
            samples = torch.nn.functional.pad(samples, (0, more))
        feats, lens = self.frontend(samples, torch.tensor([len(w) for w in waves]))
        return self.cmvn(feats, lens), lens

    @torch.inference_mode()
    def encode(self, waves: list[np.ndarray], multiple: int = 1) -> Encoded:
        """Encoder output of waves f32[N] each, padded as :meth:`features` does; see ``decode.shifts``."""
        feats, lens = (tensor.to(self.device) for tensor in self.features(waves, multiple))
        encoded = self.model.encode(feats, lens)
        if most := self.settings.shifts:
            moved = (shift(feats, lens, by) for by in range(-most, most + 1) if by)
            out = sum((self.model.encode(x, lens).out for x in moved), encoded.out) / (2 * most + 1)
            encoded = encoded._replace(out=out)
        return encoded

    @property
    def frame_seconds(self) -> float:
        """Seconds between two encoder frames."""
        return self.frontend.frame_seconds * self.model.stride

    @torch.inference_mode()
    def search(self, encoded: Encoded) -> list[list[Hypothesis]]:
        """The n-best list of each utterance, by the decoder that the settings name."""
        with self._making:
            if self._made is None or self._made[0] != self.settings:
                decoder = require_decoder(self.settings.decoder, self.model.heads, self.config.lm.kind)
                given = Resources(
                    self.model,
                    self.tokenizer,
                    self.settings,
                    self.frame_seconds,
                    self.threads,
                    self.lm,
                    self.rescorer,
                    self.labels,
                    self.counts,
                    self.ctc_prior,
                )
                self._made = (self.settings, MAKERS[decoder.name](given))
            search = self._made[1]
        return search(encoded)

    def waves(self, utterances: Iterable[Utterance]) -> Iterator[tuple[Utterance, np.ndarray]]:
        """The samples f32[N] of each utterance that can be read."""
        for utterance in utterances:
            with suppress(DataError):
                yield utterance, read_signal(self.config.features, utterance)

    def frame_log_probs(self, wave: np.ndarray) -> np.ndarray:
        """Log posteriors of the frame labels f32[T', C] of one utterance's samples f32[N]."""
        with torch.inference_mode():
            encoded = self.encode([wave])
            return self.model.frame_log_probs(encoded)[0, : int(encoded.lens[0])].cpu().numpy()

    def ctc_log_probs(self, wave: np.ndarray) -> np.ndarray:
        """CTC log posteriors f32[T'', V] of one utterance's samples f32[N]."""
        with torch.inference_mode():
            log_probs, lens = self.model.ctc_log_probs(self.encode([wave]))
            return log_probs[0, : int(lens[0])].cpu().numpy()

    def mean_ctc_posterior(self, utterances: Iterable[Utterance]) -> np.ndarray:
        """Mean of the CTC posteriors f32[V] over all frames of the utterances that can be read."""
        total, frames = np.zeros(len(self.tokenizer.tokens)), 0
        for _, wave in self.waves(utterances):
            posteriors = np.exp(self.ctc_log_probs(wave))
            total, frames = total + posteriors.sum(axis=0), frames + len(posteriors)
        return total / max(frames, 1)

    def attention_map(self, transcript: Transcript) -> np.ndarray:
        """Where the attention head looks for each token of a transcript and its end, f32[H, U + 1, T'].

        H counts the heads of all layers.
        """
        wave = read_signal(self.config.features, whole_file(transcript.audio))
        ids = [self.tokenizer.ids[token.text] for token in transcript.tokens]
        tokens = torch.tensor([ids], dtype=torch.int64)
        feats, lens = self.features([wave])
        batch = Batch([transcript.id], feats, lens, tokens, torch.tensor([tokens.shape[1]]))
        return self.model.attention_maps(batch)[0].numpy()

    def _pieces(self, utterance: Utterance, waves: Iterable[np.ndarray] | None = None) -> Iterator[Piece]:
        """An utterance in pieces: of `waves` if they are given."""
        samples, held = 0, None
        try:
            for wave in self._read(utterance) if waves is None else waves:
                if held is not None:
                    yield Piece(utterance, self._seconds(samples), held, last=False)
                    samples += len(held)
                held = wave
        except AsrkitError as error:
            yield Piece(utterance, self._seconds(samples), error, last=True)
            return
        assert held is not None, "audio without samples is an error"
        yield Piece(utterance, self._seconds(samples), held, last=True)

    def _read(self, utterance: Utterance) -> Iterable[np.ndarray]:
        features = self.config.features
        if features.kind == "given" or utterance.start or utterance.duration:
            return [read_signal(features, utterance)]
        blocks = stream_audio(utterance.audio, features.sample_rate)
        return cut_at_pauses(blocks, features.sample_rate, self.piece_seconds)

    def _seconds(self, samples: int) -> float:
        return samples / self.config.features.signal_rate

    def _batches(self, pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
        """Pieces in batches of at most ``batch_seconds`` with padding; an error waits for none after it.

        On a CPU the pieces of long recordings go one by one: for LSTMs that is faster than two or four at
        once, and it takes less memory.
        """
        alone = self.device.type == "cpu"
        waiting: list[Piece] = []
        longest = 0.0
        for piece in pieces:
            seconds = 0.0 if isinstance(piece.wave, AsrkitError) else self._seconds(len(piece.wave))
            padded = max(longest, seconds) * (len(waiting) + 1)
            if waiting and (padded > self.settings.batch_seconds or (alone and piece.cut)):
                yield waiting
                waiting, longest = [], 0.0
            waiting.append(piece)
            longest = max(longest, seconds)
            if isinstance(waiting[0].wave, AsrkitError) or (alone and piece.cut):
                yield waiting
                waiting, longest = [], 0.0
        if waiting:
            yield waiting

    def _decode(self, batch: list[Piece]) -> list[tuple[Piece, Transcript | AsrkitError]]:
        waves = [piece.wave for piece in batch if not isinstance(piece.wave, AsrkitError)]
        multiple = 1
        if any(piece.cut for piece in batch):
            multiple = round(EVEN_SECONDS * self.config.features.sample_rate)
        found = iter(self.search(self.encode(waves, multiple)) if waves else [])
        return [(piece, self._transcript(piece, found)) for piece in batch]

    def _transcript(self, piece: Piece, found: Iterator[list[Hypothesis]]) -> Transcript | AsrkitError:
        utterance, begin, wave, last = piece
        if isinstance(wave, AsrkitError):
            return wave
        seconds, offset = self._seconds(len(wave)), utterance.start + begin
        latest = math.inf if last else offset + seconds
        return make_transcript(
            utterance.id,
            utterance.audio,
            seconds,
            offset,
            next(found),
            self.tokenizer,
            latest,
            peaky=DECODERS[self.settings.decoder].peaky,
        )

    def _transcripts(
        self, pieces: Iterable[Piece], heard: Callable[[float], object] | None = None
    ) -> Iterator[Transcript | AsrkitError]:
        """One result for the pieces of each utterance, as soon as the last of them is decoded."""
        parts: list[Transcript] = []
        on_cpu = self.device.type == "cpu"
        with one_thread() if on_cpu else nullcontext():
            decoded = ahead(self._decode, self._batches(pieces), self.threads if on_cpu else 0)
            for piece, result in chain.from_iterable(decoded):
                if isinstance(result, AsrkitError):
                    parts = []
                    yield result
                    continue
                if heard is not None:
                    heard(result.seconds)
                parts.append(result)
                if piece.last:
                    yield join_transcripts(parts)
                    parts = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Within, torch computes by one thread for each that calls it, so that batches share the cores.

    For a pyramid of LSTMs that is faster than all threads for one batch after the other, where they wait for
    each other after every frame; and sums are then formed in one order, however many threads there are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def whole_file(path: str | Path) -> Utterance:
    """An audio file as one utterance, named after the file."""
    return Utterance(id=Path(path).stem, audio=str(path), start=0.0, duration=0.0, text="", speaker="")


def tuned_settings(settings: DecodeConfig, path: Path) -> DecodeConfig:
    """`settings` with the weights that tuning chose. Raises ModelError for a file it did not write."""
    try:
        return with_weights(settings, json.loads(path.read_text(encoding="utf-8"))["chosen"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConfigError) as error:
        raise ModelError(f"cannot read {path}: {error}", "tune again: --stage tune") from error


def read_ctc_prior(path: Path, vocab: int) -> torch.Tensor | None:
    """Log of the mean CTC posteriors f32[V] that the stage average measured; None without such a file.

    Raises:
        ModelError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        prior = torch.tensor(json.loads(path.read_text(encoding="utf-8")), dtype=torch.float32)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"cannot read {path}: {error}", "measure again: --stage average") from error
    if prior.shape != (vocab,) or not (prior >= 0).all():
        raise ModelError(f"{path} does not hold {vocab} probabilities", "measure again: --stage average")
    return prior.clamp(min=LEAST_PRIOR).log()
