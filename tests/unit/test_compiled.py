"""Compiled loops: what a person is told of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import at_terminal

PROGRAM = """
from asrkit.compiled import compiled

@compiled
def add(x, y):
    return x + y

print(add(1, 2), add(1.5, 2))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_compiling_is_announced_once_to_a_person() -> None:
    command = [sys.executable, "-c", PROGRAM]
    first, second = at_terminal(*command).splitlines()
    assert first.startswith("compiling, once") and second == "3 3.5"
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("3 3.5\n", "")


HOST = """
import asrkit.recognition.decoding.ctc_kernels
from numba import njit

@njit
def add(x, y):
    return x + y

print(add(1, 2))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_nothing_is_announced_of_the_loops_of_a_host_program() -> None:
    assert at_terminal(sys.executable, "-c", HOST).splitlines() == ["3"]
