"""Kaldi data directories: ``wav.scp``, ``text``, and where there are any ``segments`` and ``utt2spk``.

A subset is a data directory in the source, or ``.`` for the source itself. Commands in ``wav.scp``
(``sph2pipe … |``) are never run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from asrkit.data.corpora import Skipped
from asrkit.data.corpora.common import part_of, quick_audio, subset_folder, text_lines
from asrkit.data.utterance import Utterance
from asrkit.errors import DataError


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.data.corpora.Corpus.prepare`; relative paths start at the data directory, the
    source or the folder it is in, as recipes that keep ``data/`` beside ``wav/`` have it."""
    folder = subset_folder(source, subset)
    recordings, texts = _table(folder / "wav.scp"), _table(folder / "text")
    speakers = _table(folder / "utt2spk") if (folder / "utt2spk").exists() else {}
    if (folder / "segments").exists():
        segments = _table(folder / "segments")
    else:
        segments = {name: f"{name} 0 -1" for name in recordings}
    roots = (folder, source, source.absolute().parent)
    for name, segment in segments.items():
        try:
            recording, start, end = _segment(segment)
            if name not in texts:
                raise DataError("no line in text")
            audio, length = quick_audio(
                _audio(recordings, recording, roots),
                audio_out / f"{quote(recording, safe='')}.flac",
                sample_rate,
            )
            duration = part_of(length, start, None if end < 0 else end - start)
        except DataError as error:
            skipped.append(Skipped(name, error.message))
            continue
        yield Utterance(name, audio, start, duration, texts[name], speakers.get(name, ""))
    skipped.extend(Skipped(name, "text without audio") for name in texts if name not in segments)


def _table(path: Path) -> dict[str, str]:
    """First word of each line to the rest of it."""
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
    places = [root / entry for root in roots]
    return next((place for place in places if place.exists()), places[0])
