"""Attention decoders, which predict tokens from an encoder's output.

Both have ``forward(tokens, encoded)`` for the logits of all tokens at once, ``start`` and ``step`` to go
token by token with a state, and ``maps`` for their attention weights. Tokens are inputs: ``<sos/eos>`` comes
first, and the logits after token u are those of token u + 1.
"""

from torch import Tensor, arange
from torch.nn import functional as F


def decoder_inputs(tokens: Tensor, eos: int) -> Tensor:
    """Inputs int64[B, U + 1] to predict tokens int64[B, U] and their end."""
    return F.pad(tokens, (1, 0), value=eos)


def decoder_targets(tokens: Tensor, lens: Tensor, eos: int) -> Tensor:
    """Targets int64[B, U + 1]: the tokens, then ``<sos/eos>``; -100 in padding."""
    position, ends = arange(tokens.shape[1] + 1, device=tokens.device), lens[:, None]
    targets = F.pad(tokens, (0, 1)).masked_fill(position == ends, eos)
    return targets.masked_fill(position > ends, -100)


def decoder_loss(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy f32[B] of logits f32[B, U, V], summed over each utterance.

    With label smoothing, that share of each target is spread uniformly over all tokens (Szegedy et al. 2016,
    "Rethinking the Inception Architecture for Computer Vision", section 7).
    """
    # Flat: over the middle dimension of logits [B, V, U] it takes several times as long.
    losses = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view_as(targets).sum(dim=1)
