"""Text normalisation: every text passes one of these functions, by its name, before anything else sees it."""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

from asrkit.errors import ConfigError, nearest

APOSTROPHES = "'’‘ʼ＇`´"
SPOKEN = "&%@#*"  # Unicode calls them punctuation, but people read them aloud


def none(text: str) -> str:
    """Unicode NFC, and white space collapsed to single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def upper(text: str) -> str:
    """As :func:`none`, in capitals."""
    return none(none(text).upper())


def lower(text: str) -> str:
    """As :func:`none`, in small letters."""
    return none(none(text).lower())


def english(text: str) -> str:
    """Capitals A–Z, apostrophes within or beside words, single spaces; other punctuation becomes a space.

    What is spoken but not spelt with letters (digits, ``& % @ #`` …) and foreign letters stay as they are:
    the check stage shows them as unknown characters instead of a word going missing in silence.
    """
    text = none("".join(map(_english_character, upper(text))))
    return none(re.sub(r"''+|(?<!\w)'(?!\w)", " ", text))


@cache
def _english_character(character: str) -> str:
    category = unicodedata.category(character)
    if character in APOSTROPHES:
        return "'"
    if category == "Cf":  # soft hyphens, zero-width spaces, byte-order marks
        return ""
    return " " if (category[0] == "P" or category == "Cc") and character not in SPOKEN else character


NORMALIZERS: dict[str, Callable[[str], str]] = {
    "none": none,
    "english": english,
    "upper": upper,
    "lower": lower,
}

ALPHABETS = {"english": "'ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
"""Characters that the texts of a normaliser should be made of; tokenizers learn no other. None given: any."""


def normalize(text: str, name: str) -> str:
    """`text` by the normaliser called `name`. Raises ConfigError if the name is unknown."""
    if name not in NORMALIZERS:
        raise ConfigError(f"unknown text normaliser: {name!r}", nearest(name, NORMALIZERS))
    return NORMALIZERS[name](text)
