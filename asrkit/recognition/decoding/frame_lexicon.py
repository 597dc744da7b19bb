"""Decoding of frame classifiers over the words of a lexicon, with a word n-gram model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from asrkit.recognition.decoding.frame_viterbi import Chain, best_segments, segment_hypothesis
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.lexicon_graph import check_beam, lexicon_graph, word_model
from asrkit.recognition.decoding.lexicon_path import lexicon_path
from asrkit.recognition.decoding.posteriors import IMPOSSIBLE, utterances
from asrkit.recognition.ngram.model import NgramModel
from asrkit.recognition.text.spellings import Spellings, TokenLexicon


class FrameLexiconSearch:
    """The best path through words, each a sequence of labels that last some frames.

    Viterbi, with frames that count as in ``frame_viterbi_search``. Silence may come before, between and after
    words.

    Args:
        lexicon: words and their spellings in classes.
        lm: n-gram model of words, or its ARPA file. A word that it does not list is its ``<unk>``.
        log_priors: f32[C].
        token_ids: token id of each class; that of silence is not used.
        silence: the class that stands between words.
        min_frames: fewest frames a label lasts, at least 1.
        prior_weight: weight of the log priors, which are subtracted.
        beam_size: paths kept after each frame.
        beam_threshold: paths with a score more than this below the best are dropped.
        lm_weight: weight of the model's log probabilities.
        word_bonus: added for each word.

    Raises:
        UsageError: a size, threshold or weight is out of range.
        DataError: no word has a spelling, or one holds something that is no class; a faulty ARPA file.
    """

    def __init__(
        self,
        lexicon: TokenLexicon,
        lm: NgramModel | Path | None,
        *,
        log_priors: np.ndarray,
        token_ids: Sequence[int],
        silence: int = 0,
        min_frames: int = 3,
        prior_weight: float = 0.5,
        beam_size: int = 1000,
        beam_threshold: float = 200.0,
        lm_weight: float = 1.0,
        word_bonus: float = 0.0,
    ) -> None:
        check_beam(beam_size, beam_threshold)
        self.token_ids, self.silence = token_ids, silence
        self.min_frames = max(1, min_frames)
        # A label is as many arcs as it lasts frames at least.
        plain = Spellings.of(lexicon)
        lengths, tokens = plain.lengths * self.min_frames, np.repeat(plain.tokens, self.min_frames)
        arcs, self.words = plain._replace(lengths=lengths, tokens=tokens), plain.words
        self.graph = lexicon_graph(arcs, len(log_priors), silence=[silence] * self.min_frames)
        self.lm = word_model(self.graph, self.words, lm, lm_weight, word_bonus)
        self.named_lm = lm is not None
        self.offset = np.float32(prior_weight) * np.asarray(log_priors, np.float32)
        self.beam_size, self.beam_threshold = beam_size, float(beam_threshold)

    def __call__(
        self, log_probs: np.ndarray, lens: np.ndarray, frame_seconds: float
    ) -> list[list[Hypothesis]]:
        """Decode a batch.

        Args:
            log_probs: log posteriors f32[B, T, C].
            lens: int64[B], valid frames; what lies beyond them has no influence.
            frame_seconds: seconds per frame, for the times.

        Returns:
            One hypothesis per utterance, each in a list of its own. ``score`` is
            ``frame + lm_weight * lm + word_bonus * words`` of its parts; confidences are those of
            ``frame_viterbi_search``. An utterance with too few frames for any label, or whose beam was too
            narrow to reach the end of any, has no words and the score -1e30.

        Raises:
            DataError: a frame holds NaN or +inf, or gives no label a probability above zero.
        """
        return [[self._decode(frames, frame_seconds)] for frames, _, _ in utterances(log_probs, lens)]

    def _decode(self, frames: np.ndarray, frame_seconds: float) -> Hypothesis:
        scores = np.maximum(frames, IMPOSSIBLE) - self.offset
        arcs, acoustic, lm = lexicon_path(scores, self.graph, self.lm, self.beam_size, self.beam_threshold)
        if len(arcs) == 0:
            any_frames = len(frames) > 0
            return Hypothesis((), float(IMPOSSIBLE) * any_frames, confidence=1.0 - any_frames, words=())
        labels = self.graph.token[arcs[:: self.min_frames]].astype(np.int64)
        after = np.arange(1, len(labels))
        chain = Chain(
            labels=labels,
            first=np.concatenate([[0, 0], after]),
            source=after - 1,
            weight=np.zeros(len(after)),
            start=np.arange(len(labels)) == 0,
            final=np.arange(len(labels)) == len(after),
        )
        _, begins, _ = best_segments(scores, *chain, self.min_frames)
        words, begin = [], 0
        spoken = np.cumsum(labels != self.silence)
        for place in np.flatnonzero(self.graph.word[arcs] >= 0):
            end = int(spoken[place // self.min_frames])
            words.append((self.words[self.graph.word[arcs[place]]], begin, end))
            begin = end
        score = acoustic + self.lm.weight * lm + self.lm.bonus * len(words)
        parts = {"frame": acoustic, "lm": lm} if self.named_lm else {"frame": acoustic}
        plain = segment_hypothesis(
            frames, labels, begins, score, parts, self.token_ids, frame_seconds, self.silence
        )
        return replace(plain, words=tuple(words))
