"""Where recipes and configuration fragments are: the source tree, or the installation."""

import shutil
import sys
import sysconfig
from pathlib import Path

from asrkit.errors import UsageError, nearest


def root() -> Path:
    """The folder that holds ``recipes/`` and ``conf/``."""
    source = Path(__file__).resolve().parents[3]
    installed = [Path(sysconfig.get_path("data")), Path(sys.prefix)]
    for folder in [source, *(base / "share" / "asrkit" for base in installed)]:
        if (folder / "recipes").is_dir() and (folder / "conf").is_dir():
            return folder
    raise UsageError("the recipes of asrkit are not found", "install asrkit again")


def recipes() -> dict[str, Path]:
    """Name -> folder of every recipe of asrkit."""
    return {p.parent.name: p.parent for p in sorted((root() / "recipes").glob("*/recipe.yaml"))}


def find_recipe(name: str) -> Path:
    """The ``recipe.yaml`` of a folder, a file, or the name of a recipe of asrkit.

    Raises:
        UsageError: it does not exist; the nearest name is suggested.
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
    """The ``conf`` folder that a recipe uses: in it, beside ``recipes/``, or asrkit's."""
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
