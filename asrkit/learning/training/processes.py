"""Training in several processes: the parts of torch.distributed that the loop needs.

``torchrun`` starts them and sets RANK, WORLD_SIZE and LOCAL_RANK; without it there is one process.
"""

import os

import torch
import torch.distributed as dist


def start_processes() -> tuple[int, int]:
    """Join the process group of torchrun. Returns (rank, number of processes)."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return int(os.environ.get("RANK", "0")), world


def end_processes() -> None:
    """Leave the group of processes, if any."""
    if dist.is_initialized():
        dist.destroy_process_group()


def total(values: list[float], device: torch.device) -> list[float]:
    """Elementwise sum over all processes."""
    if not dist.is_initialized():
        return values
    tensor = torch.tensor(
        values, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device
    )
    dist.all_reduce(tensor)
    return tensor.tolist()


def wait() -> None:
    """Block until all processes get here."""
    if dist.is_initialized():
        dist.barrier()
