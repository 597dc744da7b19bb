"""What only a process of our own may do: unused memory (glibc, mallopt(3)), and what libraries look for."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -3, -4, -8


@contextmanager
def without_looking_for_cycles() -> Iterator[None]:
    """Within, Python does not look for objects that hold each other; later, not among those made within.

    Importing torch and numba and opening a model makes a million objects that stay: to go through them again
    and again, and once more at the end, took 1.3 of the 5.5 seconds of a first `asrkit decode`.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def keep_freed_memory() -> None:
    """Keep it for the next tensors, which suits training.

    Otherwise the pages of every large tensor are asked of the system, cleared and given back, at up to a
    third of the time of an update on the CPU; the price is memory, about half as much again.
    """
    _tell({MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1})


def give_memory_back() -> None:
    """Return it at once, so that memory stays that of what is decoded.

    Otherwise there is a heap for each thread, and in these stays any block smaller than the largest one ever
    freed.
    """
    _tell({ARENA_MAX: 1, MMAP_THRESHOLD: 1 << 20})


def _tell(options: dict[int, int]) -> None:
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, number in options.items():
            mallopt(option, number)


def without_blas() -> None:
    """Keep numba from searching for scipy's BLAS, a third of a second for what no loop here uses.

    No other code in the process can then compile products of matrices.
    """
    blas = "scipy.linalg.cython_blas"
    if blas not in sys.modules:
        sys.modules[blas] = None  # type: ignore[assignment]
        try:
            import_module("numba.np.arraymath")
        finally:
            del sys.modules[blas]
