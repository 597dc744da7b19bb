"""A hook of MkDocs: the site holds the documents of the whole repository, each under its path there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "benchmarks/*.md",
    "recipes/*/*.md",
    "recipes/*/data/*.md",
)


def on_files(files: Files, config: Any) -> Files:
    """The files of ``docs/`` as ``docs/…``, and the pages outside of it."""
    pages = [file for file in files if file.src_dir != config.docs_dir]  # the theme's own
    for path in sorted((ROOT / "docs").rglob("*")):
        if path.is_file():
            pages.append(page(path, config))
    for pattern in PAGES:
        pages += [page(path, config) for path in sorted(ROOT.glob(pattern))]
    return Files(pages)


def page(path: Path, config: Any) -> File:
    return File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path))
