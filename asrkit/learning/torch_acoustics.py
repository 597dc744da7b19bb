"""The interfaces of :mod:`asrkit.recognition.acoustics`, computed by torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asrkit.config import Config, LmConfig, RescorerConfig
from asrkit.learning.features.cmvn import Cmvn
from asrkit.learning.features.frontend import Frontend, GivenFeatures, make_frontend
from asrkit.learning.hardware import choose_device
from asrkit.learning.lm.neural import read_network
from asrkit.learning.models.asr import AsrModel, build_model
from asrkit.learning.models.decoders import decoder_inputs
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.models.weights import load_weights
from asrkit.learning.padding import shift
from asrkit.recognition.features.cmvn import CmvnStats


class TorchTokenModel:
    """See :class:`~asrkit.recognition.acoustics.TokenModel`.

    Args:
        decoder: an attention decoder, or that of a neural language model.
        eos: id of ``<sos/eos>``.
        encoded: what an attention decoder attends to.
    """

    def __init__(self, decoder: Any, eos: int, encoded: Encoded | None = None) -> None:
        self.decoder, self.eos, self.encoded = decoder, eos, encoded
        self.device = next(decoder.parameters()).device

    @torch.inference_mode()
    def start(self) -> Any:
        return self.decoder.start(self.encoded)

    @torch.inference_mode()
    def step(self, tokens: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        logits, state = self.decoder.step(torch.from_numpy(tokens).to(self.device), state)
        return logits.log_softmax(dim=-1).cpu().numpy(), state

    @torch.inference_mode()
    def select(self, state: Any, index: np.ndarray) -> Any:
        return state.select(torch.from_numpy(index).to(self.device))


class TorchAttentionHead(TorchTokenModel):
    """See :class:`~asrkit.recognition.acoustics.AttentionHead`."""

    @torch.inference_mode()
    def log_probs(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        targets, inputs, rows = self._inputs(texts)
        log_probs = self.decoder(inputs, rows).log_softmax(dim=-1)
        chosen: np.ndarray = log_probs.gather(2, targets[..., None])[..., 0].cpu().numpy()
        return chosen

    @torch.inference_mode()
    def teacher_forced(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """Log probabilities f32[N, U + 1, V] of all tokens after each of the given ones."""
        _, inputs, rows = self._inputs(texts)
        log_probs: np.ndarray = self.decoder(inputs, rows).log_softmax(dim=-1).cpu().numpy()
        return log_probs

    @torch.inference_mode()
    def maps(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        _, inputs, rows = self._inputs(texts)
        maps: np.ndarray = self.decoder.maps(inputs, rows).float().cpu().numpy()
        return maps

    def _inputs(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Encoded]:
        """Targets and inputs int64[N, U + 1]; encoder frames of the one utterance, or each text's own."""
        assert self.encoded is not None
        rows = [torch.tensor([*text, self.eos]) for text in texts]
        targets = pad_sequence(rows, batch_first=True, padding_value=self.eos).to(self.device)
        out, lens = self.encoded
        repeated = Encoded(out.expand(len(rows), -1, -1), lens.expand(len(rows)))
        return targets, decoder_inputs(targets[:, :-1], self.eos), repeated


class TorchEncoded:
    """See :class:`~asrkit.recognition.acoustics.EncodedBatch`."""

    def __init__(self, model: AsrModel, encoded: Encoded) -> None:
        self.model, self.encoded = model, encoded

    @property
    def lens(self) -> np.ndarray:
        return self.encoded.lens.cpu().numpy()

    def utterance(self, index: int) -> TorchEncoded:
        return TorchEncoded(self.model, self.encoded.utterance(index))

    @torch.inference_mode()
    def ctc_log_probs(self) -> tuple[np.ndarray, np.ndarray]:
        log_probs, lens = self.model.ctc_log_probs(self.encoded)
        return log_probs.cpu().numpy(), lens.cpu().numpy()

    @torch.inference_mode()
    def frame_log_probs(self) -> np.ndarray:
        return self.model.frame_log_probs(self.encoded).cpu().numpy()

    def attention(self) -> TorchAttentionHead:
        return TorchAttentionHead(self.model.decoder, self.model.eos, self.encoded)


class TorchAcoustics:
    """See :class:`~asrkit.recognition.acoustics.Acoustics`."""

    def __init__(
        self, model: AsrModel, frontend: Frontend | GivenFeatures, cmvn: Cmvn, device: torch.device
    ) -> None:
        self.model, self.frontend, self.cmvn, self.device = model.to(device).eval(), frontend, cmvn, device
        self.on_cpu, self.threads = device.type == "cpu", torch.get_num_threads()
        self.feature_dim, self.feature_seconds = frontend.dim, frontend.frame_seconds
        self.parameters = sum(p.numel() for p in model.parameters())

    def num_frames(self, samples: int) -> int:
        return self.frontend.num_frames(samples)

    def features(self, waves: Sequence[np.ndarray], multiple: int = 1) -> tuple[Tensor, Tensor]:
        """Normalised features f32[B, T, F] of waves, and their lengths int64[B]; see :meth:`encode`."""
        samples = pad_sequence([torch.from_numpy(w) for w in waves], batch_first=True)
        if more := -samples.shape[1] % multiple:
            samples = torch.nn.functional.pad(samples, (0, more))
        feats, lens = self.frontend(samples, torch.tensor([len(w) for w in waves]))
        return self.cmvn(feats, lens), lens

    @torch.inference_mode()
    def encode(self, waves: Sequence[np.ndarray], multiple: int = 1, shifts: int = 0) -> TorchEncoded:
        feats, lens = (tensor.to(self.device) for tensor in self.features(waves, multiple))
        encoded = self.model.encode(feats, lens)
        if shifts:
            moved = (shift(feats, lens, by) for by in range(-shifts, shifts + 1) if by)
            out = sum((self.model.encode(x, lens).out for x in moved), encoded.out) / (2 * shifts + 1)
            encoded = encoded._replace(out=out)
        return TorchEncoded(self.model, encoded)

    def one_thread(self) -> AbstractContextManager[None]:
        return SINGLE.entered() if self.on_cpu else nullcontext()


class SingleThreaded:
    """Torch computes with one thread for each thread that calls it, while any is inside.

    For a pyramid of LSTMs that is faster than all threads for one batch after the other, which wait for each
    other after every frame; and sums are then formed in one order, for any number of threads. Torch's setting
    belongs to the calling thread, and is the default of threads that have not used torch yet.
    """

    def __init__(self) -> None:
        self.lock, self.inside, self.before = Lock(), 0, 0

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self.lock:
            if not self.inside:
                self.before = torch.get_num_threads()
            self.inside += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                torch.set_num_threads(self.before)


SINGLE = SingleThreaded()


def load_acoustics(
    config: Config, files: dict[str, Path], vocab: int, labels: int, device: str, threads: int
) -> TorchAcoustics:
    """See :func:`asrkit.recognition.backend.open_acoustics`."""
    if threads:
        torch.set_num_threads(threads)
    model = build_model(config, vocab, labels)
    load_weights(files["model.safetensors"], model)
    cmvn = Cmvn(config.features.cmvn, CmvnStats.load(files["cmvn.json"]))
    return TorchAcoustics(model, make_frontend(config.features), cmvn, choose_device(device))


def load_token_model(
    config: LmConfig | RescorerConfig, path: Path, vocab: int, device: str
) -> TorchTokenModel:
    """See :func:`asrkit.recognition.backend.open_token_model`."""
    network = read_network(config, path, vocab, choose_device(device))
    return TorchTokenModel(network.decoder, network.eos)
