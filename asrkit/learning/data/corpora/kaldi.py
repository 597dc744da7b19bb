"""Kaldi data directories: ``wav.scp``, ``text``, and optionally ``segments`` and ``utt2spk``.

A subset is a data directory in the source, or ``.`` for the source itself. Commands in ``wav.scp``
(``sph2pipe … |``) are never run.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from asrkit.errors import DataError
from asrkit.learning.data.corpora.common import Entry, Skipped, subset_folder, text_lines

LAYOUT = "Kaldi data directories, with wav.scp and text"


def subsets(source: Path, files: Sequence[Path]) -> list[str]:
    """See :data:`asrkit.learning.data.corpora.SHAPES`."""
    existing = set(files)
    folders = (path.parent for path in files if path.name == "wav.scp" and path.with_name("text") in existing)
    return sorted(folder.relative_to(source).as_posix() for folder in folders)


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :class:`.Corpus`.

    Relative paths start at the data directory, the source or its parent: ``data/`` is often beside ``wav/``.
    """
    folder = subset_folder(source, subset)
    recordings, texts = _table(folder / "wav.scp"), _table(folder / "text")
    speakers = _table(folder / "utt2spk") if (folder / "utt2spk").exists() else {}
    if (folder / "segments").exists():
        segments = _table(folder / "segments")
    else:
        segments = {name: f"{name} 0 -1" for name in recordings}
    roots = (folder, source, source.absolute().parent)
    for name, segment in segments.items():
        if name not in texts:
            skipped.append(Skipped(name, "no line in text", "no text"))
            continue
        try:
            recording, start, end = _segment(segment)
            audio = _audio(recordings, recording, roots)
        except DataError as error:
            skipped.append(Skipped(name, error.message, "no audio"))
            continue
        copy = Path(f"{quote(recording, safe='')}.flac")
        duration = None if end < 0 else end - start
        yield Entry(name, audio, copy, texts[name], speakers.get(name, ""), start, duration)
    skipped.extend(Skipped(name, "text without audio", "no audio") for name in texts if name not in segments)


def _table(path: Path) -> dict[str, str]:
    """First word of each line -> the rest."""
    pairs = (line.strip().split(maxsplit=1) for _, line in text_lines(path))
    return {pair[0]: "".join(pair[1:]) for pair in pairs}


def _segment(line: str) -> tuple[str, float, float]:
    """Recording, start and end (negative: the recording's) of a line of ``segments``."""
    try:
        recording, start, end = line.split()
        return recording, float(start), float(end)
    except ValueError:
        raise DataError(f"not `recording start end` in segments: {line!r}") from None


def _audio(recordings: dict[str, str], name: str, roots: tuple[Path, ...]) -> Path:
    entry = recordings.get(name, "")
    if not entry:
        raise DataError(f"no line for recording {name!r} in wav.scp")
    if entry.endswith("|"):
        raise DataError(f"wav.scp has a command for {name!r}; commands are not run, convert to files first")
    paths = [root / entry for root in roots]
    return next((path for path in paths if path.exists()), paths[0])
