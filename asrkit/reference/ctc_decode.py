"""CTC decoding: from frame posteriors to token sequences.

The best *path* is easy, but what is wanted is the best *token sequence*, whose probability is spread over
many paths. Greedy search takes the best path and collapses it; prefix beam search keeps the paths of one
prefix together.
"""

import numpy as np

from asrkit.reference.ctc import BLANK, collapse
from asrkit.reference.notation import Array, ScoredTokens, Tokens


def greedy(log_probs: Array, blank: int = BLANK) -> ScoredTokens:
    """Collapse the most probable path ("best path decoding", Graves et al. 2006, section 3.2).

    Args:
        log_probs: [T, V] log probabilities of each frame.

    Returns:
        The tokens and the log probability of that one path.
    """
    return ScoredTokens(collapse(log_probs.argmax(axis=-1), blank), float(log_probs.max(axis=-1).sum()))


Prefixes = dict[Tokens, tuple[float, float]]
"""For each prefix, log probabilities of its paths ending in a blank and of those ending in its last token."""


def add(prefixes: Prefixes, prefix: Tokens, ends_in_blank: float, ends_in_token: float) -> None:
    """Add the probability of more paths to a prefix."""
    before = prefixes.get(prefix, (-np.inf, -np.inf))
    prefixes[prefix] = (
        float(np.logaddexp(before[0], ends_in_blank)),
        float(np.logaddexp(before[1], ends_in_token)),
    )


def prefix_beam_search(
    log_probs: Array, beam_size: int, nbest: int = 1, blank: int = BLANK
) -> list[ScoredTokens]:
    """The most probable token sequences, by a beam over prefixes.

    For each prefix two probabilities are kept apart, of its paths that end in a blank and of those that end
    in its last token: only after a blank does the same token again make the prefix longer. Each frame every
    prefix of the beam stays or grows, probabilities of the same prefix are added, and the `beam_size` most
    probable prefixes are kept.

    Source: Graves' prefix search (2006, section 3.2) as a frame-synchronous beam: A. Hannun, A. Maas,
    D. Jurafsky, A. Ng, "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
    Recurrent DNNs", 2014, algorithm 1, without a language model.

    Args:
        log_probs: [T, V] log probabilities of each frame.
        beam_size: number of prefixes kept after each frame.
        nbest: number of hypotheses returned at most.

    Returns:
        Hypotheses, best first, with the log probability of all their paths the beam has seen: exact when the
        beam never had to drop a prefix, a lower bound otherwise.
    """
    beam: Prefixes = {(): (0.0, -np.inf)}
    for frame in log_probs:
        grown: Prefixes = {}
        for prefix, (ends_in_blank, ends_in_token) in beam.items():
            total = np.logaddexp(ends_in_blank, ends_in_token)
            for symbol, log_prob in enumerate(frame):
                if symbol == blank:
                    add(grown, prefix, total + log_prob, -np.inf)
                elif prefix and symbol == prefix[-1]:
                    add(grown, prefix, -np.inf, ends_in_token + log_prob)
                    add(grown, (*prefix, symbol), -np.inf, ends_in_blank + log_prob)
                else:
                    add(grown, (*prefix, symbol), -np.inf, total + log_prob)

        kept = sorted(grown, key=lambda prefix: np.logaddexp(*grown[prefix]), reverse=True)
        beam = {prefix: grown[prefix] for prefix in kept[:beam_size] if max(grown[prefix]) > -np.inf}
    hypotheses = [ScoredTokens(prefix, float(np.logaddexp(*beam[prefix]))) for prefix in beam]
    return hypotheses[:nbest]
