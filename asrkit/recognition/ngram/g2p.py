"""Pronunciations of words that no lexicon lists: a joint n-gram model of letters and phones."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asrkit.errors import DataError, ModelError, UsageError
from asrkit.files import atomic_write
from asrkit.recognition.ngram.model import BOS, BOS_ID, EOS, EOS_ID, UNK, Corpus, NgramModel, estimate
from asrkit.recognition.text.lexicon import Lexicon, Pronunciation
from asrkit.recognition.text.normalize import SPOKEN
from asrkit.recognition.text.tokenizer import PhoneTokenizer, Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from asrkit.recognition.ngram.g2p_kernels import Entries, JointModel

FORMAT = "asrkit-g2p-1"
ORDER, BEAM = 7, 20
GAIN = 1e-3  # of the mean log-likelihood of an entry; alignment ends when an iteration brings less
ITERATIONS = 30
LIMIT = 1 << 25  # graphones that there could be; each takes some numbers while letters and phones are aligned
MODEL = "g2p.safetensors"


@dataclass(frozen=True, eq=False)
class G2p:
    """Grapheme-to-phoneme conversion by a joint-sequence model.

    Each entry of a lexicon is cut into graphones, pieces of one or two letters with the phones they stand
    for, and an n-gram model of graphones gives every pair of a word and a pronunciation its probability.
    Bisani & Ney, "Joint-sequence models for grapheme-to-phoneme conversion", Speech Communication 50, 2008;
    with one alignment by EM before the n-grams are counted, as in Novak, Minematsu & Hirose, "WFST-based
    grapheme-to-phoneme conversion: open source tools for alignment, model-building and decoding", FSMNLP
    2012.

    The model is kept as the graphones of the entries it was trained on, from which the n-grams are estimated
    when they are first needed (within a second for CMUdict); so it holds that lexicon too.

    Attributes:
        letters: all letters, sorted, in capitals where there are any.
        phones: all phones, sorted.
        graphones: int32[G, 4], the one or two letters and up to two phones of each; -1: none.
        spelled: int32[N], the graphones of all entries, one after the other.
        lengths: int32[W], how many each entry has.
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
        """Learn from a lexicon. The same one gives the same model.

        Args:
            lexicon: what it lists. Entries with more than two phones a letter, which only abbreviations
                have, are left out.
            order: graphones of the longest n-grams.

        Raises:
            DataError: no entry is left, or there are too many letters and phones (scripts of syllables).
        """
        listed = [
            (word, phones)
            for word, spoken in lexicon.words.items()
            for phones in spoken
            if 0 < len(phones) <= 2 * len(word)
        ]
        if not listed:
            raise DataError("no pronunciation in the lexicon to learn from", "see text.lexicon")
        letters = "".join(sorted({letter for word, _ in listed for letter in word}))
        sounds = tuple(sorted({phone for _, phones in listed for phone in phones}))
        numbers, lengths = align(listed, letters, sounds)
        graphones, spelled = np.unique(numbers, return_inverse=True)
        rows = _unpacked(graphones, len(letters), len(sounds))
        return cls(letters, sounds, rows, spelled.astype(np.int32), lengths.astype(np.int32), order)

    def pronounce(self, word: str, nbest: int = 1, beam: int = BEAM) -> list[tuple[Pronunciation, float]]:
        """The likeliest pronunciations of a word, best first, whether it was trained on or not.

        Args:
            word: looked at without regard to case. Accents that the lexicon does not know are taken off,
                punctuation that it does not know is passed over.
            nbest: pronunciations at most.
            beam: sequences of graphones kept after each letter, at least `nbest`.

        Returns:
            Phones, and log p(word, phones) summed over the alignments in the beam. Nothing for a word without
            letters, or with something else: a digit, a sign that is read aloud, a letter that the lexicon
            does not have, or not by itself.

        Raises:
            UsageError: `nbest` is not between 1 and `beam`.
        """
        from asrkit.recognition.ngram.g2p_kernels import search

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
        """The pronunciations of a word: those of the lexicon it was trained on, or else the likeliest one."""
        word = word.upper()
        if word in self.listed:
            return self.listed[word]
        if word not in self._predicted:
            self._predicted[word] = [phones for phones, _ in self.pronounce(word)]
        return self._predicted[word]

    @cached_property
    def listed(self) -> dict[str, list[Pronunciation]]:
        """The lexicon it was trained on, without the entries that were left out."""
        words: dict[str, list[Pronunciation]] = {}
        for sequence in self._sequences():
            word, phones = self._join(sequence)
            words.setdefault(word, []).append(phones)
        return words

    @cached_property
    def ngrams(self) -> NgramModel:
        """The model of graphones; its word ``EOS_ID + 1 + g`` is the graphone g."""
        ends = np.cumsum(self.lengths)
        ids = np.insert(self.spelled + EOS_ID + 1, ends - self.lengths, BOS_ID)
        ids = np.insert(ids, ends + np.arange(1, len(ends) + 1), EOS_ID)
        names = map(str, range(len(self.graphones)))
        return estimate(Corpus(ids.astype(np.int32), [UNK, BOS, EOS, *names]), self.order)

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
        from asrkit.recognition.ngram.g2p_kernels import JointModel

        model, size = self.ngrams, len(self.letters)
        first, second = self.graphones[:, 0], self.graphones[:, 1]
        chunks = np.where(second < 0, first, size * (1 + first) + second)
        by_chunk = np.argsort(chunks, kind="stable")
        return JointModel(
            keys=model.keys,
            log_probs=model.log_probs,
            backoffs=model.backoffs,
            suffixes=model.suffixes,
            contexts=model.contexts,
            size=len(model.words),
            start=model.start,
            end=EOS_ID,
            spelled=np.searchsorted(chunks[by_chunk], np.arange(size + size * size + 1)),
            words=by_chunk + EOS_ID + 1,
            alphabet=size,
        )

    def _sequences(self) -> Iterator[list[int]]:
        """The graphones of each entry."""
        flat, end = self.spelled.tolist(), 0
        for length in self.lengths.tolist():
            begin, end = end, end + length
            yield flat[begin:end]

    def _join(self, graphones: Sequence[int]) -> tuple[str, Pronunciation]:
        """The word and the pronunciation that graphones make."""
        pieces = [self._pieces[index] for index in graphones]
        return "".join(letters for letters, _ in pieces), tuple(chain(*(phones for _, phones in pieces)))

    def _spelling(self, word: str) -> list[int]:
        """The letters of a word by number; nothing when one cannot be told."""
        found: list[int] = []
        for character in word.upper():
            for part in character if character in self.letters else unicodedata.normalize("NFKD", character):
                if (index := self.letters.find(part)) >= 0:
                    found.append(index)
                elif part in SPOKEN or unicodedata.category(part)[0] not in "MP":
                    return []
        return found

    def save(self, path: Path | str) -> None:
        """Write the model as one file of plain arrays (safetensors); the same model gives the same bytes."""
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
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: not readable, or not such a file.
        """
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
            raise ModelError(
                f"cannot read the pronunciation model {path}: {error}", "make it again"
            ) from error


def align(
    listed: Sequence[tuple[str, Pronunciation]], letters: str, sounds: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Cut words and their pronunciations into graphones.

    Probabilities of graphones by expectation maximisation, all the same at first; then the alignments with
    the highest product of them, each to the power of its letters or phones, whichever are more, since else
    few long pieces win over many short ones.

    Args:
        listed: words and pronunciations, of no more than two phones a letter.
        letters, sounds: all letters and phones in them.

    Returns:
        The graphones int32[N] of all entries, one after the other, by the numbers of ``g2p_kernels``, and
        how many each entry has, int64[W].

    Raises:
        DataError: more than :data:`LIMIT` different graphones are possible.
    """
    from asrkit.recognition.ngram.g2p_kernels import SHAPES, best_alignments, expected_counts

    kinds = [len(letters) ** spelt * len(sounds) ** spoken for spelt, spoken in SHAPES]
    if sum(kinds) > LIMIT:
        raise DataError(
            f"{len(letters)} letters and {len(sounds)} phones are too many to learn how words are said",
            "leave it with text.g2p=false",
        )
    entries = _entries(listed, letters, sounds)
    probs = np.full(sum(kinds), 1.0 / sum(kinds))
    before = -np.inf
    for _ in range(ITERATIONS):
        counts = np.zeros(len(probs))
        likelihood = expected_counts(entries, probs, counts) / len(listed)
        probs = counts / counts.sum()
        if likelihood - before < GAIN:
            break
        before = likelihood
    with np.errstate(divide="ignore"):
        return best_alignments(entries, np.repeat([max(shape) for shape in SHAPES], kinds) * np.log(probs))


def predict_unknown(tokenizer: PhoneTokenizer, words: Iterable[str], folder: Path | str) -> list[str]:
    """Make `tokenizer` say every word, by a model of its own lexicon.

    The model is saved in `folder`. As it holds the lexicon too, only `words` stay listed, with predicted
    pronunciations where they were not.

    Returns:
        Those of `words` that are predicted, sorted.

    Raises:
        DataError: a lexicon without anything to learn from.
    """
    model = G2p.train(tokenizer.lexicon)
    model.save(Path(folder) / MODEL)
    tokenizer.lexicon = replace(tokenizer.lexicon, fallback=model.spoken).compact(words)
    return sorted(tokenizer.lexicon.predicted)


def open_tokenizer(folder: Path | str) -> Tokenizer:
    """As :func:`asrkit.recognition.text.tokenizer.load_tokenizer`, but phones of unknown words are predicted.

    They are if :meth:`G2p.save` left its model in `folder` under the name :data:`MODEL`.

    Args:
        folder: what the tokenizer saved.

    Raises:
        ModelError: a file is missing, damaged, or does not fit the others.
    """
    tokenizer, path = load_tokenizer(folder), Path(folder) / MODEL
    if isinstance(tokenizer, PhoneTokenizer) and path.exists():
        tokenizer.lexicon = replace(tokenizer.lexicon, fallback=G2p.load(path).spoken)
    return tokenizer


def _entries(listed: Sequence[tuple[str, Pronunciation]], letters: str, sounds: Sequence[str]) -> Entries:
    """A lexicon in the numbers of its letters and phones."""
    from asrkit.recognition.ngram.g2p_kernels import Entries

    def flat(sequences: list[Sequence[str]], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        numbers = {name: index for index, name in enumerate(names)}
        ends = np.cumsum([0, *map(len, sequences)])
        return np.fromiter(map(numbers.__getitem__, chain.from_iterable(sequences)), np.int32), ends

    return Entries(
        *flat([word for word, _ in listed], letters),
        *flat([phones for _, phones in listed], sounds),
        len(letters),
        len(sounds),
    )


def _unpacked(numbers: np.ndarray, letters: int, sounds: int) -> np.ndarray:
    """int32[G, 4]: the letters and the phones of graphones; -1: none."""
    from asrkit.recognition.ngram.g2p_kernels import SHAPES

    rows = np.full((len(numbers), 4), -1, np.int32)
    first = 0
    for spelt, spoken in SHAPES:
        sizes = [letters] * spelt + [sounds] * spoken
        after = first + int(np.prod(sizes))
        inside = (numbers >= first) & (numbers < after)
        digits = np.unravel_index(numbers[inside] - first, sizes)
        for column, values in zip([*range(spelt), *range(2, 2 + spoken)], digits, strict=True):
            rows[inside, column] = values
        first = after
    return rows
