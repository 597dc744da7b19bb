"""CTC beam search over the words of a lexicon, with a word n-gram model."""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from asrkit.recognition.decoding.ctc_kernels import align
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.lexicon_graph import check_beam, lexicon_graph, word_model
from asrkit.recognition.decoding.lexicon_kernels import lexicon_beam
from asrkit.recognition.decoding.posteriors import (
    IMPOSSIBLE,
    FramePosteriors,
    ctc_hypothesis,
    each,
    stretches,
    utterances,
)
from asrkit.recognition.ngram.model import NgramModel
from asrkit.recognition.text.spellings import Spellings, TokenLexicon
from asrkit.recognition.text.tokenizer import BLANK_ID, SPACE

PAUSE_SECONDS = 0.3  # within words, CTC is silent for less


class TextScorer(Protocol):
    """A language model of whole texts; :class:`asrkit.recognition.decoding.rescorer.Rescorer` is one."""

    def log_probs(self, texts: Sequence[str]) -> np.ndarray: ...


class SecondPass(NamedTuple):
    """Rescoring of the n-best list of a search.

    Attributes:
        scorer: another language model.
        share: its share of the language model weight in a log-linear interpolation, 0 to 1.
        nbest: hypotheses of the search that are rescored.
        seconds: longer utterances are cut at pauses into segments of about this length, each rescored alone:
            the n-best list of a long utterance varies in a few places only.
    """

    scorer: TextScorer
    share: float
    nbest: int
    seconds: float = 12.0


class WordSequence(NamedTuple):
    """A sequence of words.

    Attributes:
        tokens: int32[U], of all words.
        words: of the lexicon.
        ends: where in `tokens` each word ends.
        ctc: log probability of the tokens.
        lms: log probability of the words by each language model.
    """

    tokens: np.ndarray
    words: tuple[int, ...]
    ends: tuple[int, ...]
    ctc: float
    lms: dict[str, float]


class CtcLexiconSearch:
    """Prefix beam search (as in ``ctc_prefix_beam``) over sequences of a lexicon's words.

    Where ``<space>`` is a token, one stands between two words, and none before the first or after the last.
    Every sequence of tokens collects the probability of all its paths, so that with a beam wide enough, no
    limit on tokens and no threshold, the scores are exact. Of the spellings of a sequence of words, the best
    counts. A full beam makes room by keeping, of sequences that no later word can tell apart, the best; where
    N hypotheses are wanted, the best √N in a beam wider by the root of that, lest they crowd out what may
    still win.

    Args:
        tokens: the token strings by id, blank first.
        lexicon: words and their spellings; see :func:`asrkit.recognition.text.spellings.spelled`.
        lm: n-gram model of words, or its ARPA file. A word that it does not list is its ``<unk>``.
        beam_size: sequences kept after each frame.
        beam_tokens: number of the likeliest tokens used in each frame, besides blank; 0: all.
        beam_threshold: sequences with a score more than this below the best are dropped.
        lm_weight: weight of the model's log probabilities.
        word_bonus: added for each word.
        nbest: hypotheses returned for each utterance, at most `beam_size`.
        threads: utterances decoded at once.
        second: rescores the hypotheses.

    Raises:
        UsageError: a size, threshold or weight is out of range.
        DataError: no word has a spelling, or one holds something that is no token; a faulty ARPA file.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        lexicon: TokenLexicon | Spellings,
        lm: NgramModel | Path | None,
        *,
        beam_size: int = 100,
        beam_tokens: int = 0,
        beam_threshold: float = 50.0,
        lm_weight: float = 1.0,
        word_bonus: float = 0.0,
        nbest: int = 1,
        threads: int = 1,
        second: SecondPass | None = None,
    ) -> None:
        check_beam(beam_size, beam_threshold, nbest, beam_tokens)
        spellings = Spellings.of(lexicon)
        self.words = spellings.words
        self.separator = tokens.index(SPACE) if SPACE in tokens else None
        self.graph = lexicon_graph(spellings, len(tokens), blank=BLANK_ID, separator=self.separator)
        self.lm = word_model(self.graph, self.words, lm, lm_weight, word_bonus)
        self.named_lm = lm is not None
        self.beam_size, self.beam_tokens, self.beam_threshold = beam_size, beam_tokens, float(beam_threshold)
        self.nbest, self.threads, self.second = nbest, threads, second

    def __call__(
        self, log_probs: np.ndarray, lens: np.ndarray, frame_seconds: float
    ) -> list[list[Hypothesis]]:
        """Decode a batch.

        Args:
            log_probs: log posteriors f32[B, T, V].
            lens: int64[B], valid frames; what lies beyond them has no influence.
            frame_seconds: seconds per frame, for the times.

        Returns:
            The n-best list of each utterance, best first, no two with the same words. ``score`` is
            ``ctc + lm_weight * lm + word_bonus * words`` of its parts (where there is a second pass, with
            ``(1 - share) * lm + share * rescorer`` for ``lm``); times and confidences are those of
            ``ctc_prefix_beam``. A token of probability 0 has the log probability -1e30 here, so that some
            sequence is always found.

        Raises:
            DataError: a frame holds NaN or +inf, or gives no token a probability above zero.
        """

        def decode(utterance: FramePosteriors) -> list[Hypothesis]:
            frames = np.maximum(utterance.frames, IMPOSSIBLE)
            if self.second is None:
                best = list(islice(self._search(frames), self.nbest))
            else:
                most, pause = (round(x / frame_seconds) for x in (self.second.seconds, PAUSE_SECONDS))
                cut = stretches(utterance.path == BLANK_ID, most, pause)
                best = self._joined(self._rescored(self._search(frames[part])) for part in cut)
            return [self._hypothesis(sequence, frames, utterance.best, frame_seconds) for sequence in best]

        return each(decode, utterances(log_probs, lens), self.threads)

    def _search(self, frames: np.ndarray) -> Iterator[WordSequence]:
        """Sequences of words, each once, best first."""
        count, vocab = frames.shape
        floor = np.full(count, -np.inf, np.float32)
        if 0 < self.beam_tokens < vocab:
            floor = np.partition(frames, -self.beam_tokens, axis=1)[:, -self.beam_tokens]
        per_state = math.ceil(math.sqrt(max(self.nbest, self.second.nbest if self.second else 1)))
        size = self.beam_size * math.ceil(math.sqrt(per_state))
        rows = lexicon_beam(
            frames, floor, self.graph, self.lm, size, self.beam_threshold, size, per_state, BLANK_ID
        )
        seen: set[tuple[int, ...]] = set()
        for row, length, ctc, lm in zip(*rows, strict=True):
            arcs = row[count - length :]
            ends = np.flatnonzero(self.graph.word[arcs] >= 0)
            words = tuple(self.graph.word[arcs[ends]].tolist())
            if words not in seen and not (seen and ctc < IMPOSSIBLE / 2):
                seen.add(words)
                lms = {"lm": float(lm)} if self.named_lm else {}
                yield WordSequence(self.graph.token[arcs], words, tuple((ends + 1).tolist()), float(ctc), lms)

    def _rescored(self, sequences: Iterator[WordSequence]) -> list[WordSequence]:
        """The best sequences of the search after rescoring."""
        assert self.second is not None
        first = list(islice(sequences, max(self.nbest, self.second.nbest)))
        texts = [" ".join(self.words[word] for word in sequence.words) for sequence in first]
        scores = self.second.scorer.log_probs(texts).tolist()
        scored = [f._replace(lms={**f.lms, "rescorer": x}) for f, x in zip(first, scores, strict=True)]
        return heapq.nlargest(self.nbest, scored, key=self._score)

    def _joined(self, parts: Iterator[list[WordSequence]]) -> list[WordSequence]:
        """The best combinations of one sequence from each segment."""
        best = next(parts)
        for more in parts:
            pairs = (self._chain(before, after) for before in best for after in more)
            best = heapq.nlargest(self.nbest, pairs, key=self._score)
        return best

    def _chain(self, before: WordSequence, after: WordSequence) -> WordSequence:
        between = [self.separator] if self.separator is not None and before.words and after.words else []
        moved = len(before.tokens) + len(between)
        return WordSequence(
            np.concatenate([before.tokens, np.array(between, np.int32), after.tokens]),
            before.words + after.words,
            before.ends + tuple(end + moved for end in after.ends),
            before.ctc + after.ctc,
            {name: score + after.lms[name] for name, score in before.lms.items()},
        )

    def _score(self, sequence: WordSequence) -> float:
        share = self.second.share if self.second else 0.0
        lm = (1 - share) * sequence.lms.get("lm", 0.0) + share * sequence.lms.get("rescorer", 0.0)
        return sequence.ctc + self.lm.weight * lm + self.lm.bonus * len(sequence.words)

    def _hypothesis(
        self, sequence: WordSequence, frames: np.ndarray, best: np.ndarray, frame_seconds: float
    ) -> Hypothesis:
        spans, peaks = align(frames, best, sequence.tokens, BLANK_ID)
        words, begin = [], 0
        for word, end in zip(sequence.words, sequence.ends, strict=True):
            words.append((self.words[word], begin, end))
            begin = end + (self.separator is not None)
        return replace(
            ctc_hypothesis(sequence.tokens.tolist(), sequence.ctc, spans, peaks, frame_seconds),
            score=self._score(sequence),
            parts={"ctc": sequence.ctc, **sequence.lms},
            words=tuple(words),
        )
