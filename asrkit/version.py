"""The checkout that this package runs from, if it is one."""

import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]


def git(*words: str) -> str:
    """Output of a git command in the checkout; empty if git fails or this is an installed package."""
    if not (SOURCE / ".git").exists():
        return ""
    try:
        done = subprocess.run(["git", "-C", SOURCE, *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
