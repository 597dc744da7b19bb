"""The interface of the ctcdecode package, on asrkit's beam searches: a script changes only its import.

    from asrkit.ctcdecode import CTCBeamDecoder  # was: from ctcdecode import CTCBeamDecoder

``docs/ctcdecode.md`` lists the differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.ctc_kernels import peak_frames, prefix_beam
from asrkit.recognition.decoding.ctcdecode_lm import NgramSearch
from asrkit.recognition.decoding.posteriors import FramePosteriors, each, utterances

if TYPE_CHECKING:
    import torch

__all__ = ["CTCBeamDecoder", "DecoderState", "OnlineCTCBeamDecoder"]

TINIEST = np.finfo(np.float32).tiny  # added to probabilities, so that those of 0 have a logarithm

Batch = TypeVar("Batch", "torch.Tensor", np.ndarray)


class Beams(NamedTuple):
    """The hypotheses of one utterance, N <= beam_width, best first.

    Attributes:
        tokens: int32[N, T], at the end of each row.
        lengths: int64[N], number of tokens.
        scores: float64[N], log probability of the token sequence under CTC.
        frames: int32[N, T], the frame of each token, in the same layout.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    scores: np.ndarray
    frames: np.ndarray


NO_BEAMS = Beams(np.zeros((0, 0), np.int32), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 0), np.int32))


class _Decoder:
    """The arguments and the language model of both decoders."""

    def __init__(
        self,
        labels: Sequence[str],
        model_path: Path | str | None = None,
        alpha: float = 0,
        beta: float = 0,
        cutoff_top_n: int = 40,
        cutoff_prob: float = 1.0,
        beam_width: int = 100,
        num_processes: int = 4,
        blank_id: int = 0,
        log_probs_input: bool = False,
    ) -> None:
        labels = list(labels)
        if beam_width < 1 or cutoff_top_n < 1 or num_processes < 1 or not cutoff_prob > 0:
            raise UsageError(
                f"beam_width {beam_width}, cutoff_top_n {cutoff_top_n}, cutoff_prob {cutoff_prob}, "
                f"num_processes {num_processes}",
                "the numbers must be at least 1, cutoff_prob above 0 (1.0: no cut-off)",
            )
        if not 0 <= blank_id < len(labels):
            raise UsageError(f"blank_id {blank_id} of {len(labels)} labels", "labels count from 0")
        self.cutoff_top_n, self._cutoff_prob = cutoff_top_n, cutoff_prob
        self._beam_width, self._num_processes = beam_width, num_processes
        self._num_labels, self._blank_id, self._log_probs = len(labels), blank_id, log_probs_input
        self._lm = NgramSearch(labels, blank_id, model_path, alpha, beta) if model_path else None

    def character_based(self) -> bool | None:
        """Whether the language model is one of characters; None without a model."""
        return self._lm.character_based if self._lm else None

    def max_order(self) -> int | None:
        """Order of the language model; None without a model."""
        return self._lm.lm.order if self._lm else None

    def dict_size(self) -> int | None:
        """Number of words of the model that the labels can spell, 0 if characters; None without a model."""
        return self._lm.dict_size if self._lm else None

    def reset_params(self, alpha: float, beta: float) -> None:
        """Set the weights of the language model. Raises UsageError for a negative `alpha`."""
        if self._lm:
            self._lm.set_weights(alpha, beta)

    def _read_batch(self, probs: Any, seq_lens: Any) -> list[FramePosteriors]:
        values = _array(probs).astype(np.float32, copy=False)
        if values.ndim != 3:
            raise UsageError(
                f"posteriors of shape {values.shape}",
                "give batch x frames x labels; one utterance: probs[None]",
            )
        batch, frames, vocab = values.shape
        if vocab != self._num_labels:
            raise UsageError(
                f"{self._num_labels} labels for posteriors of {vocab} classes (shape {values.shape})",
                "give one label for each class, blank too, and posteriors as batch x frames x labels",
            )
        lens = np.full(batch, frames) if seq_lens is None else _array(seq_lens).astype(np.int64)
        if lens.shape != (batch,) or (lens < 0).any():
            raise UsageError(f"lengths {lens.tolist()} of {batch} utterances", "give each its frames")
        lens = np.minimum(lens, frames)
        valid = values[np.arange(frames) < lens[:, None]]
        if not self._log_probs:
            if (valid < 0).any():
                raise DataError(
                    f"a probability of {valid.min():.4g}",
                    "set log_probs_input=True for log probabilities; logits need a softmax first",
                )
            with np.errstate(invalid="ignore"):
                values = np.log(values + TINIEST)
        elif valid.size and (valid >= 0).all() and (np.abs(valid.sum(axis=1) - 1) < 1e-3).all():
            raise DataError(
                "these are probabilities, not their logarithms",
                "remove log_probs_input=True, or use log_softmax instead of softmax",
            )
        return utterances(values, lens)

    def _search(self, utterance: FramePosteriors) -> Beams:
        frames = _prune(utterance.frames, self.cutoff_top_n, self._cutoff_prob)
        floor = np.full(len(frames), -np.inf, np.float32)
        search = self._lm.search if self._lm else prefix_beam
        tokens, lengths, scores = search(frames, floor, self._beam_width, self._beam_width, self._blank_id)
        peaks = peak_frames(frames, utterance.best, tokens, lengths, self._blank_id)
        return Beams(tokens, lengths, scores, peaks)

    def _results(
        self, like: Batch, beams: Sequence[Beams], count: int, longest: int
    ) -> tuple[Batch, Batch, Batch, Batch]:
        """``beam_results, beam_scores, timesteps, out_lens``, for `count` beams of `longest` labels."""
        results = np.zeros((2, len(beams), count, longest), np.int32)
        scores = np.full((len(beams), self._beam_width), np.inf, np.float32)
        out_lens = np.zeros((len(beams), self._beam_width), np.int32)
        for b, (tokens, lengths, log_probs, frames) in enumerate(beams):
            n, width = tokens.shape
            filled = np.arange(longest) < lengths[:, None]
            taken = np.arange(width) >= width - lengths[:, None]
            results[0, b, :n][filled] = tokens[taken]
            results[1, b, :n][filled] = frames[taken]
            scores[b, :n] = 0.0 - log_probs
            out_lens[b, :n] = lengths
        arrays: list[Any] = [results[0], scores, results[1], out_lens]
        if not isinstance(like, np.ndarray):
            import torch

            arrays = [torch.from_numpy(array) for array in arrays]
        return arrays[0], arrays[1], arrays[2], arrays[3]


class CTCBeamDecoder(_Decoder):
    """CTC prefix beam search, optionally with an n-gram model.

    Args:
        labels: one string for each class of the model, in order. Their text matters only to a language model.
        model_path: n-gram model of words or characters, an ARPA file or one written by ``asrkit lm``.
        alpha: weight of its log probabilities, at least 0.
        beta: added for each word, or each character.
        cutoff_top_n: number of the likeliest classes used in each frame; blank need not be among them.
        cutoff_prob: only the likeliest of these until their probabilities sum to this value.
        beam_width: label sequences kept after each frame, and returned.
        num_processes: utterances decoded at once, each in a thread.
        blank_id: class of blank.
        log_probs_input: whether posteriors are natural logarithms.

    Raises:
        UsageError: an argument out of range, or a model of words without a label for the space.
        DataError: a language model that is not readable, or of which the labels can spell no word.
    """

    def decode(
        self, probs: Batch, seq_lens: torch.Tensor | np.ndarray | Sequence[int] | None = None
    ) -> tuple[Batch, Batch, Batch, Batch]:
        """Decode a batch.

        Args:
            probs: posteriors or their logarithms, B x T x labels: a tensor on any device, or an array.
            seq_lens: B, valid frames; what lies beyond them has no influence. All T without it.

        Returns:
            Tensors on the CPU, or arrays if `probs` is one:

            beam_results: int32[B, beam_width, T], labels, best hypothesis first.
            beam_scores: float32[B, beam_width], −log p of the label sequence under CTC alone. The order is
                that of the score with the language model: log p + Σ (alpha · log p(word) + beta).
            timesteps: int32[B, beam_width, T], the frame of each label, see ``peak_frames``.
            out_lens: int32[B, beam_width], number of labels.

            Unused elements are 0; the scores of missing hypotheses are +inf.

        Raises:
            UsageError: inconsistent shapes, lengths and labels.
            DataError: posteriors that contradict `log_probs_input`, or NaN.
        """
        beams = each(self._search, self._read_batch(probs, seq_lens), self._num_processes)
        return self._results(probs, beams, self._beam_width, probs.shape[1])


class OnlineCTCBeamDecoder(_Decoder):
    """The same for posteriors that arrive in pieces; with the arguments of :class:`CTCBeamDecoder`.

    Nothing is returned before an utterance has ended; its frames are kept until then and searched at once.
    """

    def decode(
        self,
        probs: Batch,
        states: Sequence[DecoderState],
        is_eos_s: Sequence[bool],
        seq_lens: torch.Tensor | np.ndarray | Sequence[int] | None = None,
    ) -> tuple[Batch, Batch, Batch, Batch]:
        """Receive the next frames of each utterance, and decode those that end.

        Args:
            probs, seq_lens: as for :meth:`CTCBeamDecoder.decode`.
            states: of each utterance, the one of its earlier frames.
            is_eos_s: whether the utterance ends with these frames.

        Returns:
            As :meth:`CTCBeamDecoder.decode`, but `beam_results` and `timesteps` are only as large as the most
            hypotheses and the longest one: int32[B, 0, 0] if no utterance ends.

        Raises:
            UsageError, DataError: as there; or fewer states than utterances, or states of another decoder.
        """
        batch = self._read_batch(probs, seq_lens)
        if min(len(states), len(is_eos_s)) < len(batch):
            raise UsageError(
                f"{len(batch)} utterances, {len(states)} states, {len(is_eos_s)} is_eos_s",
                "give each its own",
            )
        if any(state.decoder is not self for state in states):
            raise UsageError("a state of another decoder", "make it with DecoderState(decoder)")
        for utterance, state in zip(batch, states, strict=False):
            state.pieces.append(utterance.frames.copy())  # callers reuse their buffer
        complete = [states[b].utterance() for b in range(len(batch)) if is_eos_s[b]]
        found = iter(each(self._search, complete, self._num_processes))
        beams = [next(found) if is_eos_s[b] else NO_BEAMS for b in range(len(batch))]
        longest = max((int(n) for each in beams for n in each.lengths), default=0)
        count = max((len(each.lengths) for each in beams), default=0)
        return self._results(probs, beams, count, longest)


class DecoderState:
    """The frames that an utterance has sent to an :class:`OnlineCTCBeamDecoder` so far."""

    def __init__(self, decoder: OnlineCTCBeamDecoder) -> None:
        self.decoder = decoder
        self.pieces: list[np.ndarray] = []

    def utterance(self) -> FramePosteriors:
        """All frames so far."""
        frames = np.concatenate(self.pieces)
        return utterances(frames[None], np.array([len(frames)]))[0]


def _array(values: Any) -> np.ndarray:
    """A tensor on any device, an array or a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)


def _prune(log_probs: np.ndarray, top_n: int, mass: float) -> np.ndarray:
    """Each frame's likeliest classes, at most `top_n`, until they add up to `mass`; others become -inf."""
    vocab = log_probs.shape[1]
    pruned = log_probs.copy() if top_n < vocab or mass < 1 else log_probs
    if top_n < vocab:
        least = np.argpartition(log_probs, vocab - top_n, axis=1)[:, : vocab - top_n]
        np.put_along_axis(pruned, least, -np.inf, axis=1)
    if mass < 1:
        order = np.argsort(-log_probs, axis=1, kind="stable")
        probs = np.exp(np.take_along_axis(log_probs, order, axis=1).astype(np.float64))
        enough = probs.cumsum(axis=1) - probs >= mass
        np.put_along_axis(pruned, order, np.where(enough, -np.inf, np.take_along_axis(pruned, order, 1)), 1)
    return pruned
