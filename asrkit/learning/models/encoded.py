"""What passes from an encoder to heads and decoders."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Encoded(NamedTuple):
    """Encoder output f32[B, T', D] and its lengths int64[B]."""

    out: Tensor
    lens: Tensor

    def utterance(self, index: int) -> Encoded:
        """One utterance alone, without padding: [1, T'_i, D]; at least one frame."""
        frames = max(1, int(self.lens[index]))
        return Encoded(self.out[index : index + 1, :frames], self.lens[index : index + 1])
