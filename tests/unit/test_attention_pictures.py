"""Attention maps as pictures, and how steadily attention moves on."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from asrkit.config import LstmDecoderConfig, TransformerDecoderConfig
from asrkit.learning.models.decoders.lstm import LstmDecoder
from asrkit.learning.models.decoders.transformer import TransformerDecoder
from asrkit.learning.models.encoded import Encoded
from asrkit.learning.report.attention import draw_attention, monotonicity

rng = np.random.default_rng(3)


def rows(*frames: int, length: int = 10) -> np.ndarray:
    """Weights with each token on one frame."""
    return np.eye(length, dtype=np.float32)[list(frames)]


def darkness(path: Path) -> np.ndarray:
    """Where the darkness of a picture lies: its centre from left and from top, 0 to 1."""
    dark = 255 - np.asarray(Image.open(path).convert("L"), float)
    positions = np.indices(dark.shape)[::-1] / np.array(dark.shape)[::-1, None, None]
    return (positions * dark).sum(axis=(1, 2)) / dark.sum()


# ---- monotonicity


def test_monotonicity_by_hand() -> None:
    assert monotonicity(rows(0, 2, 2, 5, 9)) == 1
    assert monotonicity(rows(0, 3, 1, 5)) == pytest.approx(2 / 3)
    assert monotonicity(rows(9, 7, 4)) == 0
    assert monotonicity(np.array([[0.5, 0, 0.5], [0, 1, 0], [0.6, 0, 0.4]])) == 0.5  # centres 1, 1, 0.8
    assert monotonicity(rows(4)) == monotonicity(np.zeros((0, 7))) == 1


def test_monotonicity_of_the_reverse_and_of_chance() -> None:
    weights = rng.dirichlet(np.ones(40), 200).astype(np.float32)
    assert monotonicity(weights) + monotonicity(weights[::-1]) == pytest.approx(1, abs=0.02)
    assert 0.4 < monotonicity(weights) < 0.6
    even = torch.full((50, 333), 0.25).softmax(dim=-1).to(torch.bfloat16).float().numpy()
    assert monotonicity(even) == 1


def test_monotonicity_does_not_ask_for_sums_of_one() -> None:
    weights = rng.random((20, 15))
    assert monotonicity(weights * rng.uniform(0.1, 9, (20, 1))) == monotonicity(weights)


@pytest.mark.parametrize(
    "bad", [np.ones(3), np.ones((2, 2, 2)), -rows(1, 2), rows(1, 2) * 0, rows(1, 2) * np.nan]
)
def test_what_are_no_weights_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="weights"):
        monotonicity(bad)


# ---- pictures


def test_dark_is_where_the_attention_was(tmp_path: Path) -> None:
    weights = np.zeros((8, 50))
    weights[:4, :20] = 1  # the first half of the tokens looks at the beginning
    weights[4:, 20:] = 1e-9
    draw_attention(weights, list("ABCDEFGH"), 0.04, tmp_path / "top left.png")
    draw_attention(weights[::-1, ::-1], list("ABCDEFGH"), 0.04, tmp_path / "bottom right.png")
    right, down = darkness(tmp_path / "bottom right.png") - darkness(tmp_path / "top left.png")
    assert right > 0.2 and down > 0.2


def test_axes_are_seconds_and_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    saved: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    tokens = ["<space>", "$x$", "▁é", "a_b", "A"]
    draw_attention(rng.random((2, 3, 5, 25)), tokens, 0.04, tmp_path / "a.png", "u_1: $5 and $6")
    draw_attention(rng.random((200, 25)), ["x"] * 200, 0.04, tmp_path / "b.png")
    panels = saved[0].axes
    assert len(panels) == 6
    assert panels[0].get_xlim() == pytest.approx((0, 1.0))
    for panel in (panels[0], panels[3]):
        assert [label.get_text() for label in panel.get_yticklabels()] == tokens
        assert {(label.get_fontsize(), label.get_parse_math()) for label in panel.get_yticklabels()} == {
            (7, False)
        }
    assert panels[0].get_ylim() == (4.5, -0.5)  # the first token at the top
    assert panels[5].get_title().startswith("layer 2, head 3, ")
    assert {panel.get_xlabel() for panel in panels[3:]} == {"seconds"}
    assert saved[0].get_suptitle() == "u_1: $5 and $6"
    assert len(saved[1].axes[0].get_yticks()) <= 90
    assert saved[1].axes[0].get_title().endswith("% forwards")
    assert Image.open(tmp_path / "a.png").width > Image.open(tmp_path / "b.png").width


def test_maps_of_both_decoders_are_drawn(tmp_path: Path) -> None:
    torch.manual_seed(1)
    encoded = Encoded(torch.randn(1, 30, 16), torch.tensor([30]))
    tokens = torch.tensor([[9, 1, 2, 3]])
    speller = LstmDecoder(LstmDecoderConfig(embed=8, hidden=16, heads=2), 10, 16).eval()
    transformer = TransformerDecoder(
        TransformerDecoderConfig(dim=16, layers=3, heads=4, ff=32), 10, 16
    ).eval()
    with torch.no_grad():
        maps = {"lstm": speller.maps(tokens, encoded)[0], "transformer": transformer.maps(tokens, encoded)[0]}
    layers = {"lstm": 1, "transformer": 3}
    for name, weights in maps.items():
        path = tmp_path / f"{name}.png"
        shaped = weights.unflatten(0, (layers[name], -1)).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            draw_attention(shaped, ["A", "B", "C", "</s>"], 0.04, path, name)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert 0 <= monotonicity(shaped.mean(axis=(0, 1))) <= 1
    small, big = (Image.open(tmp_path / f"{name}.png") for name in ("lstm", "transformer"))
    assert big.height > 2 * small.height and big.width > 1.5 * small.width


def test_same_weights_same_bytes_and_nothing_left_beside(tmp_path: Path) -> None:
    weights = rng.random((4, 20))
    for name in ("one", "two"):
        draw_attention(weights, list("WORD"), 0.04, tmp_path / "plots" / f"{name}.png", "title")
    one, two = sorted((tmp_path / "plots").iterdir())
    assert one.read_bytes() == two.read_bytes()


def test_nothing_to_draw_and_what_does_not_fit(tmp_path: Path) -> None:
    draw_attention(np.zeros((2, 0, 9)), [], 0.04, tmp_path / "none.png")
    draw_attention(np.zeros((2, 3, 0)), list("ABC"), 0.04, tmp_path / "none.png")
    for weights in (rows(1, 2, 3), np.ones(3), np.ones((1, 1, 1, 2, 5))):
        with pytest.raises(ValueError, match="are not"):
            draw_attention(weights, ["A", "B"], 0.04, tmp_path / "none.png")
    with pytest.raises(ValueError, match="finite"):
        draw_attention(rows(1, 2) * np.nan, ["A", "B"], 0.04, tmp_path / "none.png")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_loaded_only_to_draw() -> None:
    script = (
        "import sys\nimport asrkit.learning.report.attention\n"
        + "print('matplotlib' in sys.modules, 'torch' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["False", "False"]
