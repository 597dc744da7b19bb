"""Tables of audio files and texts: CSV, or fields separated by tabs, bars or semicolons.

With a header, columns are recognised by usual names, such as those of Common Voice (``path``, ``sentence``,
``client_id``), DeepSpeech (``wav_filename``, ``transcript``) and others. Without one, the first
field names the audio and the last that is not empty is the text, as in LJ Speech's ``id|text|normalised``.

A subset is a table in the source, by its name without suffix; or of tables with a column ``split``, what
stands there. Audio is looked for from the folder of its table and from the source, then anywhere in the
source, with or without its suffix.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from asrkit.errors import DataError, nearest
from asrkit.learning.data.corpora.common import Entry, Skipped, copy_of, first_line, read_text, utterance_id
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES, files_in

LAYOUT = "a CSV or TSV table with a column of audio files and one of texts"
SUFFIXES = (".tsv", ".csv", ".txt")
DELIMITERS = "\t|,;"
COLUMNS = {  # field: its names, the most specific first
    "audio": "audio audio_filepath audio_path audio_file wav wav_filename wav_path file_name filename "
    "filepath file_path file path clip recording",
    "text": "text sentence transcript transcription wrd words txt",
    "speaker": "speaker speaker_id spk_id spk client_id user_id",
    "id": "id utterance_id utt_id uttid",
    "split": "split subset partition",
}
REJECTED = ("invalidated", "other", "reported")  # Common Voice's tables of clips that were not validated


@dataclass(frozen=True)
class Table:
    """The format of a table."""

    path: Path
    delimiter: str
    columns: dict[str, int]  # field -> number of the column; empty: no header
    width: int  # fields in its first line

    def rows(self) -> Iterator[tuple[int, dict[str, str] | None]]:
        """Line number and fields by name; None for a row of another width. Raises DataError: not a table."""
        lines = _split(read_text(self.path), self.delimiter)
        written = ((number, row) for number, row in lines if "".join(row).strip())
        try:
            for number, row in islice(written, 1 if self.columns else 0, None):
                yield number, self._fields(row)
        except csv.Error as error:
            raise DataError(f"{self.path} is not a table: {error}", "write it again, as UTF-8") from None

    def _fields(self, row: list[str]) -> dict[str, str] | None:
        last = self.width - 1
        if not self.columns:
            texts = [text.strip() for text in row[1:]]
            last_text = next(filter(None, reversed(texts)), "")
            text = self.delimiter.join(row[1:]).strip() if self.delimiter in ",;" else last_text
            return {"audio": row[0].strip(), "text": text} if texts else None
        if len(row) > self.width and self.columns["text"] == last:
            row = [*row[:last], self.delimiter.join(row[last:])]  # commas of an unquoted text
        if len(row) != self.width:
            return None
        return {what: row[column].strip() for what, column in self.columns.items()}


@dataclass
class AudioFinder:
    """Finds the audio files that tables refer to, below the folder `source`."""

    source: Path

    def find(self, name: str, home: Path) -> Path:
        """The file that a table in the folder `home` calls `name`. Raises DataError: none, or several."""
        named = Path(name.replace("\\", "/"))
        for path in (home / named, self.source / named):
            if path.is_file():
                return path
        stem = _stem(named)
        paths = [path for path in self._by_stem.get(stem.name, []) if self._may_be(path, stem.parts)]
        if len({path.parent for path in paths}) != 1:
            raise DataError(f"{'several audio files are' if paths else 'no audio file is'} called {name!r}")
        return next((path for path in paths if path.name == named.name), paths[0])

    def _may_be(self, path: Path, wanted: tuple[str, ...]) -> bool:
        """Whether the paths end alike, folder by folder."""
        parts = path.relative_to(self.source).with_suffix("").parts[-len(wanted) :]
        return parts == wanted[-len(parts) :]

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        stems: dict[str, list[Path]] = {}
        for path in files_in(self.source):
            if path.suffix.lower() in AUDIO_SUFFIXES:
                stems.setdefault(path.stem, []).append(path)
        return stems


def subsets(source: Path, files: Sequence[Path]) -> list[str]:
    """See :data:`.SHAPES`; for Common Voice, the validated ones."""
    tables = [table for table in _tables(files, AudioFinder(source)) if table.path.stem not in REJECTED]
    names: set[str] = set()
    for table in tables:
        if "split" in table.columns:
            names |= {row["split"] for _, row in table.rows() if row and row["split"]}
        else:
            names.add(table.path.relative_to(source).with_suffix("").as_posix())
    return sorted(names)


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :class:`.Corpus`; ids are the names of the audio files in the table."""
    finder = AudioFinder(source)
    for table, number, row in _rows(source, subset, finder):
        place = f"{table.path.name}:{number}"
        name = row and (row.get("audio") or row.get("id"))
        if not row or not name:
            reason = "names no audio" if row else f"does not have the {table.width} fields of the first line"
            skipped.append(Skipped(place, reason, "malformed"))
            continue
        try:
            audio = finder.find(name, table.path.parent)
        except (DataError, OSError, ValueError) as error:
            skipped.append(Skipped(place, str(error), "no audio"))
            continue
        stem = _stem(Path(name))
        key = row.get("id") or (stem.name if stem.is_absolute() else stem)
        copy = copy_of(audio, source)
        yield Entry(utterance_id(key), audio, copy, row["text"], row.get("speaker", ""), place=place)


def _rows(
    source: Path, subset: str, finder: AudioFinder
) -> Iterator[tuple[Table, int, dict[str, str] | None]]:
    """The rows of a subset, with table and line. Raises DataError if none."""
    own = [path for suffix in SUFFIXES if (path := source / f"{subset}{suffix}").is_file()]
    tables = list(_tables(own or files_in(source), finder))
    if own and not tables:
        raise DataError(
            f"{own[0]} has no column of audio files, or none of texts",
            f"known are {COLUMNS['audio'].replace(' ', ', ')}; {COLUMNS['text'].replace(' ', ', ')}",
        )
    chosen = [table for table in tables if own or "split" in table.columns]
    values = set()
    for table in chosen[:1] if own else chosen:
        for number, row in table.rows():
            values.add(row["split"] if row and "split" in row else "")
            if own or (row and row["split"] == subset):
                yield table, number, row
    if not own and subset not in values:
        there = sorted({table.path.stem for table in tables} | values - {""})
        hint = nearest(subset, there) if there else "set corpus.path to its folder"
        raise DataError(f"no table {subset}.tsv or {subset}.csv in {source}", hint)


def _tables(files: Sequence[Path], finder: AudioFinder) -> Iterator[Table]:
    """Those of `files` that are tables; a .txt beside an audio file of its name is none."""
    spoken = {path.with_suffix("") for path in files if path.suffix.lower() in AUDIO_SUFFIXES}
    for path in files:
        if path.suffix in SUFFIXES and path.with_suffix("") not in spoken and (table := _table(path, finder)):
            yield table


def _table(path: Path, finder: AudioFinder) -> Table | None:
    line = first_line(path)
    for delimiter in DELIMITERS if len(line) < csv.field_size_limit() else "":
        fields = next((row for _, row in _split(line, delimiter)), [])
        if len(fields) < 2:
            continue
        header = [name.strip().lower() for name in fields]
        columns = {
            what: header.index(next(name for name in names.split() if name in header))
            for what, names in COLUMNS.items()
            if set(names.split()) & set(header)
        }
        if "text" in columns and columns.keys() & {"audio", "id"}:
            return Table(path, delimiter, columns, len(fields))
        try:
            finder.find(fields[0], path.parent)
        except (DataError, OSError, ValueError):
            continue
        return Table(path, delimiter, {}, len(fields))
    return None


def _split(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row. Quotes count between commas or semicolons only."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if delimiter in ",;" else csv.QUOTE_NONE
    )
    for row in reader:
        yield reader.line_num, row


def _stem(path: Path) -> Path:
    """`path` without the suffix of an audio file."""
    return path.with_suffix("") if path.suffix.lower() in AUDIO_SUFFIXES else path
