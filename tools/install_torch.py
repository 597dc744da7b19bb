"""Install the tested torch into this interpreter's environment: a CPU build without an NVIDIA GPU.

On Linux pip alone takes a CUDA build with gigabytes of libraries even on a machine without a GPU. So this
asks pip first what it would install; if that brings CUDA along for nothing, uv fetches the CPU build.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any


def wanted() -> str:
    """The requirement line for torch in constraints.txt."""
    lines = (Path(__file__).parent.parent / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next(line.strip() for line in lines if line.startswith("torch=="))


def pip(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "pip", *words], text=True, check=True, **options)


def brings_cuda(requirement: str) -> bool:
    """Whether pip would install CUDA libraries with `requirement`."""
    report = pip(
        "install", "--dry-run", "--quiet", "--report", "-", requirement, stdout=subprocess.PIPE
    ).stdout
    names = [item["metadata"]["name"] for item in json.loads(report)["install"]]
    return any(name.startswith(("nvidia-", "cuda-")) for name in names)


def main() -> None:
    requirement = wanted()
    try:
        if importlib.metadata.version("torch").split("+")[0] == requirement.split("==")[1]:
            return
    except importlib.metadata.PackageNotFoundError:
        pass
    if sys.platform == "linux" and not shutil.which("nvidia-smi") and brings_cuda(requirement):
        pip("install", "--quiet", "uv")
        subprocess.run(
            [
                sys.executable,
                "-m",
                "uv",
                "pip",
                "install",
                "--python",
                sys.executable,
                "--torch-backend",
                "cpu",
                requirement,
            ],
            check=True,
        )
    else:
        pip("install", "--quiet", requirement)


if __name__ == "__main__":
    main()
