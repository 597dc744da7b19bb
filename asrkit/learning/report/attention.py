"""Pictures of attention maps, and their monotonicity."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from asrkit.files import atomic_write

ROUNDING = 1e-3  # frames; smaller backward steps do not count
PANEL_INCHES = 3.2
TOKEN_INCHES = 0.13  # height of a labelled token
MOST_LABELS = 90  # on the y axis; of more tokens only every second, third … is labelled


def monotonicity(weights: np.ndarray) -> float:
    """Share of successive tokens whose attention does not move backwards, 0 to 1; 1 for less than two tokens.

    A token's position is the mean frame under its weights. It moves backwards when it is before that of the
    last token by more than a thousandth of a frame. A decoder that has learned to align comes close to 1,
    while uniform or random weights do not.

    Args:
        weights: f32[U, T'], one row per token, not negative, with a positive sum (which need not be 1).

    Raises:
        ValueError: not such weights.
    """
    weights = np.asarray(weights, np.float64)
    if weights.ndim != 2:
        raise ValueError(f"weights of one map are [tokens, frames], not {weights.shape}")
    if len(weights) < 2:
        return 1.0
    total = weights.sum(axis=1)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and (total > 0).all()):
        raise ValueError("attention weights must be finite and not negative, with a positive sum a token")
    centres = weights @ np.arange(weights.shape[1]) / total
    return float(np.mean(np.diff(centres) >= -ROUNDING))


def draw_attention(
    weights: np.ndarray, tokens: Sequence[str], frame_seconds: float, path: Path | str, title: str = ""
) -> None:
    """Draw attention maps as a PNG: seconds of audio to the right, tokens downwards, dark for large weights.

    Heads stand side by side and layers below each other, each panel with a separate scale, and its
    :func:`monotonicity` above it. Nothing is drawn without tokens or frames.

    Args:
        weights: f32[U, T'], f32[H, U, T'] or f32[L, H, U, T'], of a decoder's layers and heads; the row of a
            token holds the weights that predicted it.
        tokens: the U tokens, as shown.
        frame_seconds: seconds per encoder frame.
        path: the picture.
        title: stands above it.

    Raises:
        ValueError: the shape does not fit the tokens, or these are not weights.
    """
    from matplotlib.figure import Figure

    weights = np.asarray(weights, np.float32)
    if not 2 <= weights.ndim <= 4 or weights.shape[-2] != len(tokens):
        raise ValueError(f"weights {weights.shape} are not [layers, heads, {len(tokens)} tokens, frames]")
    if not weights.size:
        return
    maps = weights.reshape((1,) * (4 - weights.ndim) + weights.shape)
    layers, heads, count, frames = maps.shape
    every = -(-count // MOST_LABELS)
    height = max(PANEL_INCHES, TOKEN_INCHES * count / every)
    figure = Figure(figsize=(PANEL_INCHES * max(2, heads), height * layers + 0.6), layout="constrained")
    figure.suptitle(title, parse_math=False)
    grid = figure.subplots(layers, heads, sharex=True, sharey=True, squeeze=False)
    edges = (0.0, frames * frame_seconds, count - 0.5, -0.5)
    for (layer, head), axes in np.ndenumerate(grid):
        axes.imshow(maps[layer, head], cmap="Greys", aspect="auto", interpolation="nearest", extent=edges)
        names = [f"layer {layer + 1}"] * (layers > 1) + [f"head {head + 1}"] * (heads > 1)
        steady = f"{100 * monotonicity(maps[layer, head]):.0f} % forwards"
        axes.set_title(", ".join([*names, steady]), fontsize=8)
    for axes in grid[:, 0]:
        axes.set_yticks(range(0, count, every), tokens[::every], fontsize=7, parse_math=False)
    for axes in grid[-1]:
        axes.set_xlabel("seconds")
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=110)
