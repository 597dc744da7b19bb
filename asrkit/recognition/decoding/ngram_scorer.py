"""A token n-gram model as a scorer of the next token."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from asrkit.recognition.decoding.scorers import Scorer
from asrkit.recognition.ngram.model import EOS, WORD_UNK_ID, NgramModel

CACHED_SCORES = 1 << 25  # float32, 128 MiB


class TokenNgramScorer(Scorer):
    """log p(token | prefix) by an n-gram model of tokens, its ``</s>`` being the end token.

    Tokens that the model does not list have the probability of its ``<unk>``; blank is never a next token.
    The state is int64[K], the context of each hypothesis in the model before its last token is added; the
    scores of a context are computed once.

    Args:
        model: an n-gram model of token strings.
        tokens: the token strings by id.
    """

    def __init__(self, model: NgramModel, tokens: Sequence[str], *, eos: int, blank: int = 0) -> None:
        self.model, self.blank = model, blank
        self.words = np.array([model.ids.get(token, WORD_UNK_ID) for token in tokens])
        self.words[eos] = model.ids[EOS]
        self._row = lru_cache(maxsize=1 + CACHED_SCORES // len(tokens))(self._compute_row)

    def start(self, count: int) -> np.ndarray:
        return np.full(count, self.model.start)

    def score(self, prefixes: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if prefixes.shape[1] > 0:
            state = self.model.advance(state, self.words[prefixes[:, -1]])
        return np.stack([self._row(context) for context in state.tolist()]), state

    def _compute_row(self, context: int) -> np.ndarray:
        row: np.ndarray = self.model.next_log_probs(context)[self.words]
        row[self.blank] = -np.inf
        return row
