"""A trained recogniser: from audio to text. The one path for `asrkit decode`, recipes and Python."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from asrkit.bundle import Bundle, pack
from asrkit.config import Config, DecodeConfig, parse_config, with_weights
from asrkit.data.utterance import Utterance
from asrkit.decoding import Resources, require_decoder
from asrkit.decoding.hypothesis import Hypothesis
from asrkit.errors import AsrkitError, ConfigError, DataError, ModelError
from asrkit.features.cmvn import Cmvn, CmvnStats
from asrkit.features.frontend import make_frontend
from asrkit.features.signal import read_signal
from asrkit.lm.g2p import open_tokenizer
from asrkit.lm.model import LanguageModel, lm_files, load_lm
from asrkit.models.asr import AsrModel, Batch, build_model
from asrkit.models.encoded import Encoded
from asrkit.models.weights import load_weights
from asrkit.text.labels import LabelCounts, LabelSet
from asrkit.text.tokenizer import Tokenizer
from asrkit.training.hardware import choose_device
from asrkit.transcript import Transcript, make_transcript

if TYPE_CHECKING:
    from asrkit.decoding import Search


class Recognizer:
    """Audio in, transcripts out. Made by :meth:`load`.

    Attributes:
        config: the configuration it was trained with.
        settings: how to decode; may be changed between calls.
        threads: threads for the decoder.
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
        labels: LabelSet | None = None,
        counts: LabelCounts | None = None,
    ) -> None:
        self.config, self.tokenizer, self.device, self.threads = config, tokenizer, device, threads
        self.settings: DecodeConfig = config.decode
        self.frontend = make_frontend(config.features)
        self.cmvn = Cmvn(config.features.cmvn, cmvn)
        self.model = model.to(device).eval()
        self.lm, self.labels, self.counts = lm, labels, counts
        self._made: tuple[DecodeConfig, Search] | None = None

    @classmethod
    def load(cls, path: Path | str, *, device: str = "auto", threads: int = 0) -> Recognizer:
        """Open a bundle (file or folder), an experiment folder or a checkpoint.

        Args:
            path: what to open.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            threads: CPU threads; 0: all.

        Raises:
            ModelError: it is none of these, or damaged.
        """
        if threads:
            torch.set_num_threads(threads)
        place = choose_device(device)
        with tempfile.TemporaryDirectory() as scratch:
            parts = find_parts(Path(path), Path(scratch))
            config = parse_config(parts["config.yaml"].read_text(encoding="utf-8"), str(parts["config.yaml"]))
            tokenizer = open_tokenizer(parts["tokenizer"])
            labels = counts = None
            if "frame" in config.model.heads:
                labels = LabelSet.load(parts["labels"] / "labels.txt")
                counts = LabelCounts.load(parts["labels"] / "counts.json")
            model = build_model(config, len(tokenizer.tokens), len(labels.names) if labels else 0)
            load_weights(parts["model.safetensors"], model)
            if parts["tuned.json"].exists():
                config.decode = tuned_settings(config.decode, parts["tuned.json"])
            return cls(
                config,
                model,
                tokenizer,
                CmvnStats.load(parts["cmvn.json"]),
                place,
                threads or torch.get_num_threads(),
                lm=load_lm(config.lm, parts["lm"], len(tokenizer.tokens), place),
                labels=labels,
                counts=counts,
            )

    def transcribe(self, audio: str | Path) -> Transcript:
        """The transcript of one audio file. Raises DataError when it cannot be read."""
        result = next(self.transcribe_many([whole_file(audio)]))
        if isinstance(result, AsrkitError):
            raise result
        return result

    def transcribe_many(self, utterances: Iterable[Utterance]) -> Iterator[Transcript | AsrkitError]:
        """One result each, in order; an unreadable utterance gives its error and stops nothing."""
        waiting: list[tuple[Utterance, np.ndarray | AsrkitError]] = []
        longest, rate = 0.0, self.config.features.signal_rate
        for utterance in utterances:
            try:
                wave: np.ndarray | AsrkitError = read_signal(self.config.features, utterance)
            except AsrkitError as error:
                wave = error
            seconds = 0.0 if isinstance(wave, AsrkitError) else len(wave) / rate
            if waiting and max(longest, seconds) * (len(waiting) + 1) > self.settings.batch_seconds:
                yield from self._batch(waiting)
                waiting, longest = [], 0.0
            waiting.append((utterance, wave))
            longest = max(longest, seconds)
        yield from self._batch(waiting)

    def features(self, waves: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised features f32[B, T, F] of waves f32[N] each, and their lengths int64[B].

        Of a model for given features, a wave is these, f32[T, F]; so it is below.
        """
        samples = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
        feats, lens = self.frontend(samples, torch.tensor([len(w) for w in waves]))
        return self.cmvn(feats, lens), lens

    @torch.inference_mode()
    def encode(self, waves: list[np.ndarray]) -> Encoded:
        """Encoder output of waves f32[N] each."""
        feats, lens = self.features(waves)
        return self.model.encode(feats.to(self.device), lens.to(self.device))

    @property
    def frame_seconds(self) -> float:
        """Seconds between two encoder frames."""
        return self.frontend.frame_seconds * self.model.stride

    @torch.inference_mode()
    def search(self, encoded: Encoded) -> list[list[Hypothesis]]:
        """The n-best list of each utterance, by the decoder that the settings name."""
        if self._made is None or self._made[0] != self.settings:
            decoder = require_decoder(self.settings.decoder, self.model.heads, self.config.lm.kind)
            given = Resources(
                self.model,
                self.tokenizer,
                self.settings,
                self.frame_seconds,
                self.threads,
                self.lm,
                self.labels,
                self.counts,
            )
            self._made = (self.settings, decoder.make(given))
        return self._made[1](encoded)

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

    def _batch(
        self, waiting: list[tuple[Utterance, np.ndarray | AsrkitError]]
    ) -> Iterator[Transcript | AsrkitError]:
        waves = [wave for _, wave in waiting if not isinstance(wave, AsrkitError)]
        found: Iterator[list[Hypothesis]] = iter(())
        if waves:
            found = iter(self.search(self.encode(waves)))
        for utterance, wave in waiting:
            if isinstance(wave, AsrkitError):
                yield wave
            else:
                seconds = len(wave) / self.config.features.signal_rate
                yield make_transcript(
                    utterance.id, utterance.audio, seconds, utterance.start, next(found), self.tokenizer
                )


def whole_file(path: str | Path) -> Utterance:
    """An audio file as one utterance, named after the file."""
    return Utterance(id=Path(path).stem, audio=str(path), start=0.0, duration=0.0, text="", speaker="")


def find_parts(path: Path, scratch: Path) -> dict[str, Path]:
    """Where the parts of a model are: ``config.yaml``, ``cmvn.json``, ``tokenizer``, ``model.safetensors``.

    And where ``lm``, ``labels`` and ``tuned.json`` are, if it has them.

    Args:
        path: a bundle (file or folder), an experiment folder, or a checkpoint in one.
        scratch: receives the content of a bundle.

    Raises:
        ModelError: `path` is none of these.
    """
    if (path.is_file() and path.suffix != ".safetensors") or (path / "manifest.json").is_file():
        Bundle.open(path).extract(scratch)
        folder, weights = scratch, scratch / "model.safetensors"
    elif (path / "checkpoints").is_dir():
        folder, weights = path, newest_weights(path / "checkpoints")
    else:
        weights = path if path.is_file() else path / "model.safetensors"
        folder = weights.parent.parent.parent
    needed = {name: folder / name for name in ("config.yaml", "cmvn.json", "tokenizer")}
    needed["model.safetensors"] = weights
    for name, part in needed.items():
        if not part.exists():
            raise ModelError(
                f"{path} is not a model: {name} is missing",
                "give a .asrkit bundle, an experiment folder or a checkpoint in one",
            )
    return needed | {name: folder / name for name in ("lm", "labels", "tuned.json")}


def tuned_settings(settings: DecodeConfig, path: Path) -> DecodeConfig:
    """`settings` with the weights that tuning chose. Raises ModelError for a file it did not write."""
    try:
        return with_weights(settings, json.loads(path.read_text(encoding="utf-8"))["chosen"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConfigError) as error:
        raise ModelError(f"cannot read {path}: {error}", "tune again: --stage tune") from error


def newest_weights(folder: Path) -> Path:
    """The averaged weights, or before there are any those of the last checkpoint."""
    from asrkit.training.checkpoint import checkpoints

    averaged = folder / "averaged" / "model.safetensors"
    last = checkpoints(folder)
    return averaged if averaged.exists() or not last else last[-1] / "model.safetensors"


def pack_experiment(folder: Path, out: Path, card: str) -> Path:
    """Pack an experiment's recogniser into one ``.asrkit`` file.

    Args:
        folder: the experiment.
        out: the file to write.
        card: the model card (Markdown).
    """
    with tempfile.TemporaryDirectory() as scratch:
        parts = find_parts(folder, Path(scratch))
        config = parse_config(parts["config.yaml"].read_text(encoding="utf-8"), str(parts["config.yaml"]))
    content: dict[str, Path | bytes] = {name: part for name, part in parts.items() if part.is_file()}
    content |= {f"tokenizer/{p.name}": p for p in sorted(parts["tokenizer"].iterdir())}
    content |= {f"lm/{name}": parts["lm"] / name for name in lm_files(config.lm)}
    if "frame" in config.model.heads:
        content |= {f"labels/{name}": parts["labels"] / name for name in ("labels.txt", "counts.json")}
    return pack({**content, "README.md": card.encode()}, out, {"experiment": folder.name})
