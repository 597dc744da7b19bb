"""Options that several verbs share, and flags for keys of the configuration."""

import dataclasses
from collections.abc import Callable
from typing import Any

import click

from asrkit.config import Config, DecodeConfig, keys
from asrkit.recognition.pretrained import packaged_model

Command = Callable[..., Any]


def _model_or_packaged(context: click.Context, option: click.Parameter, path: str) -> str:
    return path or str(packaged_model())


def recognizer_options(command: Command) -> Command:
    """``--model``, ``--device`` and ``--threads``, as Recognizer.load takes them."""
    command = device_options(command)
    return click.option(
        "--model",
        default="",
        envvar="ASRKIT_MODEL",
        show_envvar=True,
        show_default="the one that comes with asrkit",
        callback=_model_or_packaged,
        help="A .asrkit bundle, an experiment folder or a checkpoint.",
    )(command)


def device_options(command: Command) -> Command:
    """``--device`` and ``--threads``."""
    command = click.option(
        "--threads", type=click.IntRange(0), default=0, show_default="all cores", help="CPU threads."
    )(command)
    return click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, cuda or mps; auto prefers a GPU."
    )(command)


def setting(key: str, *names: str, **more: Any) -> Callable[[Command], Command]:
    """A flag for a key of the configuration, with the help, range and choices that the schema gives it.

    Args:
        key: dotted key, for example ``decode.beam_size``.
        names: of the flag; by default that of the key's last part.
        more: further arguments of click.option.
    """
    field = keys(Config)[key]
    help, choices, low, high = (field.metadata[name] for name in ("help", "choices", "low", "high"))
    kind: Any = field.type if field.type in (int, float) else str
    if low is not None or high is not None:
        kind = (click.IntRange if kind is int else click.FloatRange)(low, high)
    text = help + (": " + ", ".join(choices) if choices else "")
    words = {"type": kind, "metavar": "NAME" if kind is str else "N", "show_default": True, **more}
    words["help"] = f"{text[0].upper()}{text[1:]}."
    return click.option(*(names or ["--" + field.name.replace("_", "-")]), **words)


def decode_options(command: Command) -> Command:
    """A flag for each name and number in ``decode``; None: the model's setting stays."""
    for field in reversed(dataclasses.fields(DecodeConfig)):
        if field.type in (int, float, str):
            command = setting(f"decode.{field.name}", show_default="the model's")(command)
    return command
