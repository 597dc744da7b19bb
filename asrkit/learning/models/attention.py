"""Multi-head attention: over the sequence itself, and over an encoder's output."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Cache = tuple[Tensor, Tensor]  # keys and values f32[K, H, S, D / H]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, D) -> (B, H, T, D / H)."""
    return torch.unflatten(x, -1, (heads, -1)).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(B, H, T, D / H) -> (B, T, D)."""
    return x.transpose(1, 2).flatten(2)


def rotate(x: Tensor, first: int = 0, heads: int = 1) -> Tensor:
    """Rotate pairs of features by angles that grow with the position (Su et al. 2021, "RoFormer", eq. 34).

    The product of a rotated query and a rotated key depends on their distance alone.

    Args:
        x: queries or keys [..., T, D]; D may hold those of several heads, which are rotated alike.
        first: position of the first.
        heads: number of heads in D.
    """
    dim = x.shape[-1] // heads
    half = dim // 2
    positions = torch.arange(first, first + x.shape[-2], device=x.device, dtype=torch.float32)
    rates = 10000.0 ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = positions[:, None] * rates
    cos, sin, rest = angles.cos(), angles.sin(), (0, dim - 2 * half)
    stay = F.pad(torch.cat([cos, cos], dim=-1), rest, value=1.0).repeat(1, heads).to(x.dtype)
    cross = F.pad(torch.cat([-sin, sin], dim=-1), rest).repeat(1, heads).to(x.dtype)
    parts = torch.unflatten(x, -1, (heads, dim))
    a, b, last = torch.split(parts, [half, half, dim - 2 * half], dim=-1)
    swapped = torch.cat([b, a, last], dim=-1).flatten(-2)
    return torch.addcmul(x * stay, swapped, cross)


def sinusoids(length: int, dim: int, first: int = 0) -> Tensor:
    """Absolute positions f32[length, dim], sines then cosines (Vaswani et al. 2017, section 3.5)."""
    rates = 10000.0 ** (-torch.arange(0, dim, 2) / dim)
    angles = torch.arange(first, first + length)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :dim]


def single(x: Tensor) -> Tensor:
    """On the CPU `x` in single precision at least: attention in bf16 takes torch up to five times longer."""
    return x.to(torch.promote_types(x.dtype, torch.float32)) if x.is_cpu else x


def softmax_attention(
    q: Tensor, k: Tensor, v: Tensor, valid: Tensor | None = None, *, causal: bool = False
) -> Tensor:
    """softmax(q kᵀ / √D) v (Vaswani et al. 2017, eq. 1), of type :func:`single`.

    Args:
        q, k, v: [B, H, T, D]; q may have another T.
        valid: bool[B, T], keys that count; None: all.
        causal: a query sees the keys up to its own position.
    """
    mask = None if valid is None else valid[:, None, None, :]
    with torch.autocast("cpu", enabled=False):
        return F.scaled_dot_product_attention(
            single(q), single(k), single(v), attn_mask=mask, is_causal=causal
        )


def taylor_attention(q: Tensor, k: Tensor, v: Tensor, valid: Tensor) -> Tensor:
    """Attention in time linear in the length: exp(q·k) is replaced by 1 + q·k, its first-order expansion.

    Queries and keys are scaled to length 1, so that no weight is negative and |q·k| <= 1 bounds the error:
    before normalisation a weight is too low by at most e - 2. The sums over keys are taken before the
    queries are seen, a (D + 1) x (D + 1) summary instead of a T x T matrix.
    Li et al. 2020, "Linear Attention Mechanism", equation 10.

    Args:
        q, k, v: [B, H, T, D].
        valid: bool[B, T], keys that count.
    """
    q, k = F.normalize(q.float(), dim=-1), F.normalize(k.float(), dim=-1)
    keep = valid[:, None, :, None].float()
    k, v32 = k * keep, v.float() * keep
    top = v32.sum(dim=2, keepdim=True) + q @ (k.transpose(-1, -2) @ v32)
    bottom = keep.sum(dim=2, keepdim=True) + q @ k.sum(dim=2).unsqueeze(-1)
    return (top / bottom.clamp(min=1e-6)).to(v.dtype)


class SelfAttention(nn.Module):
    """Attention of a sequence to itself: [B, T, D] -> [B, T, D].

    Args:
        dim: width D.
        heads: number of heads; divides D.
        rotary: rotate queries and keys by their positions.
        taylor: use :func:`taylor_attention` (not with a causal mask or a cache).
    """

    def __init__(self, dim: int, heads: int, *, rotary: bool = False, taylor: bool = False) -> None:
        super().__init__()
        self.heads, self.rotary, self.taylor = heads, rotary, taylor
        self.project = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Without `valid` bool[B, T] each position attends to itself and those before it."""
        q, k, v = self._project(x, 0)
        if self.taylor and valid is not None:
            y = taylor_attention(q, k, v, valid)
        else:
            y = softmax_attention(q, k, v, valid, causal=valid is None)
        out: Tensor = self.out(join_heads(y).to(x.dtype))
        return out

    def step(self, x: Tensor, past: Cache | None) -> tuple[Tensor, Cache]:
        """One more position [K, 1, D] after those in `past`."""
        q, k, v = self._project(x, 0 if past is None else past[0].shape[2])
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        return self.out(join_heads(softmax_attention(q, k, v)).to(x.dtype)), (k, v)

    def _project(self, x: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        both, v = torch.split(single(self.project(x)), [2 * x.shape[-1], x.shape[-1]], dim=-1)
        if self.rotary:
            both = rotate(both, first, heads=2 * self.heads)
        q, k = both.chunk(2, dim=-1)
        return split_heads(q, self.heads), split_heads(k, self.heads), split_heads(v, self.heads)


class CrossAttention(nn.Module):
    """Attention to an encoder's output: queries [B, U, D], memory [B, T', M] -> [B, U, D]."""

    def __init__(self, dim: int, heads: int, memory_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.memory = nn.Linear(memory_dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def remember(self, memory: Tensor) -> Cache:
        """Keys and values of the memory, computed once for all queries."""
        k, v = self.memory(memory).chunk(2, dim=-1)
        return split_heads(k, self.heads), split_heads(v, self.heads)

    def forward(self, x: Tensor, remembered: Cache, valid: Tensor | None) -> Tensor:
        """`valid` bool[B, T']; None: all. The memory of one utterance (B = 1) serves all queries."""
        q = split_heads(self.query(x), self.heads)
        k, v = (part.expand(len(x), -1, -1, -1) for part in remembered)
        y: Tensor = self.out(join_heads(softmax_attention(q, k, v, valid)).to(x.dtype))
        return y

    def weights(self, x: Tensor, remembered: Cache, valid: Tensor | None) -> Tensor:
        """The attention weights f32[B, H, U, T'] that :meth:`forward` uses."""
        q = split_heads(self.query(x), self.heads)
        scores: Tensor = (q @ remembered[0].transpose(-1, -2)).float() / q.shape[-1] ** 0.5
        if valid is not None:
            scores = scores.masked_fill(~valid[:, None, None, :], -torch.inf)
        return scores.softmax(dim=-1)
