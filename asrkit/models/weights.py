"""Weights on disk: safetensors with a checksum beside them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from asrkit.errors import ModelError
from asrkit.files import sha256


def save_weights(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write ``model.safetensors`` into `folder`, and its SHA-256 beside it."""
    path = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    path.with_suffix(".sha256").write_text(sha256(path) + "\n", encoding="utf-8")


def compact(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights in half precision, where a tensor's values fit: off by at most 0.05 %, half the size."""
    halved = {name: tensor.half() for name, tensor in weights.items() if tensor.dtype == torch.float32}
    return weights | {name: tensor for name, tensor in halved.items() if bool(tensor.isfinite().all())}


def load_weights(path: Path, model: torch.nn.Module) -> None:
    """Load safetensors weights, of any precision.

    Raises:
        ModelError: the file is damaged (its checksum, if there is one beside it, differs), or its shapes
            do not fit the model.
    """
    checksum = path.with_suffix(".sha256")
    if checksum.exists() and path.exists() and checksum.read_text(encoding="utf-8").strip() != sha256(path):
        raise ModelError(f"{path} is damaged: its SHA-256 is not the one beside it", "use another checkpoint")
    try:
        model.load_state_dict(load_file(path))
    except Exception as error:  # safetensors raises its own unexported kinds
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"cannot load weights from {path}: {reason}",
            "the model's configuration must be the one it was trained with",
        ) from error
