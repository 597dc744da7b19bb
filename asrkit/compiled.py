"""Compiling loops with numba."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from numba import njit
from numba.core import event

from asrkit.progress import tell


def without_blas() -> None:
    """Let numba not look for scipy's BLAS, which takes a third of a second and which no loop here needs.

    For a process that is ours alone: no other code in it can then compile products of matrices.
    """
    blas = "scipy.linalg.cython_blas"
    if blas not in sys.modules:
        sys.modules[blas] = None  # type: ignore[assignment]
        try:
            import_module("numba.np.arraymath")
        finally:
            del sys.modules[blas]


class Announcement(event.Listener):
    """Says to a person at a terminal, once, what the first use on a machine waits for."""

    said = False

    def on_start(self, event: event.Event) -> None:
        if sys.stderr.isatty() and not self.said:
            tell("compiling, once on this machine: some seconds …")
        self.said = True

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", Announcement())


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at the first call; keep the machine code for later processes where a folder can be written."""
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba found no such folder
        return njit(nogil=True)(function)
