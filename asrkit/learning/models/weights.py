"""Weights on disk: safetensors with a checksum beside them."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from asrkit.errors import ModelError
from asrkit.files import sha256

SCALE = ":scale"  # after the name of a tensor in 8 bits


def save_weights(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Write ``model.safetensors`` into `folder`, and its SHA-256 beside it."""
    path = folder / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    path.with_suffix(".sha256").write_text(sha256(path) + "\n", encoding="utf-8")


def compact(weights: dict[str, torch.Tensor], bits: int = 16) -> dict[str, torch.Tensor]:
    """The weights in fewer bits, for :func:`save_weights`.

    Args:
        weights: name -> tensor.
        bits: 16 is half precision for tensors whose values fit: half the size, an error of at most 0.05 %.
            With 8, every matrix (or kernel) becomes integers of −127..127 and a scale per row; the largest
            error is half the scale. The other tensors are as with 16.
    """
    small = {}
    for name, tensor in weights.items():
        if tensor.dtype == torch.float32:
            if bits == 8 and tensor.dim() > 1:
                rows = tensor.flatten(1)
                scale = (rows.abs().amax(dim=1, keepdim=True) / 127).clamp(
                    min=torch.finfo(torch.float32).tiny
                )
                small[name] = (rows / scale).round().to(torch.int8).reshape(tensor.shape)
                small[name + SCALE] = scale.flatten()
            elif bool((halved := tensor.half()).isfinite().all()):
                small[name] = halved
    return weights | small


def expand(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Undo :func:`compact`, up to rounding."""
    return {
        name: (tensor.flatten(1) * weights[name + SCALE][:, None]).reshape(tensor.shape)
        if name + SCALE in weights
        else tensor
        for name, tensor in weights.items()
        if not name.endswith(SCALE)
    }


def load_weights(path: Path, model: torch.nn.Module) -> None:
    """Load safetensors weights, of any precision, compacted or not.

    Raises:
        ModelError: the file is damaged (its checksum differs), or its shapes
            do not fit the model.
    """
    checksum = path.with_suffix(".sha256")
    if checksum.exists() and path.exists() and checksum.read_text(encoding="utf-8").strip() != sha256(path):
        raise ModelError(f"{path} is damaged: its SHA-256 does not match", "use another checkpoint")
    try:
        model.load_state_dict(expand(load_file(path)))
    except Exception as error:  # safetensors raises its own unexported kinds
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"cannot load weights from {path}: {reason}",
            "the model's configuration must be the one it was trained with",
        ) from error
