"""Compiling loops with numba."""

import sys
from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import event

from asrkit.progress import tell

KERNELS: set[Callable[..., Any]] = set()
"""The functions that :func:`compiled` was given."""


class Announcement(event.Listener):
    """Tells a person at a terminal, once, why the first use of our loops on a machine takes seconds.

    numba reports the loops of all code in the process; only those of asrkit are announced.
    """

    told = False

    def on_start(self, event: event.Event) -> None:
        if self.told or event.data["dispatcher"].py_func not in KERNELS:
            return
        self.told = True
        if sys.stderr.isatty():
            tell("compiling, once on this machine: some seconds …")

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", Announcement())  # type: ignore[no-untyped-call]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call; keep the machine code for later processes where a folder can be written."""
    KERNELS.add(function)
    try:
        kernel: Callable[..., Any] = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no such folder
        kernel = njit(nogil=True)(function)
    return kernel
