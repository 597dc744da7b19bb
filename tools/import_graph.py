"""Draw docs/pictures/architecture.svg from the import graph of asrkit.

    python tools/import_graph.py            # write the picture
    python tools/import_graph.py --check    # exit code 1 if the picture is not current

A box is a package or module of a wing, or of asrkit itself. Within a wing a box stands above all that it
imports there, and a line shows an import that does not follow from others. What imports neither wing is in
the lowest band.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from imports import ROOT, components, import_graph, module_files

PICTURE = ROOT / "docs" / "pictures" / "architecture.svg"
WINGS = {"recognition": "recognises: no torch", "learning": "learns: torch"}
WIDTH, PANEL, MARGIN, GAP = 1000, 465, 20, 14
BOX, ROW, HEADER = 30, 58, 58  # heights
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #24292f; text-anchor: middle }
  .title { font-weight: 600; font-size: 16px }
  .note { font-size: 12px; fill: #57606a }
  .left { text-anchor: start }
  .panel { fill: #8c959f; fill-opacity: 0.10; stroke: #8c959f }
  .package { fill: #ddf4ff; stroke: #0969da }
  .module { fill: #ffffff; stroke: #8c959f }
  .import { stroke: #8c959f; fill: none }
  .arrow { stroke: #57606a; stroke-width: 2; fill: none; marker-end: url(#head) }
  marker path { fill: #57606a }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .note { fill: #9198a1 }
    .package { fill: #0c2d6b; stroke: #4493f8 }
    .module { fill: #161b22 }
    .arrow { stroke: #9198a1 }
    marker path { fill: #9198a1 }
  }
"""

Graph = dict[str, set[str]]


class Box(NamedTuple):
    """A box at its place: centre, upper edge and width in pixels."""

    name: str
    x: float
    y: float
    width: float


def box_of(module: str) -> str:
    """The box that a module belongs to: ``recognition.audio``, ``cli``; "" for the package itself."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2] if parts and parts[0] in WINGS else parts[:1]) if parts != ["__main__"] else ""


def box_graph() -> tuple[Graph, set[str]]:
    """Box -> the boxes it imports when it runs; and the boxes that are packages."""
    files = module_files()
    graph: Graph = {box_of(name): set() for name in files}
    for edge in import_graph(files):
        if edge.kind != "typing":
            graph[box_of(edge.source)].add(box_of(edge.target))
    outside = {"", *WINGS}
    graph = {box: targets - outside - {box} for box, targets in graph.items() if box not in outside}
    return graph, {box_of(name) for name, path in files.items() if path.stem == "__init__"}


def within(graph: Graph, boxes: Sequence[str]) -> Graph:
    """The part of the graph among these boxes."""
    return {box: graph[box] & set(boxes) for box in boxes}


def levels(graph: Graph) -> dict[str, int]:
    """The length of the longest chain of imports below each box; boxes that import each other are level."""
    level: dict[str, int] = {}
    for component in components(graph):
        below = [level[t] + 1 for box in component for t in graph[box] if t not in component]
        level.update(dict.fromkeys(component, max(below, default=0)))
    return level


def reachable(graph: Graph, start: str) -> set[str]:
    """All that a box imports, directly or not."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph[waiting.pop()] - reached:
            reached.add(target)
            waiting.append(target)
    return reached


def reduced(graph: Graph) -> Iterator[tuple[str, str]]:
    """The imports that do not follow from others."""
    for box in sorted(graph):
        for target in sorted(graph[box]):
            if not any(target in reachable(graph, other) for other in graph[box] - {target}):
                yield box, target


def text_width(text: str) -> float:
    """About the width of 14 px text, with some room around it."""
    return 7.6 * len(text) + 18


def row_of(boxes: Sequence[str], x: float, y: float, width: float) -> list[Box]:
    """Boxes side by side, in the middle of a row; names without their wing."""
    names = [box.rpartition(".")[2] for box in boxes]
    widths = [text_width(name) for name in names]
    left = x + (width - sum(widths) - GAP * (len(boxes) - 1)) / 2
    placed = []
    for box, wide in zip(boxes, widths, strict=True):
        placed.append(Box(box, left + wide / 2, y, wide))
        left += wide + GAP
    return placed


def rows_of(boxes: Sequence[str], width: float) -> list[list[str]]:
    """Boxes in as many rows as they need."""
    rows: list[list[str]] = [[]]
    used = 0.0
    for box in boxes:
        wide = text_width(box.rpartition(".")[2]) + GAP
        if rows[-1] and used + wide > width:
            rows.append([])
            used = 0.0
        rows[-1].append(box)
        used += wide
    return rows


def draw_boxes(boxes: Sequence[Box], packages: set[str]) -> Iterator[str]:
    for box in boxes:
        kind = "package" if box.name in packages else "module"
        yield (
            f'<rect class="{kind}" x="{box.x - box.width / 2:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
            f'height="{BOX}" rx="5"/>'
        )
        yield f'<text x="{box.x:.1f}" y="{box.y + 20:.1f}">{escape(box.name.rpartition(".")[2])}</text>'


def draw_panel(x: float, y: float, width: float, height: float, title: str, note: str) -> Iterator[str]:
    yield f'<rect class="panel" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
    yield f'<text class="title left" x="{x + 14}" y="{y + 25}">{escape(title)}</text>'
    yield f'<text class="note left" x="{x + 14}" y="{y + 43}">{escape(note)}</text>'


def draw_wing(
    graph: Graph, packages: set[str], wing: str, x: float, y: float, height: float
) -> Iterator[str]:
    """A panel with the boxes of a wing, those that import nothing there at its lower edge."""
    boxes = [box for box in graph if box.startswith(f"{wing}.")]
    inner = within(graph, boxes)
    level = levels(inner)
    placed: dict[str, Box] = {}
    for row in range(max(level.values()) + 1):
        names = sorted(box for box in boxes if level[box] == row)
        for box in row_of(names, x, y + height - (row + 1) * ROW, PANEL):
            placed[box.name] = box
    yield from draw_panel(x, y, PANEL, height, f"asrkit/{wing}", WINGS[wing])
    for source, target in reduced(inner):
        a, b = placed[source], placed[target]
        yield f'<line class="import" x1="{a.x:.1f}" y1="{a.y + BOX:.1f}" x2="{b.x:.1f}" y2="{b.y:.1f}"/>'
    yield from draw_boxes(list(placed.values()), packages)


def draw_band(
    boxes: Sequence[str], packages: set[str], y: float, title: str, note: str
) -> tuple[list[str], float]:
    """A panel over the whole width, and its height."""
    width = WIDTH - 2 * MARGIN
    rows = rows_of(boxes, width - 2 * MARGIN)
    height = HEADER + len(rows) * (BOX + GAP)
    drawn = list(draw_panel(MARGIN, y, width, height, title, note))
    for number, row in enumerate(rows):
        drawn += draw_boxes(row_of(row, MARGIN, y + HEADER + number * (BOX + GAP), width), packages)
    return drawn, height


def crossings(graph: Graph, source: str, target: str) -> list[str]:
    """``a → b`` for each box of one wing that imports one of the other."""
    return [
        f"{box.rpartition('.')[2]} → {other.rpartition('.')[2]}"
        for box in sorted(graph)
        if box.startswith(f"{source}.")
        for other in sorted(graph[box])
        if other.startswith(f"{target}.")
    ]


def picture(graph: Graph, packages: set[str]) -> str:
    """The whole picture as SVG."""
    wing_boxes = {box for box in graph if "." in box}
    outside = sorted(graph.keys() - wing_boxes)
    above = [box for box in outside if reachable(graph, box) & wing_boxes]
    below = [box for box in outside if box not in above]
    rows = 1 + max(
        max(levels(within(graph, [box for box in graph if box.startswith(f"{wing}.")])).values())
        for wing in WINGS
    )
    drawn, height = draw_band(above, packages, MARGIN, "asrkit", "commands and Python: import what is below")
    top = MARGIN + height + 2 * GAP
    wing_height = HEADER + rows * ROW
    left, right = MARGIN, WIDTH - MARGIN - PANEL
    drawn += draw_wing(graph, packages, "recognition", left, top, wing_height)
    drawn += draw_wing(graph, packages, "learning", right, top, wing_height)
    drawn += [
        f'<path class="arrow" d="M {left + 24} {top + wing_height - 14} V {top + 64}"/>',
        f'<text class="note" transform="translate({left + 16} {top + wing_height / 2:.0f}) rotate(-90)">'
        "audio → features → decoding → alignment → scoring</text>",
        f'<path class="arrow" d="M {right - 4} {top + 24} H {left + PANEL + 8}"/>',
    ]
    seam = crossings(graph, "recognition", "learning")
    bottom = top + wing_height + 18
    note = f"recognition imports learning in one place only: {', '.join(seam)}" if seam else ""
    if len(seam) > 1:
        note = f"recognition imports learning in {len(seam)} places"
    drawn.append(f'<text class="note left" x="{left}" y="{bottom}">{escape(note)}</text>')
    drawn.append(
        f'<text class="note" style="text-anchor: end" x="{WIDTH - MARGIN}" y="{bottom}">'
        "learning imports recognition</text>"
    )
    foot, height = draw_band(
        below, packages, bottom + GAP, "foundations", "import neither wing; reference: NumPy only"
    )
    drawn += foot
    total = bottom + GAP + height + MARGIN
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {total:.0f}" role="img" '
        'aria-label="The packages of asrkit in layers">'
    )
    marker = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="6" markerHeight="6" '
        'orient="auto"><path d="M 0 0 L 8 4 L 0 8 z"/></marker></defs>'
    )
    return "\n".join(
        [
            "<!-- Written by tools/import_graph.py. -->",
            head,
            f"<style>{STYLE}</style>",
            marker,
            *drawn,
            "</svg>",
            "",
        ]
    )


def main(arguments: Sequence[str]) -> int:
    text = picture(*box_graph())
    if "--check" in arguments:
        if not PICTURE.exists() or PICTURE.read_text(encoding="utf-8") != text:
            print(f"{PICTURE.relative_to(ROOT)} is not current: run python tools/import_graph.py")
            return 1
        return 0
    PICTURE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
