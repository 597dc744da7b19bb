"""asrkit results: several experiments in one table."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asrkit.errors import DataError


@click.command("results")
@click.argument("experiments", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of to stdout.")
@click.option("--set", "sets", multiple=True, help="Show this set only; may be given again.  [default: all]")
@click.option("--brief", is_flag=True, help="A line for each: what it changes in the first, and its errors.")
@click.option("--title", default="Results", show_default=True, help="Heading.")
def command(
    experiments: tuple[Path, ...], output: Path | None, sets: tuple[str, ...], brief: bool, title: str
) -> None:
    """Make one Markdown table of EXPERIMENTS.

    These are folders below exp/ that were scored, or copies of their results.json under names of your own.
    """
    from asrkit.files import atomic_write
    from asrkit.learning.report.results import summary

    contents = {}
    for path in experiments:
        source = path if path.suffix == ".json" else path / "results.json"
        try:
            content = json.loads(source.read_text(encoding="utf-8"))
            contents[f"{content['recipe']}/{path.resolve().name.removesuffix('.json')}"] = content
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise DataError(
                f"cannot read {source}: {error}", "name experiments whose stage score has run"
            ) from error
    page = summary(title, contents, sets, brief=brief)
    if output is None:
        click.echo(page, nl=False)
        return
    with atomic_write(output) as file:
        file.write(page)
