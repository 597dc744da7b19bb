"""asrkit config: a recipe's whole configuration, what differs from the defaults, what a key means."""

from __future__ import annotations

import click

from asrkit.errors import UsageError


@click.command("config")
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--diff", is_flag=True, help="Only what differs from the defaults.")
@click.option(
    "--explain", metavar="KEY", help="What a key (or a section) means, its default and its value here."
)
def command(recipe: str, overrides: tuple[str, ...], diff: bool, explain: str | None) -> None:
    """Show the configuration that `asrkit train RECIPE [KEY=VALUE]...` would use."""
    from asrkit.config import Config, difference, keys, load_config, to_yaml, value
    from asrkit.errors import nearest
    from asrkit.learning.recipe.library import find_recipe, fragments

    path = find_recipe(recipe)
    config = load_config(path, overrides, fragments(path))
    if explain:
        known = keys(Config)
        chosen = [k for k in known if k == explain or k.startswith(explain + ".")]
        if not chosen:
            raise UsageError(f"unknown key: {explain}", nearest(explain, known))
        default = Config()
        for key in chosen:
            meta = known[key].metadata
            click.echo(f"{key} = {value(config, key)}   (default {value(default, key)})\n    {meta['help']}")
            if meta["choices"]:
                click.echo("    one of: " + ", ".join(map(str, meta["choices"])))
            bounds = [
                f"{word} {meta[name]:g}"
                for name, word in (("low", "at least"), ("high", "at most"))
                if meta[name] is not None
            ]
            if bounds:
                click.echo("    " + ", ".join(bounds))
    elif diff:
        for key, (usual, current) in difference(config).items():
            click.echo(f"{key}: {usual} -> {current}")
    else:
        click.echo(to_yaml(config), nl=False)
