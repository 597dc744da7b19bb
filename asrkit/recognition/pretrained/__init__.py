"""The recogniser that comes with the package, in a package that has one."""

from pathlib import Path

from asrkit.errors import UsageError

ENGLISH = Path(__file__).parent / "english.asrkit"


def packaged_model() -> Path:
    """The bundle that is used where no model is named. Raises UsageError when the package has none."""
    if not ENGLISH.is_file():
        raise UsageError("no model", "give --model: a .asrkit bundle, or the exp/... folder of a training")
    return ENGLISH
