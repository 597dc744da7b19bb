"""Beam search over any model that gives the probability of each next token."""

import numpy as np

from asrkit.reference.notation import ScoredTokens, Step


def beam_search(
    step: Step, *, end: int, beam_size: int, max_length: int, nbest: int = 1, length_bonus: float = 0.0
) -> list[ScoredTokens]:
    """The best complete token sequences of an autoregressive model.

    A hypothesis scores  Σ_u log p(token_u | tokens before) + length_bonus · (number of tokens),  its end
    token included in the sum but not in the number. Each turn, all continuations of all live hypotheses
    compete for the `beam_size` positions; those that end are finished and leave. At `max_length`
    tokens only the end token may follow. (Sutskever, Vinyals, Le, "Sequence to Sequence Learning with Neural
    Networks", 2014, section 3.2; the bonus as in Hannun et al., 2014.)

    Args:
        step: from a prefix to log probabilities [V].
        end: id of the end token.
        beam_size: hypotheses kept each turn.
        max_length: most tokens a hypothesis may have.
        nbest: number of hypotheses returned at most.
        length_bonus: added for each token, against the model's liking for short sequences.

    Returns:
        Finished hypotheses, best first.
    """
    live = [ScoredTokens((), 0.0)]
    finished: list[ScoredTokens] = []
    for length in range(max_length + 1):
        stopped: list[ScoredTokens] = []
        longer: list[ScoredTokens] = []
        for tokens, score in live:
            for token, log_prob in enumerate(step(tokens)):
                if log_prob == -np.inf:
                    continue
                if token == end:
                    stopped.append(ScoredTokens(tokens, score + float(log_prob)))
                elif length < max_length:
                    longer.append(ScoredTokens((*tokens, token), score + float(log_prob) + length_bonus))
        kept = sorted(stopped + longer, key=lambda hypothesis: hypothesis.score, reverse=True)[:beam_size]
        finished += [hypothesis for hypothesis in kept if len(hypothesis.tokens) == length]
        live = [hypothesis for hypothesis in kept if len(hypothesis.tokens) > length]
    finished.sort(key=lambda hypothesis: hypothesis.score, reverse=True)
    return finished[:nbest]
