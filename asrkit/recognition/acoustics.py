"""The seam between acoustics and search: audio becomes posteriors on one side, the other is NumPy alone.

The searches, alignment and the recogniser know only these interfaces. :mod:`asrkit.recognition.backend` opens
what stands behind them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np


class TokenModel(Protocol):
    """An autoregressive model of tokens: a neural language model, or an attention head on encoded audio.

    A state is opaque; no method changes one that it was given.
    """

    eos: int

    def start(self) -> Any:
        """The state before the first token: one row for each utterance; one for a language model."""

    def step(self, tokens: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        """Log probabilities f32[K, V] of the next token after tokens int64[K], and the state after those."""

    def select(self, state: Any, index: np.ndarray) -> Any:
        """The state of the rows int64[K'] `index`, each of which may occur several times."""


class AttentionHead(TokenModel, Protocol):
    """An attention head on encoded utterances. Texts are token ids of the only utterance, N of them."""

    def log_probs(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """Log probability of each token and of the end, f32[N, U + 1]; beyond a text's end anything."""

    def maps(self, texts: Sequence[Sequence[int]]) -> np.ndarray:
        """Attention weights of each token and the end, f32[N, H, U + 1, T'], of all heads of all layers."""


class EncodedBatch(Protocol):
    """Encoder output of B utterances, and what the heads make of it."""

    @property
    def lens(self) -> np.ndarray:
        """Encoder frames of each utterance, int64[B]."""

    def utterance(self, index: int) -> EncodedBatch:
        """One utterance alone, without padding."""

    def ctc_log_probs(self) -> tuple[np.ndarray, np.ndarray]:
        """Log posteriors f32[B, T'', V] of the CTC head, and its frames int64[B]."""

    def frame_log_probs(self) -> np.ndarray:
        """Log posteriors f32[B, T', C] of the frame labels."""

    def attention(self) -> AttentionHead:
        """The attention head on these utterances."""


class AcousticModel(Protocol):
    """Facts about an acoustic model.

    Attributes:
        heads: of ``ctc``, ``attention`` and ``frame``.
        vocab: number of tokens V.
        eos: id of ``<sos/eos>``.
        stride: feature frames to one encoder frame.
        ctc_frames: CTC frames to one encoder frame.
    """

    heads: frozenset[str]
    vocab: int

    @property
    def eos(self) -> int: ...

    @property
    def stride(self) -> int: ...

    @property
    def ctc_frames(self) -> int: ...


class Acoustics(Protocol):
    """From audio to posteriors: front end, normalisation and acoustic model.

    Waves are samples f32[N], or features f32[T, F] for a model of given features.

    Attributes:
        on_cpu: whether it computes on the CPU.
        threads: CPU threads, for it there and for searches.
        feature_dim: values in a feature frame, F.
        feature_seconds: seconds between two feature frames.
        parameters: number of weights.
    """

    on_cpu: bool
    threads: int
    feature_dim: int
    feature_seconds: float
    parameters: int

    @property
    def model(self) -> AcousticModel: ...

    def num_frames(self, samples: int) -> int:
        """Feature frames of a wave."""

    def encode(self, waves: Sequence[np.ndarray], multiple: int = 1, shifts: int = 0) -> EncodedBatch:
        """Encode waves as one batch.

        Args:
            waves: of any lengths.
            multiple: pad until the longest is a multiple of this.
            shifts: also encode the features shifted by up to this many frames, and average.
        """

    def one_thread(self) -> AbstractContextManager[None]:
        """Inside, each calling thread computes alone, so that batches share the cores."""
