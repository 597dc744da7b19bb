"""The import graph of asrkit, read from its sources without importing any of them.

An import is one of three kinds:

- ``module``: runs when the module is imported.
- ``lazy``: inside a function, or a module named by a string (``import_module("asrkit.x")``, tables of verbs).
- ``typing``: below ``if TYPE_CHECKING:``; never runs.

That importing a module also imports the packages around it is not counted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Import(NamedTuple):
    """One import of a module of the package, by another one."""

    source: str
    target: str
    kind: str


def module_files(root: Path = ROOT, package: str = "asrkit") -> dict[str, Path]:
    """Dotted name -> file of every module; a package is its ``__init__``."""
    files = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def import_graph(files: Mapping[str, Path]) -> list[Import]:
    """Every import of one of these modules by another, sorted."""
    found = set()
    for module, path in files.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        package = module if path.stem == "__init__" else module.rpartition(".")[0]
        for target, kind in _targets(tree, "module", package, files):
            if target != module:
                found.add(Import(module, target, kind))
    return sorted(found)


def _targets(node: ast.AST, kind: str, package: str, files: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    """The modules that `node` and the nodes in it import, with the kind of each import."""
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        for child in node.body:
            yield from _targets(child, "typing", package, files)
        for child in node.orelse:
            yield from _targets(child, kind, package, files)
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and kind == "module":
        kind = "lazy"
    for name in _named(node, package, files):
        yield name, "lazy" if isinstance(node, ast.Constant | ast.JoinedStr) else kind
    for inner in ast.iter_child_nodes(node):
        yield from _targets(inner, kind, package, files)


def _named(node: ast.AST, package: str, files: Mapping[str, Path]) -> Iterator[str]:
    """The modules that this one node names."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in files)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        for alias in node.names:
            for name in (f"{base}.{alias.name}", base):
                if name in files:
                    yield name
                    break
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        if "." in node.value and node.value in files:
            yield node.value
    elif isinstance(node, ast.JoinedStr) and node.values:  # f"asrkit.cli.{verb}"
        first = node.values[0]
        prefix = first.value if isinstance(first, ast.Constant) else ""
        if isinstance(prefix, str) and prefix.endswith(".") and prefix[:-1] in files:
            yield from (name for name in files if name.rpartition(".")[0] == prefix[:-1])


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def components(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components, each sorted, every one after those it reaches (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    done: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            at = stack.index(node)
            done.append(sorted(stack[at:]))
            del stack[at:]

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return done
