"""Joint CTC/attention decoding: two views of the same utterance score each hypothesis together.

The attention decoder grows a hypothesis token by token; CTC knows only whole paths. The bridge is the CTC
*prefix* probability, of every sequence that begins with the tokens so far. It is computed from the forward
variables for each prefix; fast decoders carry the same numbers along from prefix to prefix.

Source: S. Watanabe, T. Hori, S. Kim, J. Hershey, T. Hayashi, "Hybrid CTC/Attention Architecture for
End-to-End Speech Recognition", IEEE Journal of Selected Topics in Signal Processing 11(8), 2017: algorithm 1
(one-pass joint decoding) and algorithm 2 (the CTC score of a hypothesis).
"""

from collections.abc import Sequence

import numpy as np

from asrkit.reference.attention_decode import beam_search
from asrkit.reference.ctc import BLANK, ctc_log_probability, forward_variables
from asrkit.reference.notation import Array, ScoredTokens, Step, Tokens


def ctc_prefix_log_probability(log_probs: Array, prefix: Sequence[int], blank: int = BLANK) -> float:
    """log p(prefix, … | x), that the output begins with `prefix` (algorithm 2).

    Every path of such an output begins the prefix's last token in exactly one frame t. Before t the path has
    collapsed to the tokens before it; after t anything may follow. So, with g the tokens before the last, c:

        Ψ(g·c) = Σ_t φ_{t−1} · y_t(c),    φ_t = γᵇ_t(g) + γⁿ_t(g),  or γᵇ_t(g) alone if g ends in c

    where γᵇ and γⁿ are the probabilities that the first t frames give g and end in a blank or not: the
    last two forward variables of g.

    Args:
        log_probs: [T, V] log probabilities of each frame.
        prefix: token ids.
    """
    if len(prefix) == 0:
        return 0.0
    before, last = prefix[:-1], prefix[-1]
    alpha = forward_variables(log_probs, before, blank)[:-1]
    ready = alpha[:, -1]
    if len(before) and before[-1] != last:
        ready = np.logaddexp(ready, alpha[:, -2])
    return float(np.logaddexp.reduce(ready + log_probs[:, last]))


def weighted(weight: float, log_prob: Array | float) -> Array | float:
    """weight · log p, where weight 0 switches a scorer off even if it is −inf."""
    return weight * log_prob if weight > 0 else np.zeros_like(log_prob)


def joint_score(
    log_probs: Array,
    step: Step,
    tokens: Tokens,
    *,
    end: int,
    ctc_weight: float,
    length_bonus: float = 0.0,
    complete: bool = True,
    blank: int = BLANK,
) -> float:
    """λ log p_ctc + (1 − λ) log p_attention + bonus · length of a hypothesis, from scratch.

    Args:
        log_probs: [T, V] CTC log probabilities of each frame.
        step: the attention decoder, from a prefix to the log probabilities [V] of the next token.
        tokens: the hypothesis.
        end: id of the end token.
        ctc_weight: λ in 0..1.
        length_bonus: added for each token.
        complete: whether the hypothesis has ended, so that CTC gives its own probability (and attention that
            of the end token), or is a prefix to be continued.
    """
    emitted = (*tokens, end) if complete else tokens
    attention = sum(float(step(emitted[:u])[token]) for u, token in enumerate(emitted))
    ctc = (ctc_log_probability if complete else ctc_prefix_log_probability)(log_probs, tokens, blank)
    both = weighted(ctc_weight, ctc) + weighted(1.0 - ctc_weight, attention)
    return float(both) + length_bonus * len(tokens)


def joint_beam_search(
    log_probs: Array,
    step: Step,
    *,
    end: int,
    beam_size: int,
    max_length: int,
    ctc_weight: float,
    nbest: int = 1,
    length_bonus: float = 0.0,
    blank: int = BLANK,
) -> list[ScoredTokens]:
    """One-pass joint beam search (algorithm 1): `beam_search` with `joint_score`.

    Arguments as of `joint_score` and `beam_search`. The blank is never a token of a hypothesis.
    """

    def joint_step(prefix: Tokens) -> Array:
        """What each next token adds to the joint score of the prefix."""
        ctc = np.full(log_probs.shape[-1], -np.inf)
        for token in range(len(ctc)):
            if token == end:
                ctc[token] = ctc_log_probability(log_probs, prefix, blank)
            elif token != blank:
                ctc[token] = ctc_prefix_log_probability(log_probs, (*prefix, token), blank)
        ctc -= ctc_prefix_log_probability(log_probs, prefix, blank) if ctc_weight > 0 else 0.0
        both = np.asarray(weighted(ctc_weight, ctc) + weighted(1.0 - ctc_weight, step(prefix)))
        both[blank] = -np.inf
        return both

    return beam_search(
        joint_step,
        end=end,
        beam_size=beam_size,
        max_length=max_length,
        nbest=nbest,
        length_bonus=length_bonus,
    )
