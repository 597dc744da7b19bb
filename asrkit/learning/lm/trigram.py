"""The token trigram of CTC-CRF, estimated from transcripts."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from asrkit.errors import UsageError
from asrkit.learning.models.ctc_crf import TokenTrigram
from asrkit.recognition.ngram.model import EOS, ROOT, estimate

ORDER = 3
MAX_TOKENS = 128


def token_trigram(sentences: Sequence[Sequence[int]], tokens: int) -> TokenTrigram:
    """Of sentences of token ids from 1 to `tokens`; see :func:`asrkit.recognition.ngram.estimation.estimate`.

    Raises:
        UsageError: too many tokens for a table of all histories of two.
    """
    if tokens > MAX_TOKENS:
        raise UsageError(
            f"model.crf_weight with {tokens} tokens, of which {tokens**2:,} histories of two",
            f"use phones or characters, {MAX_TOKENS} at most",
        )
    names = [str(token) for token in range(1, tokens + 1)]
    model = estimate(([names[t - 1] for t in s] for s in sentences), ORDER, vocabulary=names)
    ids = np.array([model.ids[name] for name in names])
    probs, ends = np.zeros((tokens + 1,) * 3), np.zeros((tokens + 1,) * 2)
    for i, j in product(range(tokens + 1), repeat=2):
        context = np.array([ROOT if i else model.start])
        for token in (i, j):
            if token:
                context = model.advance(context, ids[token - 1 : token])
        row = np.exp(model.next_log_probs(int(context[0])))
        probs[i, j, 1:], ends[i, j] = row[ids], row[model.ids[EOS]]
    return TokenTrigram(torch.from_numpy(probs).float(), torch.from_numpy(ends).float())
