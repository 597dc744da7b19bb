"""Errors that a user can act on: one line `error:`, one line `hint:`, an exit code."""

import difflib
from collections.abc import Iterable


class AsrkitError(Exception):
    """An error that a user can cause. Shown as two lines, never as a traceback.

    Args:
        message: what is wrong, and where.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(AsrkitError):
    """The command or its configuration is invalid."""

    exit_code = 2


class ConfigError(UsageError):
    """An unknown key, a wrong type or an impossible combination in a configuration."""


class DataError(AsrkitError):
    """Audio, text or a manifest that cannot be used."""


class ModelError(AsrkitError):
    """A bundle, checkpoint or experiment that cannot be used."""


class MissingDependency(AsrkitError):  # noqa: N818 - the name is public
    """An optional package that this operation needs is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed", f"pip install 'asrkit[{extra}]'"
        )


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint naming the choice most like `word`, or all choices."""
    options = sorted(choices)
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else "choose one of: " + ", ".join(options)
