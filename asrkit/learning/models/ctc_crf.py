"""CTC-CRF: CTC normalised over token sequences that are weighted by a trigram.

Xiang and Ou, "CRF-based single-stage acoustic modeling with CTC topology", 2019: token sequences are weighted
by an n-gram model, and the transcript's probability is its share of their sum,

    p(l | x) = p_lm(l) p_ctc(l | x) / Z,    Z = sum over all l' of p_lm(l') p_ctc(l' | x)

(equations 1 to 3), so that the acoustic model need not learn what the language model knows. Z is summed
exactly, by the forward-backward algorithm over frames, the last two tokens, and whether the last frame was
blank.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from asrkit.learning.padding import valid_mask


class TokenTrigram(nn.Module):
    """A trigram of the K - 1 tokens but blank (0); 0 stands for no token in a history.

    Args:
        probs: p(k | i, j) as f32[K, K, K], zero for k = 0.
        ends: p(end | i, j) as f32[K, K].
    """

    probs: Tensor
    ends: Tensor

    def __init__(self, probs: Tensor, ends: Tensor) -> None:
        super().__init__()
        self.register_buffer("probs", probs, persistent=False)
        self.register_buffer("ends", ends, persistent=False)

    def score(self, tokens: Tensor, lens: Tensor) -> Tensor:
        """log p f32[B] of token sequences int64[B, U], zero beyond `lens` int64[B], their ends included."""
        before = torch.nn.functional.pad(tokens, (2, 0))
        steps = self.probs[before[:, :-2], before[:, 1:-1], tokens].log()
        total = steps.masked_fill(~valid_mask(lens, tokens.shape[1]), 0.0).sum(dim=1)
        last = torch.arange(len(lens), device=lens.device)
        return total + self.ends[before[last, lens], before[last, lens + 1]].log()

    def log_sum(self, log_probs: Tensor, lens: Tensor) -> Tensor:
        """log Z f32[B] of CTC log posteriors f32[B, T, V] with lengths int64[B]; only ids below K count."""
        with torch.autocast(log_probs.device.type, enabled=False):
            apply: Callable[..., Tensor] = _LogSum.apply
            return apply(log_probs, lens, self.probs, self.ends)


class _LogSum(torch.autograd.Function):
    """Sums over states [j, b, 2 i]: the last token j, the one before it i, the last frame blank or not."""

    @staticmethod
    def forward(ctx: Any, log_probs: Tensor, lens: Tensor, probs: Tensor, ends: Tensor) -> Tensor:
        size, (count, frames, _) = len(probs), log_probs.shape
        valid = valid_mask(lens, frames)
        emitted = log_probs[:, :, :size].float().exp() * valid[:, :, None]
        emitted[:, :, 0] += (~valid).float()  # padding emits blank with probability 1
        emitted = emitted.permute(1, 2, 0).contiguous()  # [T, K, B]
        fresh = probs.permute(1, 0, 2)  # [j, i, k]
        again = torch.eye(size, device=probs.device)[:, None, :] * fresh
        steps = torch.cat([fresh, fresh - again], dim=1)  # a token is repeated only after a blank
        states = torch.zeros(frames + 1, size, count, 2 * size, device=probs.device)
        states[0, 0, :, 0] = 1.0
        scales = torch.empty(frames, count, device=probs.device)
        for t in range(frames):
            state, after = states[t], states[t + 1]
            torch.mul(state[:, :, :size] + state[:, :, size:], emitted[t, 0][:, None], out=after[:, :, :size])
            entered = torch.bmm(state, steps).permute(2, 1, 0) + state[:, :, size:]
            torch.mul(entered, emitted[t][:, :, None], out=after[:, :, size:])
            scales[t] = after.sum(dim=(0, 2))
            after /= scales[t][:, None]
        ending = ends.T.repeat(1, 2)[:, None, :]
        last = (states[-1] * ending).sum(dim=(0, 2))
        ctx.save_for_backward(states, emitted, scales, steps, ending, last, valid)
        ctx.vocab = log_probs.shape[2]
        return scales.log().sum(dim=0) + last.log()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        states, emitted, scales, steps, ending, last, valid = ctx.saved_tensors
        size, (frames, _, count) = len(steps), emitted.shape
        back = steps.transpose(1, 2).contiguous()
        occupied = torch.zeros(count, frames, ctx.vocab, device=steps.device)
        beta = (ending / last[:, None]).expand_as(states[0]).contiguous()
        for t in range(frames - 1, -1, -1):
            shares = states[t + 1] * beta
            occupied[:, t, 0] = shares[:, :, :size].sum(dim=(0, 2))
            occupied[:, t, 1:size] = shares[1:, :, size:].sum(dim=2).T
            beta /= scales[t][:, None]
            stayed = beta[:, :, size:] * emitted[t][:, :, None]
            blank = beta[:, :, :size] * emitted[t, 0][:, None]
            beta = torch.bmm(stayed.permute(2, 1, 0), back)
            beta[:, :, :size] += blank
            beta[:, :, size:] += blank + stayed
        return occupied * (valid[:, :, None] * gradient[:, None, None]), None, None, None
