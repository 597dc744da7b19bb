"""Where recipes and configuration fragments are: the source tree, or what an installation brought."""

from __future__ import annotations

import shutil
import sys
import sysconfig
from pathlib import Path

from asrkit.errors import UsageError, nearest


def root() -> Path:
    """The folder that holds ``recipes/`` and ``conf/``."""
    source = Path(__file__).resolve().parents[3]
    installed = [Path(sysconfig.get_path("data")), Path(sys.prefix)]
    for place in [source, *(base / "share" / "asrkit" for base in installed)]:
        if (place / "recipes").is_dir() and (place / "conf").is_dir():
            return place
    raise UsageError("the recipes that come with asrkit are not found", "install asrkit again")


def recipes() -> dict[str, Path]:
    """Name -> folder of every recipe that comes with asrkit."""
    return {p.parent.name: p.parent for p in sorted((root() / "recipes").glob("*/recipe.yaml"))}


def find_recipe(name: str) -> Path:
    """The ``recipe.yaml`` meant by a folder, a file, or the name of a recipe that comes with asrkit.

    Raises:
        UsageError: there is none; the nearest is named.
    """
    path = Path(name)
    if path.is_file():
        return path
    if (path / "recipe.yaml").is_file():
        return path / "recipe.yaml"
    known = recipes()
    short = path.name
    if short in known and path.parent.name in ("", "recipes"):
        return known[short] / "recipe.yaml"
    raise UsageError(f"no recipe at {name!r}", nearest(short, known))


def fragments(recipe: Path) -> Path:
    """The ``conf`` folder a recipe draws on: its own, the one beside ``recipes/``, or asrkit's."""
    for folder in (recipe.parent, recipe.parent.parent.parent):
        if (folder / "conf").is_dir():
            return folder / "conf"
    return root() / "conf"


def copy_recipe(name: str, target: Path) -> Path:
    """Copy a recipe folder out to edit it. Raises UsageError when `target` exists."""
    source = find_recipe(name).parent
    if target.exists():
        raise UsageError(f"{target} exists", "choose another folder")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("exp", "__pycache__"))
    return target
