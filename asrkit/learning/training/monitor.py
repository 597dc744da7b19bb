"""Progress of a training: metrics.jsonl, curves, a progress bar, TensorBoard."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from asrkit.config import TrainConfig
from asrkit.errors import MissingDependency
from asrkit.files import atomic_write
from asrkit.learning.report.curves import draw_curves
from asrkit.learning.training.checkpoint import TrainState
from asrkit.learning.training.update import Gradient

REDRAW = 20.0  # seconds between two drawings of the curves


class Monitor:
    """Records and shows progress. With ``show=False`` (other processes than the first) it does nothing.

    metrics.jsonl is written with each checkpoint, and lines after the checkpoint that a run resumes from are
    dropped, so that it never lists updates that were lost.
    """

    def __init__(
        self, folder: Path, state: TrainState, total: int, config: TrainConfig, *, show: bool
    ) -> None:
        self.folder, self.config, self.show, self.total = folder, config, show, total
        self.metrics = folder / "metrics.jsonl"
        self.lines = self._kept(state.step) if show else []
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(
                "loss {task.fields[loss]:.3f}  dev {task.fields[dev]}  {task.fields[speed]:.0f} x real time"
            ),
            TimeRemainingColumn(),
            console=self.console,
            disable=not (show and sys.stderr.isatty()),
        )
        self.task = self.bar.add_task(
            "train", total=total, completed=state.step, epoch=state.epoch + 1, loss=0.0, dev="-", speed=0.0
        )
        self.events = _tensorboard(folder) if config.tensorboard and show else None
        self.window: list[tuple[float, int, float]] = []
        self.clock = time.monotonic()
        self.drawn = 0.0

    def __enter__(self) -> Monitor:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        if self.events is not None:
            self.events.close()

    def step(self, state: TrainState, gradient: Gradient, lr: float) -> None:
        """After each update: its gradient and learning rate; `state` counts it already."""
        if not self.show:
            return
        self.window.append((gradient.loss * gradient.utterances, gradient.utterances, gradient.seconds))
        if state.step % self.config.log_steps == 0 or state.step == 1:
            seconds = max(1e-9, time.monotonic() - self.clock)
            mean = sum(x for x, _, _ in self.window) / sum(n for _, n, _ in self.window)
            speed = sum(x for _, _, x in self.window) / seconds
            self._record(
                step=state.step,
                epoch=state.epoch,
                loss=mean,
                lr=lr,
                grad_norm=gradient.norm,
                seconds=round(seconds, 3),
                audio_per_second=round(speed, 1),
            )
            self.bar.update(self.task, loss=mean, speed=speed)
            self.window, self.clock = [], time.monotonic()
        self.bar.update(self.task, completed=state.step, epoch=state.epoch + 1)

    def epoch(self, state: TrainState, *, dev_loss: float, dev_error: float) -> None:
        """After each epoch: dev loss per utterance and error rate."""
        if not self.show:
            return
        self._record(step=state.step, epoch=state.epoch - 1, dev_loss=dev_loss, dev_error=dev_error)
        self.bar.update(self.task, dev=f"{100 * dev_error:.1f} %")
        best = " *" if state.stalled == 0 else ""
        self.say(
            f"epoch {state.epoch}  step {state.step}/{self.total}  dev loss {dev_loss:.3f}  "
            f"dev error {100 * dev_error:.2f} %{best}  {state.seconds / 60:.1f} min"
        )
        self.clock = time.monotonic()

    def say(self, text: str) -> None:
        """One line for train.log and stderr."""
        if self.show:
            self.console.print(text, highlight=False, soft_wrap=True)
            with (self.folder / "train.log").open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def flush(self, done: bool) -> None:
        """Write metrics.jsonl, and redraw the curves if the last drawing is old."""
        if not self.show:
            return
        with atomic_write(self.metrics) as file:
            file.writelines(json.dumps(line) + "\n" for line in self.lines)
        if done or time.monotonic() - self.drawn > REDRAW:
            draw_curves(self.metrics, self.folder / "plots")
            self.drawn = time.monotonic()

    def _record(self, **values: Any) -> None:
        self.lines.append(values)
        if self.events is not None:
            for name, number in values.items():
                if name not in ("step", "epoch"):
                    self.events.add_scalar(name, number, values["step"])

    def _kept(self, step: int) -> list[dict[str, Any]]:
        if not self.metrics.exists():
            return []
        lines = (json.loads(line) for line in self.metrics.read_text(encoding="utf-8").splitlines())
        return [line for line in lines if line["step"] <= step]


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependency("tensorboard", "tensorboard", "train.tensorboard=true") from error
    return SummaryWriter(str(folder / "tensorboard"))
