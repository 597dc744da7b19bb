"""tools/imports.py reads every kind of import; no modules of asrkit import each other in a circle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

SOURCES = {
    "pack/__init__.py": "",
    "pack/a.py": "import pack.b\nfrom pack import sub\n",
    "pack/b.py": "def f():\n    from .sub.c import name\n",
    "pack/sub/__init__.py": "from importlib import import_module\nimport_module(f'pack.sub.{verb}')\n",
    "pack/sub/c.py": "import typing\nif typing.TYPE_CHECKING:\n    import pack.a\nelse:\n    import pack.b\n",
}
EXPECTED = {
    ("pack.a", "pack.b", "module"),
    ("pack.a", "pack.sub", "module"),
    ("pack.b", "pack.sub.c", "lazy"),
    ("pack.sub", "pack.sub.c", "lazy"),
    ("pack.sub.c", "pack.a", "typing"),
    ("pack.sub.c", "pack.b", "module"),
}


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    import imports

    return imports


def test_every_kind_of_import(imports: Any, tmp_path: Path) -> None:
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    edges = imports.import_graph(imports.module_files(tmp_path, "pack"))
    assert set(map(tuple, edges)) == EXPECTED


def test_components(imports: Any) -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}
    assert imports.components(graph) == [["d"], ["b", "c"], ["a"], ["e"]]


def test_no_cycle_in_asrkit() -> None:
    command = [sys.executable, str(ROOT / "tools/import_cycles.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
