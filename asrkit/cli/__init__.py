"""The command line. Each verb is a thin module, imported only when it is called."""

from __future__ import annotations

import atexit
import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from asrkit import __version__
from asrkit.cli.messages import complain
from asrkit.errors import AsrkitError

VERBS = {
    "prepare": "make a recipe for your own recordings and transcripts",
    "train": "run a recipe: from a corpus to a scored, packed recogniser",
    "decode": "print the transcript of audio files",
    "align": "print when each word of a known text is said",
    "lm": "make an n-gram language model of text, convert one, or measure its perplexity",
    "tune": "find the decoding weights that are best on the dev sets",
    "results": "put the results of several experiments into one table",
    "score": "count the errors of hypotheses against references",
    "pronounce": "print the phones of words, predicted where no lexicon lists them",
    "config": "show a recipe's whole configuration, or explain a key",
    "recipes": "list the recipes that come with asrkit, or copy one",
    "info": "describe a model",
    "verify": "compare the fast code with the NumPy reference on a model and audio",
    "doctor": "say what is installed, what is missing and what that disables",
}


class Verbs(click.Group):
    """Finds a verb's command in asrkit.cli.<verb> when it is needed, so that --help stays instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = import_module(f"asrkit.cli.{name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.command(
    cls=Verbs,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 110,
        "token_normalize_func": lambda word: word.replace("_", "-"),
    },
)
@click.version_option(__version__, prog_name="asrkit")
def cli() -> None:
    """Speech recognition: train a recogniser from a recipe, and use it."""


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
                f"{error.strerror or error}{where}", "see that the disk has room and the file is yours"
            )
        )
        sys.exit(1)


def program() -> NoReturn:
    """The process of a command: :func:`main`, and an end that does not free what was loaded object by object.

    That took 0.4 of the 4 seconds of a first `asrkit decode`.
    """
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if not stream.closed:
                stream.flush()
    except OSError:  # nobody reads any more, or the disk is full
        code = code or 1
    os._exit(code)
