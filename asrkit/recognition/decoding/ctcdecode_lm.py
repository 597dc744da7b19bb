"""The language model of :mod:`asrkit.ctcdecode`: n-grams of characters or words that labels spell."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.lexicon_graph import lexicon_graph, word_model
from asrkit.recognition.decoding.lexicon_kernels import lexicon_beam
from asrkit.recognition.ngram.model import WORD_UNK_ID, read_ngram
from asrkit.recognition.ngram.trie_kernels import predict
from asrkit.recognition.text.spellings import Spellings

SPACE = " "
OOV_SCORE = -1000.0  # log probability of n-grams with an unknown word


class NgramSearch:
    """Prefix beam search with an n-gram model of characters or of words, as ctcdecode does it.

    If every entry of the model is one character, each label is scored at once. Otherwise the labels spell
    words of the model, with a space after each but the last. A word is scored at its space, the last one at
    the end, where an incomplete word counts as unknown.

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
        self.set_weights(alpha, beta)

    def set_weights(self, alpha: float, beta: float) -> None:
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
        """As ``prefix_beam``, ordered by the scores with the language model, but returning those without it.

        There are no hypotheses if the possible labels of some frame continue no word.
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
        """Sum of ``alpha * log p + beta`` of the words or characters; an unknown one spoils its n-grams."""
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
