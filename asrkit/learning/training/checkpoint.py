"""Checkpoints: folders that appear only when complete, and the average of several."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from asrkit.errors import ModelError
from asrkit.learning.models.weights import load_weights, save_weights
from asrkit.recognition.parts import checkpoints


@dataclass
class TrainState:
    """Progress of a training. Together with the weights and the optimiser it is all that resuming needs.

    Random numbers need no state: every update seeds itself from the seed and its number.

    Attributes:
        step: updates done.
        epoch: the current epoch, from 0.
        batch: batches of that epoch already used.
        seconds: training time so far.
        plateau: factor on the learning rate (plateau schedule).
        stalled: epochs since the dev error last improved.
        skipped: batches skipped in a row for a non-finite loss.
        dev: dev error (with CTC-CRF, loss) after each finished epoch, as [step, error].
        finished: training has ended.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    plateau: float = 1.0
    stalled: int = 0
    skipped: int = 0
    dev: list[list[float]] = field(default_factory=list)
    finished: bool = False

    def best(self, count: int) -> list[int]:
        """Steps of the `count` epochs with the lowest dev error, best first."""
        return [int(step) for step, _ in sorted(self.dev, key=lambda pair: (pair[1], -pair[0]))[:count]]


def save_checkpoint(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, scaler: Any, state: TrainState
) -> None:
    """Write ``step-N`` below `folder`; it is visible only when complete and on disk."""
    final = step_folder(folder, state.step)
    temporary = folder / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_weights(model.state_dict(), temporary)
    torch.save(
        {"optimizer": optimizer.state_dict(), "scaler": scaler.state_dict()}, temporary / "optimizer.pt"
    )
    (temporary / "state.json").write_text(json.dumps(asdict(state)), encoding="utf-8")
    for path in temporary.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    # An epoch may end exactly where a checkpoint was due: the later state replaces the earlier one.
    old = folder / f".{final.name}.old"
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.replace(old)
    temporary.replace(final)
    shutil.rmtree(old, ignore_errors=True)


def step_folder(folder: Path, step: int) -> Path:
    """The checkpoint of a training step."""
    return folder / f"step-{step}"


def read_state(checkpoint: Path) -> TrainState:
    """The state in a checkpoint. Raises ModelError when it cannot be read."""
    try:
        return TrainState(**json.loads((checkpoint / "state.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"cannot read {checkpoint / 'state.json'}: {error}", "remove this checkpoint"
        ) from error


def load_checkpoint(
    checkpoint: Path,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: Any,
    device: torch.device,
) -> TrainState:
    """Restore all three from a checkpoint. Raises ModelError when it does not fit."""
    load_weights(checkpoint / "model.safetensors", model)
    try:
        saved = torch.load(checkpoint / "optimizer.pt", map_location=device, weights_only=True)
        optimizer.load_state_dict(saved["optimizer"])
        scaler.load_state_dict(saved["scaler"])
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"cannot resume from {checkpoint}: {error}", "remove it, or train with --force"
        ) from error
    return read_state(checkpoint)


def prune(folder: Path, state: TrainState, keep: int) -> None:
    """Delete checkpoints that are neither the last nor among the `keep` best epochs."""
    needed = {state.step, *state.best(keep)}
    for path in checkpoints(folder):
        if int(path.name.removeprefix("step-")) not in needed:
            shutil.rmtree(path)


def average(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Mean of the weights in several safetensors files, summed in double precision."""
    total: dict[str, torch.Tensor] = {}
    for path in paths:
        for name, tensor in load_file(path).items():
            total[name] = total.get(name, 0) + tensor.double()
    first = load_file(paths[0])
    return {name: (value / len(paths)).to(first[name].dtype) for name, value in total.items()}
