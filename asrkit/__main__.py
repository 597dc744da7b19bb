"""`python -m asrkit`, as torchrun starts it."""

from asrkit.cli import main

main()
