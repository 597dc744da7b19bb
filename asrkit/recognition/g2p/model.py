"""Grapheme-to-phoneme conversion: a joint n-gram model of letters and phones."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asrkit.errors import DataError, ModelError, UsageError
from asrkit.files import atomic_write
from asrkit.recognition.ngram.model import BOS, BOS_ID, EOS, EOS_ID, UNK, EncodedText, NgramModel, estimate
from asrkit.recognition.text.lexicon import Lexicon, Pronunciation
from asrkit.recognition.text.normalize import SPOKEN

if TYPE_CHECKING:
    from asrkit.recognition.g2p.kernels import JointModel

FORMAT = "asrkit-g2p-1"
ORDER, BEAM = 7, 20


@dataclass(frozen=True, eq=False)
class G2p:
    """A joint-sequence model of words and their pronunciations.

    Each entry of a lexicon is cut into graphones: one or two letters with the phones they stand for. An
    n-gram model of graphones gives the probability of a word together with a pronunciation. Bisani & Ney,
    "Joint-sequence models for grapheme-to-phoneme conversion", Speech Communication 50, 2008; with a single
    alignment by EM before the n-grams are counted, as in Novak, Minematsu & Hirose, "WFST-based
    grapheme-to-phoneme conversion: open source tools for alignment, model-building and decoding", FSMNLP
    2012.

    The model stores the graphones of its training entries, and so contains that lexicon. The n-grams are
    estimated from them at first use, within a second for CMUdict.

    Attributes:
        letters: all letters, sorted, in upper case.
        phones: all phones, sorted.
        graphones: int32[G, 4], the one or two letters and up to two phones of each; -1: none.
        spelled: int32[N], the graphones of all entries, one after the other.
        lengths: int32[W], the number of graphones of each entry.
        order: of the n-gram model.
    """

    letters: str
    phones: tuple[str, ...]
    graphones: np.ndarray
    spelled: np.ndarray
    lengths: np.ndarray
    order: int
    _predicted: dict[str, list[Pronunciation]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def train(cls, lexicon: Lexicon, order: int = ORDER) -> G2p:
        """Train on a lexicon; the result is deterministic.

        Args:
            lexicon: its listed words. Entries with more than two phones a letter (abbreviations) are skipped.
            order: of the n-grams, in graphones.

        Raises:
            DataError: no entry remains, or too many letters and phones (syllabic scripts).
        """
        from asrkit.recognition.g2p.alignment import align, graphone_rows

        listed = [
            (word, phones)
            for word, spoken in lexicon.words.items()
            for phones in spoken
            if 0 < len(phones) <= 2 * len(word)
        ]
        if not listed:
            raise DataError("no pronunciation in the lexicon to train on", "see text.lexicon")
        letters = "".join(sorted({letter for word, _ in listed for letter in word}))
        sounds = tuple(sorted({phone for _, phones in listed for phone in phones}))
        numbers, lengths = align(listed, letters, sounds)
        graphones, spelled = np.unique(numbers, return_inverse=True)
        rows = graphone_rows(graphones, len(letters), len(sounds))
        return cls(letters, sounds, rows, spelled.astype(np.int32), lengths.astype(np.int32), order)

    def pronounce(self, word: str, nbest: int = 1, beam: int = BEAM) -> list[tuple[Pronunciation, float]]:
        """The likeliest pronunciations of a word, best first; training entries get no preference.

        Args:
            word: in any case. Unknown accents are removed, unknown punctuation is skipped.
            nbest: maximum number of pronunciations.
            beam: sequences of graphones kept after each letter, at least `nbest`.

        Returns:
            Phones, and log p(word, phones) summed over the alignments in the beam. Empty for a word without
            letters, or with a digit, a sign that is read aloud, or a letter unknown to the lexicon or known
            only together with others.

        Raises:
            UsageError: `nbest` is not between 1 and `beam`.
        """
        from asrkit.recognition.g2p.kernels import search

        if not 1 <= nbest <= beam:
            raise UsageError(f"{nbest} pronunciations from a beam of {beam}", "widen the beam")
        spelling = self._spelling(word)
        if not spelling:
            return []
        totals: dict[Pronunciation, float] = {}
        for score, path in zip(*search(np.array(spelling), self._search_model, beam), strict=True):
            phones = self._join((path[path >= 0] - EOS_ID - 1).tolist())[1]
            if phones:
                totals[phones] = float(np.logaddexp(totals.get(phones, -np.inf), score))
        return sorted(totals.items(), key=lambda item: (-item[1], item[0]))[:nbest]

    def spoken(self, word: str) -> list[Pronunciation]:
        """The pronunciations of a word: those of the training lexicon, otherwise the likeliest one."""
        word = word.upper()
        if word in self.listed:
            return self.listed[word]
        if word not in self._predicted:
            self._predicted[word] = [phones for phones, _ in self.pronounce(word)]
        return self._predicted[word]

    @cached_property
    def listed(self) -> dict[str, list[Pronunciation]]:
        """The training lexicon, without the skipped entries."""
        words: dict[str, list[Pronunciation]] = {}
        graphones = iter(self.spelled.tolist())
        for length in self.lengths.tolist():
            word, phones = self._join(islice(graphones, length))
            words.setdefault(word, []).append(phones)
        return words

    @cached_property
    def ngrams(self) -> NgramModel:
        """The n-gram model; its word ``EOS_ID + 1 + g`` is the graphone g."""
        ends = np.cumsum(self.lengths)
        ids = np.insert(self.spelled + EOS_ID + 1, ends - self.lengths, BOS_ID)
        ids = np.insert(ids, ends + np.arange(1, len(ends) + 1), EOS_ID)
        names = map(str, range(len(self.graphones)))
        return estimate(EncodedText(ids.astype(np.int32), [UNK, BOS, EOS, *names]), self.order)

    @cached_property
    def _pieces(self) -> list[tuple[str, Pronunciation]]:
        """Letters and phones of each graphone."""
        return [
            (
                "".join(self.letters[index] for index in row[:2] if index >= 0),
                tuple(self.phones[index] for index in row[2:] if index >= 0),
            )
            for row in self.graphones.tolist()
        ]

    @cached_property
    def _search_model(self) -> JointModel:
        from asrkit.recognition.g2p.kernels import JointModel

        size = len(self.letters)
        first, second = self.graphones[:, 0], self.graphones[:, 1]
        chunks = np.where(second < 0, first, size * (1 + first) + second)
        by_chunk = np.argsort(chunks, kind="stable")
        return JointModel(
            ngrams=self.ngrams.arrays,
            spelled=np.searchsorted(chunks[by_chunk], np.arange(size + size * size + 1)),
            words=by_chunk + EOS_ID + 1,
            alphabet=size,
        )

    def _join(self, graphones: Iterable[int]) -> tuple[str, Pronunciation]:
        """The word and the pronunciation of a sequence of graphones."""
        pieces = [self._pieces[index] for index in graphones]
        return "".join(letters for letters, _ in pieces), tuple(chain(*(phones for _, phones in pieces)))

    def _spelling(self, word: str) -> list[int]:
        """The letters of a word by number; empty if one is unknown."""
        spelling: list[int] = []
        for character in word.upper():
            for part in character if character in self.letters else unicodedata.normalize("NFKD", character):
                if (index := self.letters.find(part)) >= 0:
                    spelling.append(index)
                elif part in SPOKEN or unicodedata.category(part)[0] not in "MP":
                    return []
        return spelling

    def save(self, path: Path | str) -> None:
        """Write the model as a safetensors file; the same model gives the same bytes."""
        from safetensors.numpy import save

        about = {"format": FORMAT, "letters": self.letters, "phones": self.phones, "order": self.order}
        arrays = {
            "graphones": self.graphones.astype(np.int16),
            "spelled": self.spelled.astype(np.min_scalar_type(len(self.graphones))),
            "lengths": self.lengths.astype(np.min_scalar_type(self.lengths.max())),
        }
        with atomic_write(path, "wb") as file:
            file.write(save(arrays, {"g2p": json.dumps(about)}))

    @classmethod
    def load(cls, path: Path | str) -> G2p:
        """Read what :meth:`save` wrote. Raises ModelError if not readable, or not such a file."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                about = json.loads(file.metadata()["g2p"])
                arrays = [file.get_tensor(name) for name in ("graphones", "spelled", "lengths")]
            graphones, spelled, lengths = (array.astype(np.int32) for array in arrays)
            letters, phones = str(about["letters"]), tuple(map(str, about["phones"]))
            if (
                about["format"] != FORMAT
                or graphones.shape != (len(graphones), 4)
                or (graphones.min(axis=0) < [0, -1, -1, -1]).any()
                or (graphones.max(axis=0) >= [len(letters)] * 2 + [len(phones)] * 2).any()
                or not 0 <= spelled.min() <= spelled.max() < len(graphones)
                or lengths.min() < 1
                or lengths.sum() != len(spelled)
            ):
                raise ValueError("its parts do not fit together")
            return cls(letters, phones, graphones, spelled, lengths, int(about["order"]))
        except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
            what = f"cannot read the pronunciation model {path}: {error}"
            raise ModelError(what, "make it again") from error
