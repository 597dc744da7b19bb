"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from asrkit.recognition.pretrained import packaged_model


def _given(context: click.Context, option: click.Parameter, path: str) -> str:
    return path or str(packaged_model())


def recognizer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--model``, ``--device`` and ``--threads``, as Recognizer.load takes them."""
    for option in (
        click.option("--threads", type=click.IntRange(0), default=0, help="CPU threads.  [default: all]"),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."),
        click.option(
            "--model",
            default="",
            envvar="ASRKIT_MODEL",
            callback=_given,
            help="A .asrkit bundle, an experiment folder or a checkpoint [env: ASRKIT_MODEL].  "
            "[default: the one that comes with asrkit]",
        ),
    ):
        command = option(command)
    return command
