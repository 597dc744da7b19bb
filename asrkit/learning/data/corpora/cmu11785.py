"""Speech homeworks of CMU 11-785, Introduction to Deep Learning: features and transcripts as NumPy arrays.

The layout differs from term to term; all of these are recognised up to four folders below the corpus folder:

- ``<subset>/{mfcc,fbank,…}/*.npy`` with ``<subset>/{transcript,transcripts,text}/*.npy`` (2021 and later),
- ``<subset>.npy`` with ``<subset>_labels.npy`` or ``<subset>_transcripts.npy``, for all (2018 to 2021),
- ``*_mfccs_<subset>.npy`` with ``*_<name>_<subset>.npy``, the toy set for attention.

A transcript with a label per frame (HW1P2) becomes frame labels, and its runs the text. In others, single
characters are joined directly, phones and words with spaces. Subsets ``train``, ``dev`` and
``test`` also stand for the terms' own names, such as ``train-clean-100``.
"""

import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path

import numpy as np

from asrkit.config import Config
from asrkit.errors import DataError
from asrkit.files import atomic_write
from asrkit.learning.data.corpora.cmu11785_submission import PHONES, PHONES_2021, SILENCE, CourseSubmission
from asrkit.learning.data.corpora.common import Skipped, text_lines, utterance_id
from asrkit.recognition.audio.arrays import read_array
from asrkit.recognition.audio.utterance import Utterance

SHIFT_SECONDS = 0.01
DEPTH = 4  # folders below the corpus folder that are searched
PROBED = 8  # utterances by which the kind of transcripts is decided
ALIASES = {"train": ("train-clean-100",), "dev": ("dev-clean", "valid", "val"), "test": ("test-clean",)}
FEATURES = ("mfcc", "mfccs", "fbank", "raw", "features")
TEXTS = ("transcript", "transcripts", "text")
WRAPPERS = frozenset({"[SOS]", "[EOS]", "[PAD]", "<sos>", "<eos>", "<pad>"})


@dataclass(frozen=True)
class Entry:
    """One utterance: features [T, F] or [F, T], and its transcript, if any."""

    id: str
    feats: Path | np.ndarray
    text: Path | np.ndarray | None

    def features(self) -> np.ndarray:
        if isinstance(self.feats, np.ndarray):
            return self.feats
        try:
            return np.asarray(np.load(self.feats, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            problem = f"cannot read {self.feats}: {error}"
            raise DataError(problem, "it is not a NumPy file, or damaged") from error

    def symbols(self) -> list[str]:
        """Without wrappers such as ``[SOS]``; empty without a transcript."""
        if self.text is None:
            return []
        array = self.text if isinstance(self.text, np.ndarray) else read_array(self.text)
        flat = np.asarray(array).ravel().tolist()
        symbols = [item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item) for item in flat]
        return [symbol for symbol in symbols if symbol not in WRAPPERS]


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.learning.data.corpora.Corpus.prepare`.

    Features stay in place, or are written to one file per utterance. Frame labels go to
    ``labels/<subset>.txt.gz`` beside `audio_out`, as lines ``id label label …``.
    """
    dim = feature_dim(source, subset)
    stream = _entries(source, subset, skipped)
    first = list(islice(stream, PROBED))
    per_frame, separator = _kind(first, dim)
    labels = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, labels, mtime=0) as packed:
        for entry in chain(first, stream):
            try:
                feats = entry.features()
                symbols = entry.symbols()
                frames = _frames(feats, dim, entry.id)
                if per_frame and symbols:
                    if len(symbols) != frames:
                        raise DataError(f"{len(symbols)} labels for {frames} frames")
                    packed.write(" ".join([entry.id, *symbols]).encode() + b"\n")
                    symbols = [symbol for symbol, _ in groupby(symbols) if symbol != SILENCE]
            except DataError as error:
                skipped.append(Skipped(entry.id, error.message))
                continue
            path, seconds, text = entry.feats, frames * SHIFT_SECONDS, separator.join(symbols)
            if isinstance(path, np.ndarray):
                path = audio_out / subset / f"{entry.id}.npy"
                with atomic_write(path, "wb") as file:
                    np.save(file, feats.astype(np.float32), allow_pickle=False)
            speaker = "".join(re.findall(r"^\d+(?=-)", entry.id))
            yield Utterance(entry.id, str(path.absolute()), 0.0, seconds, text, speaker)
    if per_frame:
        with atomic_write(audio_out.parent / "labels" / f"{subset}.txt.gz", "wb") as file:
            file.write(labels.getvalue())


def feature_dim(source: Path, subset: str) -> int:
    """Numbers in a frame: the size that most of the first files share, preferably their width.

    Raises DataError if there is no such subset, or no file of features in it.
    """
    shapes = []
    for entry in islice(_entries(source, subset, []), PROBED):
        with suppress(DataError):
            shapes.append(entry.features().shape)
    sizes = Counter(size for shape in shapes if len(shape) == 2 for size in {*shape})
    if not sizes:
        hint = "two-dimensional arrays are needed, one per utterance"
        raise DataError(f"no features in subset {subset!r} of {source}", hint)
    widths = Counter(shape[-1] for shape in shapes)
    return int(max(sizes, key=lambda size: (sizes[size], widths[size])))


def submission(source: Path, config: Config) -> CourseSubmission:
    """See :meth:`asrkit.learning.data.corpora.Corpus.submission`."""
    samples = sorted(p for p in _within(source) if p.suffix == ".csv" and "submission" in p.name.lower())
    return CourseSubmission(config, samples[0] if samples else None)


def _entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    paths = list(_within(source))
    for name in (subset, *ALIASES.get(subset, ())):
        for path in paths:
            if path.is_dir() and path.name == name and (features := _child(path, FEATURES)):
                return _files(source, features, _child(path, TEXTS), skipped)
            if path.name == f"{name}.npy" or re.fullmatch(rf".*_mfccs?_{re.escape(name)}\.npy", path.name):
                return _rows(path, name)
    known = sorted(p.parent.name for p in paths if p.is_dir() and p.name in FEATURES)
    hint = f"subsets: {', '.join(known)}" if known else "see corpus.path"
    raise DataError(f"no subset {subset!r} in {source}", hint)


def _within(source: Path) -> Iterator[Path]:
    """Files and folders up to DEPTH below, the outer ones first; not those in folders of arrays."""
    level = [source]
    for _ in range(DEPTH):
        level = [p for folder in level for p in sorted(folder.iterdir())]
        yield from level
        level = [p for p in level if p.is_dir() and p.name not in (*FEATURES, *TEXTS)]


def _child(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_dir()), None)


def _files(source: Path, features: Path, texts: Path | None, skipped: list[Skipped]) -> Iterator[Entry]:
    """A file for each utterance; transcripts of the same name, or else in the same order."""
    paths = sorted(features.glob("*.npy"))
    if texts is None:
        paths = _in_test_order(source, paths)
    written = {path.stem: path for path in texts.glob("*.npy")} if texts else {}
    stems = [path.stem for path in paths]
    if written and written.keys().isdisjoint(stems) and len(written) == len(paths):
        written = dict(zip(stems, sorted(written.values()), strict=True))
    for path in paths:
        id = utterance_id(path.stem)
        if texts is not None and path.stem not in written:
            skipped.append(Skipped(id, f"no transcript in {texts}"))
        else:
            yield Entry(id, path, written.get(path.stem))
    for stem in sorted(written.keys() - stems):
        skipped.append(Skipped(utterance_id(stem), f"a transcript without features in {features}"))


def _rows(path: Path, name: str) -> Iterator[Entry]:
    """One file for all utterances, and one for their transcripts."""
    rows, beside = list(read_array(path)), _beside(path, name)
    texts = list(read_array(beside)) if beside else []
    if beside and len(texts) != len(rows):
        problem = f"{path} has {len(rows)} utterances, {beside} has {len(texts)}"
        raise DataError(problem, "they belong to different data")
    if texts and np.asarray(texts[0]).dtype.kind in "iu":
        texts = _named(texts, len(texts[0]) == len(rows[0]))
    for number, row in enumerate(rows):
        yield Entry(f"{name}-{number:06d}", np.asarray(row), texts[number] if texts else None)


def _beside(path: Path, name: str) -> Path | None:
    """The file of the transcripts of a file of features."""
    if path.stem == name:
        ends = ("labels", "transcripts", "transcript")
        return next((p for end in ends if (p := path.with_name(f"{name}_{end}.npy")).exists()), None)
    toy = path.name.split("_mfcc")[0]
    return next((p for p in sorted(path.parent.glob(f"{toy}_*_{name}.npy")) if p != path), None)


def _named(texts: list[np.ndarray], per_frame: bool) -> list[np.ndarray]:
    """The phones that numbers stand for, if the numbers are those of a known list."""
    names = PHONES if per_frame else PHONES_2021
    if max(int(np.max(text, initial=0)) for text in texts) >= len(names):
        return texts
    return [np.array(names)[text] for text in texts]


def _in_test_order(source: Path, paths: list[Path]) -> list[Path]:
    """In the order of ``test_order.csv``, if it exists."""
    order = next((p for p in _within(source) if p.name == "test_order.csv"), None)
    if order is None:
        return paths
    by_name = {path.name: path for path in paths}
    listed = [line.strip().split(",")[-1] for _, line in text_lines(order)]
    ordered = [by_name[name] for name in listed if name in by_name]
    return ordered if len(ordered) == len(paths) else paths


def _kind(entries: list[Entry], dim: int) -> tuple[bool, str]:
    """Whether every frame has a label, and the separator of the symbols of a text."""
    per_frame, longest = [], 0
    for entry in entries:
        with suppress(DataError):
            if symbols := entry.symbols():
                longest = max([longest, *map(len, symbols)])
                per_frame.append(len(symbols) == _frames(entry.features(), dim, entry.id))
    frames = bool(per_frame) and all(per_frame)
    return frames, " " if longest > 1 or frames else ""


def _frames(feats: np.ndarray, dim: int, id: str) -> int:
    if feats.ndim != 2 or dim not in feats.shape:
        raise DataError(f"{id} has features of the shape {feats.shape}, not of {dim} numbers a frame")
    return int(feats.shape[0] if feats.shape[1] == dim else feats.shape[1])
