"""asrkit config: a recipe's configuration, its difference from the defaults, the meaning of a key."""

import click

from asrkit.errors import UsageError


@click.command("config")
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--diff", is_flag=True, help="Print only the keys that differ from the defaults.")
@click.option("--explain", metavar="KEY", help="Print the meaning, default and value of a key or section.")
def command(recipe: str, overrides: tuple[str, ...], diff: bool, explain: str | None) -> None:
    """Print the configuration that `asrkit train RECIPE [KEY=VALUE]...` would use."""
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
            bounds = (("at least", meta["low"]), ("at most", meta["high"]))
            if text := ", ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None):
                click.echo("    " + text)
    elif diff:
        for key, (usual, current) in difference(config).items():
            click.echo(f"{key}: {usual} -> {current}")
    else:
        click.echo(to_yaml(config), nl=False)
