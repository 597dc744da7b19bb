"""The command line. Each verb is a thin module, imported only when it is called."""

import sys
from importlib import import_module
from typing import NoReturn

import click

from asrkit import __version__
from asrkit.cli.messages import complain
from asrkit.errors import AsrkitError, UsageError, nearest

VERBS = {
    "prepare": "write a recipe for your own recordings and transcripts",
    "train": "run a recipe: from a corpus to a scored, packed recogniser",
    "decode": "print the transcript of audio files",
    "align": "forced alignment: print the times of the words of a known text",
    "lm": "estimate or convert an n-gram language model, or measure its perplexity",
    "tune": "tune decoding weights on the dev sets",
    "results": "print a table of results of several experiments",
    "score": "print the error rate of hypotheses against references",
    "pronounce": "print the phones of words, predicted if not in the lexicon",
    "config": "print a recipe's configuration, or explain a key",
    "recipes": "list the recipes that come with asrkit, or copy one",
    "info": "describe a model",
    "verify": "compare the fast code with the NumPy reference on a model and audio",
    "doctor": "report what is installed, what is missing and what that disables",
}
ALIASES = {"transcribe": "decode"}


class Verbs(click.Group):
    """Imports a verb's command from asrkit.cli.<verb> when it is called, so that --help stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        name = ALIASES.get(name, name)
        if name not in VERBS:
            raise UsageError(f"No such command {name!r}", nearest(name, VERBS))
        command: click.Command = import_module(f"asrkit.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


def print_version(context: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print ``asrkit 0.2.0``, and in a checkout its commit, then exit."""
    if not wanted or context.resilient_parsing:
        return
    from asrkit.version import git

    commit = git("rev-parse", "--short", "HEAD")
    click.echo(f"asrkit {__version__}" + (f" ({commit})" if commit else ""))
    context.exit()


@click.command(
    cls=Verbs,
    invoke_without_command=True,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "token_normalize_func": lambda word: word.replace("_", "-"),
    },
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=print_version,
    help="Show the version and exit; in a checkout also its commit.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Speech recognition: train a recogniser with a recipe, and use it."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the command in ``sys.argv``: exit code 0, 1 (data or model), 2 (usage) or 130 (interrupted)."""
    try:
        cli.main(standalone_mode=False)
    except AsrkitError as error:
        complain(error)
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        complain(
            AsrkitError(
                error.format_message(), f"{context.command_path} --help" if context else "asrkit --help"
            )
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        complain(
            AsrkitError(
                f"{error.strerror or error}{where}", "check free disk space and the file's permissions"
            )
        )
        sys.exit(1)


def program() -> NoReturn:
    """:func:`main`, then the end of the process."""
    from asrkit.cli.process import end

    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    end(code)
