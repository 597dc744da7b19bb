"""asrkit results: several experiments in one table."""

import json
from pathlib import Path

import click

from asrkit.errors import DataError


@click.command("results")
@click.argument("experiments", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file instead of stdout.")
@click.option("--set", "sets", multiple=True, show_default="all", help="Only this set; may be repeated.")
@click.option(
    "--brief", is_flag=True, help="One line per experiment: its difference from the first, and its errors."
)
@click.option("--title", default="Results", show_default=True, help="Heading.")
def command(
    experiments: tuple[Path, ...], output: Path | None, sets: tuple[str, ...], brief: bool, title: str
) -> None:
    """Print one Markdown table of EXPERIMENTS: scored folders below exp/, or copies of their results.json."""
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
