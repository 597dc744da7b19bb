"""Import cycles among the modules of asrkit: none is allowed.

    python tools/import_cycles.py

Counts the strongly connected components of more than one module. Lazy imports count, imports for type
checking do not. The exit code is 1 if there is a cycle.
"""

from __future__ import annotations

import sys

from imports import components, import_graph, module_files


def main() -> int:
    files = module_files()
    edges = [edge for edge in import_graph(files) if edge.kind != "typing"]
    graph: dict[str, set[str]] = {name: set() for name in files}
    for edge in edges:
        graph[edge.source].add(edge.target)
    cycles = [component for component in components(graph) if len(component) > 1]
    for number, cycle in enumerate(cycles, 1):
        print(f"cycle {number}: {len(cycle)} modules")
        for edge in edges:
            if edge.source in cycle and edge.target in cycle:
                print(f"  {edge.source} -> {edge.target}{' (lazy)' if edge.kind == 'lazy' else ''}")
    print(f"{len(files)} modules, {len(edges)} imports, {len(cycles)} cycles")
    return 1 if cycles else 0


if __name__ == "__main__":
    sys.exit(main())
