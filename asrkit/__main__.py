"""`python -m asrkit`, as torchrun starts it."""

from asrkit.cli import program

program()
