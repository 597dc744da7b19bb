"""asrkit recipes: list the packaged recipes, or copy one to edit."""

from pathlib import Path

import click


@click.command("recipes")
@click.argument("name", required=False)
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def command(name: str | None, folder: Path | None) -> None:
    """List the recipes that come with asrkit, or copy the one called NAME to FOLDER (default: ./NAME)."""
    from asrkit.learning.recipe.library import copy_recipe, recipes

    if name:
        click.echo(f"copied to {copy_recipe(name, folder or Path(name))}", err=True)
        return
    for known, path in recipes().items():
        title = (path / "README.md").read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        click.echo(f"{known:<14}{title}")
