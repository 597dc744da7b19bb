"""One-pass beam search over labels: any scorers of the next token, weighed together."""

from collections.abc import Mapping

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.scorers import Scorer


def label_beam_search(
    scorers: Mapping[str, Scorer],
    weights: Mapping[str, float],
    *,
    eos: int,
    beam_size: int,
    max_length: int,
    nbest: int = 1,
    blank: int = 0,
    end_margin: float = 10.0,
) -> list[Hypothesis]:
    """The best token sequences of one utterance by the weighted sum of their scores.

    Each turn, all continuations of all live hypotheses compete for `beam_size` places; those that chose the
    end token are finished and leave (Watanabe et al. 2017, algorithm 1).

    The search ends when the n-best list is full and no live hypothesis can enter it any more. Log
    probabilities only lower a score, so without a bonus this is so once the best live one is below the
    list's last. A bonus may still raise it, at most by what it adds until `max_length`; waiting for more
    than `end_margin` is given up. Only that is a guess, as is end detection in the paper (equation 50), which
    looks at how far the latest finished hypotheses have fallen behind.

    Args:
        scorers: by name. One of weight 0 is not asked.
        weights: of each scorer, at least 0.
        eos: id of the end token.
        beam_size: hypotheses kept each turn.
        max_length: most tokens a hypothesis may have. T' loses nothing where CTC scores.
        nbest: hypotheses returned at most.
        blank: id of blank, which is never a token of a hypothesis.
        end_margin: the most that live hypotheses may catch up through a bonus; inf: no guess is made.

    Returns:
        Finished hypotheses, best first; none if the scorers allow none of at most `max_length` tokens. Their
        ``parts`` are the scores before weighing. Times and confidences are not set.

    Raises:
        DataError: a scorer gave NaN.
        UsageError: a size or weight is out of range, or no scorer has weight.
    """
    if beam_size < 1 or nbest < 1 or max_length < 0:
        raise UsageError(
            f"beam size {beam_size}, n-best {nbest}, maximum length {max_length}",
            "the first two must be at least 1, the last at least 0",
        )
    used = {name: scorer for name, scorer in scorers.items() if weights[name] != 0}
    weight = np.array([weights[name] for name in used])
    if not used or not (weight > 0).all():
        raise UsageError(f"scorer weights {dict(weights)}", "none may be negative, one must be above 0")
    gain = sum(weights[name] * scorer.highest for name, scorer in used.items())

    states = {name: scorer.start(1) for name, scorer in used.items()}
    prefixes, parts = np.zeros((1, 0), np.int64), np.zeros((1, len(used)))
    finished: list[Hypothesis] = []
    for length in range(max_length + 1):
        added = []
        for name, scorer in used.items():
            scores, states[name] = scorer.score(prefixes, states[name])
            added.append(scores)
        longer = parts[:, None] + np.stack(added, axis=-1, dtype=np.float64)
        totals = longer @ weight
        totals[:, blank] = -np.inf
        if length == max_length:
            totals[:, np.arange(totals.shape[1]) != eos] = -np.inf
        best, places = _largest(totals.ravel(), beam_size)
        parents, tokens = np.divmod(places, totals.shape[1])
        parts, ended = longer[parents, tokens], tokens == eos
        for k in np.flatnonzero(ended):
            named = dict(zip(used, parts[k].tolist(), strict=True))
            finished.append(Hypothesis(tuple(prefixes[parents[k]].tolist()), float(best[k]), named))
        finished = sorted(finished, key=lambda hypothesis: hypothesis.score, reverse=True)[:nbest]

        live = ~ended
        best, parents, tokens, parts = best[live], parents[live], tokens[live], parts[live]
        rise = min(gain * (max_length - length), end_margin)
        if len(best) == 0 or (len(finished) == nbest and best[0] + rise <= finished[-1].score):
            break
        prefixes = np.concatenate([prefixes[parents], tokens[:, None]], axis=1)
        states = {name: scorer.select(states[name], parents) for name, scorer in used.items()}
    return finished


def _largest(scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest of scores f64[N] above -inf, at most `count`, in falling order, and their places int64."""
    if np.isnan(scores).any():
        raise DataError("a scorer gave NaN", "look for NaN in the audio or the model's weights")
    places = np.arange(len(scores))
    if count < len(scores):
        places = np.argpartition(scores, len(scores) - count)[-count:]
    places = places[scores[places] > -np.inf]
    places = places[np.lexsort((places, -scores[places]))]
    return scores[places], places
