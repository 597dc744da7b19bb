"""How words are written in a tokenizer's tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrkit.errors import DataError, ModelError
from asrkit.files import atomic_write
from asrkit.recognition.text.tokenizer import UNK_ID, PhoneTokenizer, Tokenizer

TokenLexicon = Mapping[str, Sequence[Sequence[int]]]
"""Words and their spellings in token ids."""


class Spellings(NamedTuple):
    """A lexicon as plain arrays, which are read in no time.

    Attributes:
        words: those that have a spelling.
        counts: int64[W], spellings of each.
        lengths: int64[S], tokens of each spelling.
        tokens: int64[N], of all spellings, one after the other.
    """

    words: list[str]
    counts: np.ndarray
    lengths: np.ndarray
    tokens: np.ndarray

    @classmethod
    def of(cls, lexicon: TokenLexicon | Spellings) -> Spellings:
        """The same in arrays. Raises DataError when no word has a spelling."""
        if isinstance(lexicon, Spellings):
            return lexicon
        known = {word: ways for word, ways in lexicon.items() if ways}
        ways = [*chain.from_iterable(known.values())]
        if not ways:
            raise DataError("no word of the lexicon has a spelling", "see that words and tokens go together")
        lengths = np.fromiter(map(len, ways), np.int64, len(ways))
        return cls(
            [*known],
            np.fromiter(map(len, known.values()), np.int64, len(known)),
            lengths,
            np.fromiter(chain.from_iterable(ways), np.int64, lengths.sum()),
        )

    def lexicon(self) -> dict[str, list[list[int]]]:
        """The words, each with its spellings."""
        ways = (part.tolist() for part in np.split(self.tokens, np.cumsum(self.lengths)[:-1]))
        return {
            word: [next(ways) for _ in range(count)]
            for word, count in zip(self.words, self.counts, strict=True)
        }

    def save(self, path: Path | str, words: Sequence[str]) -> None:
        """Write them as one file of plain arrays (safetensors).

        Args:
            path: of the file.
            words: those of here in the same order, others between them; they are not written.
        """
        from safetensors.numpy import save

        counts = dict(zip(self.words, self.counts.tolist(), strict=True))
        arrays = {
            "counts": np.array([counts.get(word, 0) for word in words]),
            "lengths": self.lengths,
            "tokens": self.tokens,
        }
        small = {name: array.astype(np.min_scalar_type(array.max())) for name, array in arrays.items()}
        with atomic_write(path, "wb") as file:
            file.write(save(small))

    @classmethod
    def load(cls, path: Path | str, words: Sequence[str]) -> Spellings:
        """Read what :meth:`save` wrote, with the same `words`.

        Raises:
            ModelError: not readable, not such a file, or one for other words.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = load_file(path)
            counts, lengths, tokens = (
                arrays[name].astype(np.int64) for name in ("counts", "lengths", "tokens")
            )
            fit = (
                counts.shape == (len(words),)
                and counts.sum() == len(lengths)
                and lengths.sum() == len(tokens)
            )
            if not fit or counts.min() < 0 or lengths.min() < 1:
                raise ValueError("its parts do not fit together, or not to the language model")
            known = np.flatnonzero(counts)
            return cls([words[index] for index in known.tolist()], counts[known], lengths, tokens)
        except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
            raise ModelError(f"cannot read spellings in {path}: {error}", "run the lm stage again") from error


def spelled(words: Iterable[str], tokenizer: Tokenizer) -> Spellings:
    """How words are written in a tokenizer's tokens.

    Args:
        words: normalised words.
        tokenizer: of any kind. Characters and sub-words spell a word in one way, phones in as many as it has
            pronunciations.

    Returns:
        The words that can be expressed in full.

    Raises:
        DataError: none can.
    """
    pronounce = tokenizer.lexicon.pronounce if isinstance(tokenizer, PhoneTokenizer) else None
    find, unknown = tokenizer.ids.get, repeat(UNK_ID)
    spellings: dict[str, list[list[int]]] = {}
    for word in words:
        if pronounce:
            ways = [[*map(find, phones, unknown)] for phones in pronounce(word)]
        else:
            ways = [tokenizer.encode(word)]
        if known := [way for way in ways if way and UNK_ID not in way]:
            spellings[word] = known
    return Spellings.of(spellings)
