"""Messages to the user, on stderr."""

import click

from asrkit.errors import AsrkitError


def complain(error: AsrkitError) -> None:
    """Print an error as its two lines on stderr."""
    click.echo(f"error: {one_line(error.message)}", err=True)
    if error.hint:
        click.echo(f"hint: {one_line(error.hint)}", err=True)


def one_line(text: str) -> str:
    """`text` with line breaks and control characters escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
