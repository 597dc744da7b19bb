"""The interface of the ctcdecode package on asrkit's own beam searches: a script changes only its import.

    from asrkit.ctcdecode import CTCBeamDecoder  # was: from ctcdecode import CTCBeamDecoder

``docs/ctcdecode.md`` says what is the same and what differs.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.ctc_kernels import peak_frames, prefix_beam
from asrkit.recognition.decoding.lexicon_graph import lexicon_graph, word_model
from asrkit.recognition.decoding.lexicon_kernels import lexicon_beam
from asrkit.recognition.decoding.posteriors import FramePosteriors, utterances
from asrkit.recognition.ngram.model import WORD_UNK_ID, read_ngram
from asrkit.recognition.ngram.trie_kernels import predict
from asrkit.recognition.text.spellings import Spellings

if TYPE_CHECKING:
    import torch

__all__ = ["CTCBeamDecoder", "DecoderState", "OnlineCTCBeamDecoder"]

SPACE = " "
OOV_SCORE = -1000.0  # log probability of what the language model does not know
TINIEST = np.finfo(np.float32).tiny  # added to probabilities, so that those of 0 have a logarithm

Batch = TypeVar("Batch", "torch.Tensor", np.ndarray)


class Beams(NamedTuple):
    """The hypotheses of one utterance, N <= beam_width, best first.

    Attributes:
        tokens: int32[N, T], at the end of each row.
        lengths: int64[N], how many they are.
        scores: float64[N], log probability of the token sequence under CTC.
        frames: int32[N, T], of each token, laid out as the tokens are.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    scores: np.ndarray
    frames: np.ndarray


NONE = Beams(np.zeros((0, 0), np.int32), np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 0), np.int32))


class Scorer:
    """An n-gram model of characters or of words, and the search with it.

    Where every entry of the model is one character, each label is scored as it comes. Else the labels spell
    words of the model, with a space after each but the last; a word is scored at its space, the last one at
    the end, and what is then no word of the model counts as unknown.

    Args:
        labels: one string for each class.
        blank: id of blank.
        path: the model's file.
        alpha: weight of its log probabilities, at least 0.
        beta: added for each character or word.

    Raises:
        DataError: the file is not readable, or the labels cannot spell any of its words.
        UsageError: a negative weight, or a model of words and no label for the space.
    """

    def __init__(
        self, labels: Sequence[str], blank: int, path: Path | str, alpha: float, beta: float
    ) -> None:
        self.labels = labels
        self.lm = read_ngram(path)
        self.character_based = all(len(word) == 1 for word in self.lm.vocabulary)
        classes = [index for index in range(len(labels)) if index != blank]
        lexicon: dict[str, list[list[int]]] = {}
        if self.character_based:
            for index in classes:
                lexicon.setdefault(labels[index], []).append([index])
        else:
            ids = {labels[index]: index for index in classes}
            if SPACE not in ids:
                raise UsageError(
                    f"{path} is a language model of words, and no label is a space",
                    "give the class between words the label ' ', or take a model of characters",
                )
            for word in self.lm.vocabulary:
                if all(character in ids for character in word):
                    lexicon[word] = [[ids[character] for character in (*word, SPACE)]]
            if not lexicon:
                raise DataError(f"the labels cannot spell any word of {path}", "is one of them in capitals?")
        self.dict_size = 0 if self.character_based else len(lexicon)
        self._words = list(lexicon)
        self._graph = lexicon_graph(Spellings.of(lexicon), len(labels), blank=blank)
        self.weigh(alpha, beta)

    def weigh(self, alpha: float, beta: float) -> None:
        """Set the weights. Raises UsageError for a negative `alpha`."""
        model = word_model(self._graph, self._words, self.lm, alpha, beta)
        if (model.ids == WORD_UNK_ID).any():
            log_probs = model.ngrams.log_probs.copy()
            log_probs[1:][model.ngrams.keys % model.ngrams.size == WORD_UNK_ID] = OOV_SCORE
            model = model._replace(ngrams=model.ngrams._replace(log_probs=log_probs))
        self._model = model
        # A hypothesis may end anywhere, and words count when they have ended, not before.
        self._graph = self._graph._replace(
            final=np.ones_like(self._graph.final), ahead=np.zeros_like(self._graph.ahead)
        )

    def search(
        self, log_probs: np.ndarray, floor: np.ndarray, beam_size: int, nbest: int, blank: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As ``prefix_beam``, in the order of the scores with the language model; those returned are without.

        No hypotheses where the labels of some frames let no word go on.
        """
        arcs, lengths, scores, _ = lexicon_beam(
            log_probs, floor, self._graph, self._model, beam_size, math.inf, nbest, beam_size, blank
        )
        follow = functools.cache(lambda context, word: predict(self._model.ngrams, context, word))
        tokens = self._graph.token[arcs]
        gains = [self._gain(row[len(row) - n :], follow) for row, n in zip(tokens, lengths, strict=True)]
        order = np.argsort(-(scores + np.array(gains)), kind="stable")
        return tokens[order], lengths[order], scores[order]

    def _gain(self, tokens: np.ndarray, follow: Any) -> float:
        """``alpha * log p + beta`` of every character or word; an unknown one spoils all n-grams it is in."""
        text = [self.labels[token] for token in tokens]
        if not self.character_based:
            text = [word for word in "".join(text).split(SPACE) if word]
        total, context, known = 0.0, self.lm.start, self.lm.order
        for word in text:
            index = self.lm.ids.get(word, WORD_UNK_ID)
            log_prob, context = follow(context, index)
            known = 0 if index == WORD_UNK_ID else known + 1
            total += self._model.weight * (log_prob if known >= self.lm.order else OOV_SCORE)
        return total + self._model.bonus * len(text)


class _Decoder:
    """What both decoders have in common: their arguments and what they know of the language model."""

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
        self._labels, self._num_labels = labels, len(labels)
        self._blank_id, self._log_probs = blank_id, log_probs_input
        self._scorer = Scorer(labels, blank_id, model_path, alpha, beta) if model_path else None

    def character_based(self) -> bool | None:
        """Whether the language model is one of characters; None without one."""
        return self._scorer.character_based if self._scorer else None

    def max_order(self) -> int | None:
        """Words (or characters) of the language model's longest n-grams; None without one."""
        return self._scorer.lm.order if self._scorer else None

    def dict_size(self) -> int | None:
        """How many words of the language model the labels can spell, 0 if characters; None without one."""
        return self._scorer.dict_size if self._scorer else None

    def reset_params(self, alpha: float, beta: float) -> None:
        """Weigh the language model anew. Raises UsageError for a negative `alpha`."""
        if self._scorer:
            self._scorer.weigh(alpha, beta)

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
                "leave out log_probs_input=True, or take log_softmax in place of softmax",
            )
        return utterances(values, lens)

    def _search(self, utterance: FramePosteriors) -> Beams:
        frames = _prune(utterance.frames, self.cutoff_top_n, self._cutoff_prob)
        floor = np.full(len(frames), -np.inf, np.float32)
        search = self._scorer.search if self._scorer else prefix_beam
        tokens, lengths, scores = search(frames, floor, self._beam_width, self._beam_width, self._blank_id)
        peaks = peak_frames(frames, utterance.best, tokens, lengths, self._blank_id)
        return Beams(tokens, lengths, scores, peaks)

    def _search_all(self, batch: Sequence[FramePosteriors]) -> list[Beams]:
        threads = min(self._num_processes, len(batch))
        if threads <= 1:
            return [self._search(utterance) for utterance in batch]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._search, batch))

    def _results(
        self, like: Batch, found: Sequence[Beams], count: int, longest: int
    ) -> tuple[Batch, Batch, Batch, Batch]:
        """``beam_results, beam_scores, timesteps, out_lens``, for `count` beams of `longest` labels."""
        results = np.zeros((2, len(found), count, longest), np.int32)
        scores = np.full((len(found), self._beam_width), np.inf, np.float32)
        out_lens = np.zeros((len(found), self._beam_width), np.int32)
        for b, (tokens, lengths, log_probs, frames) in enumerate(found):
            n, width = tokens.shape
            filled = np.arange(longest) < lengths[:, None]
            taken = np.arange(width) >= width - lengths[:, None]
            results[0, b, :n][filled] = tokens[taken]
            results[1, b, :n][filled] = frames[taken]
            scores[b, :n] = 0.0 - log_probs
            out_lens[b, :n] = lengths
        arrays: Any = (results[0], scores, results[1], out_lens)
        if not isinstance(like, np.ndarray):
            import torch

            arrays = tuple(torch.from_numpy(array) for array in arrays)
        return arrays


class CTCBeamDecoder(_Decoder):
    """CTC prefix beam search, with an n-gram model if wanted.

    Args:
        labels: one string for each class of the model, in order. Their text matters only to a language model.
        model_path: n-gram model of words or characters, an ARPA file or one of ``asrkit lm``.
        alpha: weight of its log probabilities, at least 0.
        beta: added for each word, or each character.
        cutoff_top_n: classes looked at in each frame, the likeliest; blank is one of them or not.
        cutoff_prob: of these, no more than it takes for their probabilities to add up to this much.
        beam_width: label sequences kept after each frame, and returned.
        num_processes: utterances decoded at once, each in a thread.
        blank_id: class of blank.
        log_probs_input: whether posteriors come as natural logarithms.

    Raises:
        UsageError: an argument out of range, or a model of words without a label for the space.
        DataError: a language model that is not readable, or has no word that the labels can spell.
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
            out_lens: int32[B, beam_width], how many labels there are.

            Unused places hold 0, the scores of hypotheses that do not exist +inf.

        Raises:
            UsageError: shapes, lengths and labels do not go together.
            DataError: posteriors that are not what `log_probs_input` says, or NaN.
        """
        batch = self._read_batch(probs, seq_lens)
        return self._results(probs, self._search_all(batch), self._beam_width, probs.shape[1])


class OnlineCTCBeamDecoder(_Decoder):
    """The same for posteriors that come piece by piece; its arguments are those of :class:`CTCBeamDecoder`.

    Nothing is returned before an utterance has ended, so its frames are kept until then and searched at once.
    """

    def decode(
        self,
        probs: Batch,
        states: Sequence[DecoderState],
        is_eos_s: Sequence[bool],
        seq_lens: torch.Tensor | np.ndarray | Sequence[int] | None = None,
    ) -> tuple[Batch, Batch, Batch, Batch]:
        """Take the next frames of each utterance, and decode those that end.

        Args:
            probs, seq_lens: as for :meth:`CTCBeamDecoder.decode`.
            states: of each utterance, the one of its earlier frames.
            is_eos_s: whether each ends here.

        Returns:
            As :meth:`CTCBeamDecoder.decode`, but `beam_results` and `timesteps` are only as large as the most
            hypotheses and the longest one, so int32[B, 0, 0] where no utterance ends.

        Raises:
            UsageError, DataError: as there; fewer states than utterances, or those of another decoder.
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
            state.pieces.append(utterance.frames.copy())  # callers fill their buffer again
        ended = [b for b in range(len(batch)) if is_eos_s[b]]
        found = [NONE] * len(batch)
        for b, beams in zip(ended, self._search_all([states[b].utterance() for b in ended]), strict=True):
            found[b] = beams
        longest = max((int(n) for beams in found for n in beams.lengths), default=0)
        count = max((len(beams.lengths) for beams in found), default=0)
        return self._results(probs, found, count, longest)


class DecoderState:
    """The frames that an utterance has sent to an :class:`OnlineCTCBeamDecoder` so far."""

    def __init__(self, decoder: OnlineCTCBeamDecoder) -> None:
        self.decoder = decoder
        self.pieces: list[np.ndarray] = []

    def utterance(self) -> FramePosteriors:
        """All of them together."""
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
