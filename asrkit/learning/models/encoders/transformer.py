"""Transformer (Vaswani et al. 2017) and Conformer (Gulati et al. 2020) encoders, pre-norm."""

from torch import Tensor, nn

from asrkit.config import ConformerConfig, TransformerConfig
from asrkit.learning.models.attention import SelfAttention, sinusoids
from asrkit.learning.models.blocks import Branch, ConvolutionModule, Dropout, FeedForward
from asrkit.learning.models.subsampling import Stack, make_subsampling
from asrkit.learning.padding import mask_padding, valid_mask


class TransformerBlock(nn.Module):
    """Self-attention, then a feed-forward network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        drops = (config.dropout, config.layer_drop)
        attention = SelfAttention(
            config.dim, config.heads, rotary=config.positions == "rotary", taylor=config.attention == "taylor"
        )
        self.attend = Branch(config.dim, attention, *drops)
        self.feed = Branch(config.dim, FeedForward(config.dim, config.ff, config.dropout), *drops)

    def forward(self, x: Tensor, lens: Tensor, valid: Tensor) -> Tensor:
        x = self.feed(self.attend(x, valid))
        return x


class ConformerBlock(TransformerBlock):
    """Self-attention and a convolution between two half feed-forward networks."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__(config)
        drops = (config.dropout, config.layer_drop)
        self.feed.scale = 0.5
        self.first = Branch(config.dim, FeedForward(config.dim, config.ff, config.dropout), *drops, scale=0.5)
        self.convolve = Branch(config.dim, ConvolutionModule(config.dim, config.kernel), *drops)
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, x: Tensor, lens: Tensor, valid: Tensor) -> Tensor:
        x = self.attend(self.first(x), valid)
        x = self.norm(self.feed(self.convolve(x, lens)))
        return x


class TransformerEncoder(nn.Module):
    """(feats f32[B, T, F], lens) -> (out f32[B, T', D], lens), T' = ceil(T / factor).

    With `halved` blocks, those before the last run on frames joined in pairs; their output is split into
    frames again and added (Kim et al. 2022, "Squeezeformer", section 3.1.1).
    """

    def __init__(self, config: TransformerConfig, input_dim: int) -> None:
        super().__init__()
        self.subsample = make_subsampling(
            config.subsampling, input_dim, config.dim, config.factor, config.channels
        )
        self.absolute = config.positions == "sinusoidal"
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(self.block(config) for _ in range(config.layers))
        self.halved = config.halved
        if self.halved:
            self.join, self.part = Stack(config.dim, config.dim, 2), nn.Linear(config.dim, 2 * config.dim)
        self.norm = nn.LayerNorm(config.dim)
        self.dim = config.dim

    @staticmethod
    def block(config: TransformerConfig) -> nn.Module:
        return TransformerBlock(config)

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        x, lens = self.subsample(feats, lens)
        if self.absolute:
            x = x + sinusoids(x.shape[1], self.dim).to(x)
        x = self.dropout(x)
        if self.halved:
            first = len(self.blocks) - 1 - self.halved
            x = self._through(self.blocks[:first], x, lens)
            y = self._through(self.blocks[first:-1], *self.join(x, lens))
            x = x + self.part(y).unflatten(-1, (2, -1)).flatten(1, 2)[:, : x.shape[1]]
            x = self._through(self.blocks[-1:], x, lens)
        else:
            x = self._through(self.blocks, x, lens)
        return mask_padding(self.norm(x), lens), lens

    @staticmethod
    def _through(blocks: nn.ModuleList, x: Tensor, lens: Tensor) -> Tensor:
        # An utterance without frames attends to its padding: a softmax needs a frame.
        valid = valid_mask(lens.clamp(min=1), x.shape[1])
        for block in blocks:
            x = block(x, lens, valid)
        return x

    def output_frames(self, frames: Tensor) -> Tensor:
        """Encoder frames T' for `frames` feature frames; elementwise."""
        return self.subsample.output_frames(frames)


class ConformerEncoder(TransformerEncoder):
    """A transformer encoder of Conformer blocks."""

    @staticmethod
    def block(config: TransformerConfig) -> nn.Module:
        assert isinstance(config, ConformerConfig)
        return ConformerBlock(config)
