"""What `asrkit` does to a process that is its own: never imported by the library, so never in a host program.

- :func:`end` exits without freeing what was loaded, object by object.
- :func:`without_cycle_collection` exempts what a model's opening makes from garbage collection (gc.freeze).
- :func:`without_blas` hides scipy's BLAS from numba (sys.modules).
- :func:`keep_freed_memory` and :func:`return_freed_memory` set up the C library's allocator (mallopt(3)).
"""

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import NoReturn

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -3, -4, -8


def end(code: int) -> NoReturn:
    """Run the exit handlers, flush the output and exit: code 1 instead of 0 if the output cannot be written.

    Python's own exit frees every object first, 0.4 of the 4 seconds of a first `asrkit decode`.
    """
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
    except OSError:  # a closed pipe, or a full disk
        code = code or 1
    os._exit(code)


@contextmanager
def without_cycle_collection() -> Iterator[None]:
    """Collect no reference cycles within; objects made within are exempt from later collections.

    Importing torch and numba and opening a model makes a million objects that stay: traversing them again
    and again, and once more at exit, took 1.3 of the 5.5 seconds of a first `asrkit decode`.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def without_blas() -> None:
    """Import numba without scipy's BLAS, which takes a third of a second and which no loop here needs.

    Afterwards no code in this process can compile products of matrices.
    """
    blas = "scipy.linalg.cython_blas"
    if blas not in sys.modules:
        sys.modules[blas] = None  # type: ignore[assignment]
        try:
            import_module("numba.np.arraymath")
        finally:
            del sys.modules[blas]


def keep_freed_memory() -> None:
    """Keep freed memory for the next tensors, which suits training.

    Otherwise the pages of every large tensor are requested from the system, cleared and returned, at up to a
    third of the time of an update on the CPU; the price is memory, about half as much again.
    """
    _mallopt({MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1})


def return_freed_memory() -> None:
    """Return freed memory at once, which suits decoding.

    Otherwise there is a heap per thread, and each keeps any block smaller than the largest one ever freed.
    """
    _mallopt({ARENA_MAX: 1, MMAP_THRESHOLD: 1 << 20})


def _mallopt(options: dict[int, int]) -> None:
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, number in options.items():
            mallopt(option, number)
