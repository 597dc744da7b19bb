"""The neural language model that rescores n-best lists."""

from collections.abc import Sequence

import numpy as np

from asrkit.recognition.acoustics import TokenModel
from asrkit.recognition.text.tokenizer import Tokenizer


class Rescorer:
    """A neural language model with sub-words of its own.

    Args:
        model: scores the sub-words.
        tokenizer: splits text into them.
    """

    def __init__(self, model: TokenModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    def log_probs(self, texts: Sequence[str]) -> np.ndarray:
        """Natural log probabilities f64[N] of texts, their ends included.

        A common prefix of several texts is scored once: hypotheses of one utterance differ in a few words.
        """
        model, eos = self.model, self.model.eos
        lines = [[*self.tokenizer.encode(text), eos] for text in texts]
        totals = np.zeros(len(lines))
        reading = list(range(len(lines)))  # the texts that have not ended
        node = dict.fromkeys(reading, 0)  # the row of their common prefix
        state, last = model.start(), [eos]
        for position in range(max(map(len, lines), default=0)):
            log_probs, state = model.step(np.array(last), state)
            rows = [node[text] for text in reading]
            tokens = [lines[text][position] for text in reading]
            totals[reading] += log_probs[rows, tokens]
            reading = [text for text in reading if len(lines[text]) > position + 1]
            branches: dict[tuple[int, int], int] = {}
            for text in reading:
                node[text] = branches.setdefault((node[text], lines[text][position]), len(branches))
            if reading:
                state = model.select(state, np.array([row for row, _ in branches]))
                last = [token for _, token in branches]
        return totals
