"""What the machine offers: device, precision, threads."""

import os
from contextlib import AbstractContextManager

import torch

from asrkit.errors import UsageError


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` takes CUDA, then MPS, then the CPU. Under torchrun each process takes its own CUDA device.

    Raises:
        UsageError: the device does not exist.
    """
    kinds = ["cpu"]
    if torch.cuda.is_available():
        kinds.insert(0, "cuda")
    elif torch.backends.mps.is_available():
        kinds.insert(0, "mps")
    name = kinds[0] if name == "auto" else name
    if name.split(":")[0] not in kinds:
        raise UsageError(f"device {name!r} is not available", "available: " + ", ".join(kinds))
    if name == "cuda" and "LOCAL_RANK" in os.environ:
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    return torch.device(name)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 matrix products run in hardware there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return False
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """``auto``: bf16 where it is fast, else fp16 on CUDA, else fp32.

    Raises:
        UsageError: fp16 off CUDA, where its loss scaling has no support.
    """
    if name == "auto":
        name = "bf16" if has_fast_bf16(device) else "fp16" if device.type == "cuda" else "fp32"
    if name == "fp16" and device.type != "cuda":
        raise UsageError("train.precision=fp16 needs a CUDA device", "use train.precision=bf16 or fp32")
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def autocast(device: torch.device, precision: torch.dtype) -> AbstractContextManager[None]:
    """Mixed precision, except in float32."""
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)
