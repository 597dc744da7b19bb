"""Curves of a training, drawn from its metrics.jsonl."""

import json
from collections.abc import Sequence
from pathlib import Path

from asrkit.files import atomic_write


def draw_curves(metrics: Path | str, folder: Path | str) -> None:
    """Draw ``loss.png``, ``lr.png`` and ``dev.png`` over updates, as far as there is data.

    Args:
        metrics: JSON lines of training (``step``, ``loss``, ``lr``) and of dev sets (``step``, ``dev_loss``,
            ``dev_error``, a fraction).
        folder: where the pictures go.
    """
    lines = [json.loads(line) for line in Path(metrics).read_text(encoding="utf-8").splitlines()]
    series = {
        key: [(line["step"], line[key]) for line in lines if key in line]
        for key in ("loss", "dev_loss", "lr", "dev_error")
    }
    percent = [(step, 100 * error) for step, error in series["dev_error"]]
    folder = Path(folder)
    _draw(folder / "loss.png", "loss", {"train": series["loss"], "dev": series["dev_loss"]})
    _draw(folder / "lr.png", "learning rate", {"": series["lr"]})
    _draw(folder / "dev.png", "dev error (%)", {"": percent})


def _draw(path: Path, title: str, curves: dict[str, Sequence[tuple[int, float]]]) -> None:
    from matplotlib.figure import Figure

    drawn = {name: points for name, points in curves.items() if points}
    if not drawn:
        return
    figure = Figure(figsize=(6, 4), layout="tight")
    axes = figure.add_subplot(xlabel="updates", ylabel=title)
    for name, points in drawn.items():
        axes.plot(
            *zip(*points, strict=True), label=name, marker="o" if len(points) < 50 else "", markersize=3
        )
    axes.grid(alpha=0.3)
    if any(drawn):
        axes.legend()
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format="png", dpi=120)
