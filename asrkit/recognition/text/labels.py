"""Labels of feature frames: their names, how often they occur, and files of them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrkit.errors import DataError, ModelError
from asrkit.files import atomic_write, write_json
from asrkit.recognition.text.tokenizer import SPACE, UNK_ID, Tokenizer

SILENCE = "<sil>"
SILENCES = (SILENCE, "[SIL]", "SIL", "sil")


@dataclass(frozen=True)
class LabelSet:
    """The labels of a frame classifier; the first is silence.

    Raises:
        DataError: a name that is empty, contains white space, or appears twice; no names.
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in self.names:
            if name.split() != [name]:
                raise DataError(f"not a name for a label: {name!r}", "leave out blanks")
        if not self.names or len(set(self.names)) < len(self.names):
            raise DataError("labels must differ, and one is needed", "name each label once, silence first")

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> LabelSet:
        """Silence and the tokens that stand for sounds: without the special ones and the space."""
        return cls((SILENCE, *(token for token in tokenizer.tokens[2:-1] if token != SPACE)))

    @classmethod
    def load(cls, path: Path | str) -> LabelSet:
        """Read what :meth:`save` wrote. Raises ModelError."""
        try:
            return cls(tuple(Path(path).read_text(encoding="utf-8").split("\n")[:-1]))
        except (OSError, UnicodeDecodeError, DataError) as error:
            raise ModelError(
                f"cannot read the labels in {path}: {error}", "a text file with one label a line is needed"
            ) from error

    def save(self, path: Path | str) -> None:
        """Write one name a line."""
        with atomic_write(path) as file:
            file.writelines(f"{name}\n" for name in self.names)

    @property
    def ids(self) -> dict[str, int]:
        """Name -> class."""
        return {name: index for index, name in enumerate(self.names)}

    def classes(self, tokenizer: Tokenizer, tokens: Sequence[int]) -> list[int]:
        """Class of each token id. Raises DataError for ``<unk>`` and other tokens without a label."""
        ids = self.ids
        names = [tokenizer.tokens[token] for token in tokens]
        for name in names:
            if name not in ids:
                raise DataError(f"no frame label for the token {name}", "is every word in the lexicon?")
        return [ids[name] for name in names]

    def token_ids(self, tokenizer: Tokenizer) -> list[int]:
        """Token id of each class; ``<unk>`` for silence. Raises DataError for a label that is no token."""
        for name in self.names[1:]:
            if name not in tokenizer.ids:
                raise DataError(
                    f"the frame label {name} is not a token", "labels and tokens must be the same"
                )
        return [UNK_ID, *(tokenizer.ids[name] for name in self.names[1:])]


class LabelCounts:
    """How often labels occur, and follow one another; of training data.

    Attributes:
        frames: int64[C], frames with each label.
        changes: int64[C, C], how often the second label came right after the first; equal ones do not count.
    """

    def __init__(self, frames: np.ndarray, changes: np.ndarray) -> None:
        self.frames, self.changes = frames, changes

    @classmethod
    def of(cls, utterances: Iterable[np.ndarray], classes: int) -> LabelCounts:
        """Count the labels int[T] of each utterance."""
        counts = cls(np.zeros(classes, np.int64), np.zeros((classes, classes), np.int64))
        for labels in utterances:
            counts.frames += np.bincount(labels, minlength=classes)
            change = np.flatnonzero(np.diff(labels))
            np.add.at(counts.changes, (labels[change], labels[change + 1]), 1)
        return counts

    @property
    def log_priors(self) -> np.ndarray:
        """float32[C], log share of the frames, with one frame added to every label."""
        priors: np.ndarray = np.log((self.frames + 1) / (self.frames + 1).sum()).astype(np.float32)
        return priors

    @property
    def log_bigram(self) -> np.ndarray:
        """float32[C, C], log probability of the next label given this one, when it changes.

        One change is added to each. The diagonal is -inf: frame labels cannot show a repeated token.
        """
        counts = self.changes + 1.0 - np.eye(len(self.frames))
        with np.errstate(divide="ignore"):
            bigram: np.ndarray = np.log(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
        return bigram.astype(np.float32)

    def save(self, path: Path | str) -> None:
        """Write the counts as JSON."""
        write_json(path, {"frames": self.frames.tolist(), "changes": self.changes.tolist()})

    @classmethod
    def load(cls, path: Path | str) -> LabelCounts:
        """Read what :meth:`save` wrote. Raises ModelError."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            frames, changes = (np.array(content[name], np.int64) for name in ("frames", "changes"))
            if changes.shape != (len(frames), len(frames)) or frames.min() < 0 or changes.min() < 0:
                raise ValueError("not counts of the same labels")
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise ModelError(f"cannot read the label counts in {path}: {error}", "make them again") from error
        return cls(frames, changes)


def write_labels(path: Path | str, names: LabelSet, utterances: Iterable[tuple[str, np.ndarray]]) -> None:
    """Write ``id label label …``, a line an utterance and a label a feature frame; gzipped for ``.gz``.

    Raises:
        DataError: an id that is empty or holds a blank.
    """
    with atomic_write(path, "wb") as file:
        packed = gzip.GzipFile("", "wb", 6, file, mtime=0) if Path(path).suffix == ".gz" else None
        for id, labels in utterances:
            if id.split() != [id]:
                raise DataError(f"not an id for a file of labels: {id!r}", "leave out blanks")
            line = " ".join([id, *(names.names[label] for label in labels)])
            (packed or file).write(f"{line}\n".encode())
        if packed:
            packed.close()


def read_labels(
    path: Path | str, names: LabelSet, frames: Mapping[str, int] | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Read what :func:`write_labels` writes, an utterance at a time: id and labels int16[T].

    Args:
        path: UTF-8 text, gzipped if it ends in ``.gz``.
        names: the labels it may hold.
        frames: feature frames of each utterance; those not listed are skipped.

    Raises:
        DataError: not readable, unknown label, an id given twice, or not one label for each frame; file and
            line are named.
    """
    ids = names.ids
    for place, id, words in _label_lines(path):
        if frames is None or id in frames:
            try:
                labels = np.array([ids[word] for word in words], np.int16)
            except KeyError as error:
                raise DataError(
                    f"{place}: unknown label {error}", "the labels in use are those trained with"
                ) from None
            if frames is not None and len(labels) != frames[id]:
                raise DataError(
                    f"{place}: {len(labels)} labels for {id}, which has {frames[id]} frames",
                    "one label for each feature frame is needed; see features.shift_ms and features.kind",
                )
            yield id, labels


def collect_labels(*paths: Path | str) -> LabelSet:
    """The labels that files hold, sorted, silence first, by the name it has in them.

    Raises:
        DataError: as :func:`read_labels`.
    """
    found = {word for path in paths for _, _, words in _label_lines(path) for word in words}
    silence = next((name for name in SILENCES if name in found), SILENCE)
    return LabelSet((silence, *sorted(found - {silence})))


def _label_lines(path: Path | str) -> Iterator[tuple[str, str, list[str]]]:
    """Place (file and line), id and labels of each line."""
    seen: set[str] = set()
    try:
        with gzip.open(path) if Path(path).suffix == ".gz" else Path(path).open("rb") as file:
            for number, line in enumerate(file, 1):
                place = f"{path}, line {number}"
                id, *words = line.decode("utf-8-sig" if number == 1 else "utf-8").split() or [""]
                if id in seen:
                    raise DataError(f"{place}: a second line for {id}", "keep one line an utterance")
                seen.add(id)
                if id:
                    yield place, id, words
    except UnicodeDecodeError:
        raise DataError(f"{place}: not UTF-8 text", "convert it, for example with iconv") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}", "check the path") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"cannot unpack {path}: {error}", "write or download it again") from None
