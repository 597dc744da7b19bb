"""The notebooks of examples/ are those of docs/tutorials, and run from start to end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def test_notebooks_are_current() -> None:
    command = [sys.executable, str(ROOT / "tools/notebooks.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(NOTEBOOKS) == 3


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    for name in ("recipes", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    shim = tmp_path / "bin" / "asrkit"
    shim.parent.mkdir()
    # A command that fails ends the notebook: the kernel takes no notice of exit codes after "!".
    shim.write_text(
        f'#!/bin/sh\n"{sys.executable}" -m asrkit "$@" || {{ touch "{tmp_path}/failed"; exit 1; }}\n'
    )
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert not (tmp_path / "failed").exists()
