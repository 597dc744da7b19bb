"""Text as word ids: read as a stream, kept as one array of integers."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from asrkit.errors import DataError
from asrkit.progress import transfer
from asrkit.recognition.ngram.trie import BOS, BOS_ID, EOS, EOS_ID, UNK
from asrkit.recognition.text.normalize import normalize

PACKED: dict[str, Callable[[IO[bytes]], Any]] = {".gz": gzip.open, ".xz": lzma.open}
UNREADABLE = (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError, zlib.error)


@dataclass(frozen=True, eq=False)
class EncodedText:
    """Sentences of words.

    Attributes:
        ids: int32, the words of all sentences, each between its ``<s>`` and ``</s>``.
        words: by id: ``<unk>`` 0, ``<s>`` 1, ``</s>`` 2, then the others.
    """

    ids: np.ndarray
    words: list[str]

    @classmethod
    def of(cls, sentences: Iterable[Sequence[str]]) -> EncodedText:
        """The corpus of `sentences`, read once. Raises DataError: none, or ``<s>`` or ``</s>`` in one."""
        known: defaultdict[str, int] = defaultdict()
        known.default_factory = known.__len__
        for word in (UNK, BOS, EOS):
            known[word]
        stream = chain.from_iterable((BOS, *sentence, EOS) for sentence in sentences)
        ids = np.fromiter(map(known.__getitem__, stream), np.int32)
        if len(ids) == 0:
            raise DataError("no text to estimate a language model from", "give at least one sentence")
        begins, ends = np.flatnonzero(ids == BOS_ID), np.flatnonzero(ids == EOS_ID)
        if len(begins) != len(ends) or (begins[1:] != ends[:-1] + 1).any():
            fix = "take them out: they are added to each sentence"
            raise DataError(f"a sentence holds {BOS} or {EOS}", fix)
        return cls(ids, list(known))

    @property
    def sentences(self) -> int:
        return int(np.count_nonzero(self.ids == EOS_ID))

    @property
    def tokens(self) -> int:
        """Words, the ends of sentences not counted."""
        return len(self.ids) - 2 * self.sentences

    def most_frequent(self, count: int | None = None) -> list[str]:
        """The words but the special ones, or the `count` most frequent; of equal ones the first."""
        counts = np.bincount(self.ids, minlength=len(self.words))[EOS_ID + 1 :]
        return [self.words[EOS_ID + 1 + word] for word in np.argsort(-counts, kind="stable")[:count]]


def read_texts(path: Path | str, normalizer: str) -> Iterator[str]:
    """The lines of a text, normalised; those with nothing left are skipped.

    Args:
        path: UTF-8, a sentence a line; packed if it ends in ``.gz`` or ``.xz``; ``-`` is standard input.
        normalizer: one of ``asrkit.recognition.text.normalize.NORMALIZERS``.

    Raises:
        DataError: not readable.
        ConfigError: an unknown normaliser.
    """
    normalize("", normalizer)
    file = None if str(path) == "-" else Path(path)
    try:
        with (
            file.open("rb") if file else os.fdopen(0, "rb", closefd=False) as raw,
            transfer(f"read {path}") as moved,
        ):
            size = file.stat().st_size if file else 0
            unpack = PACKED.get(Path(path).suffix)
            lines = io.TextIOWrapper(unpack(raw) if unpack else raw, encoding="utf-8-sig")
            for number, text in enumerate(map(partial(normalize, name=normalizer), lines)):
                if number % 10000 == 0 and size:
                    moved(raw.tell(), size)
                if text:
                    yield text
    except UNREADABLE as error:
        fix = "give UTF-8 text, a sentence a line; .gz and .xz are unpacked"
        raise DataError(f"cannot read {path}: {error}", fix) from error
