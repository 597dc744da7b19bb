"""NeMo manifests: a file ``<subset>.jsonl`` (or ``.json``) with one JSON object per line.

Keys: ``audio_filepath`` (relative paths start at the manifest), ``text``; optional ``duration`` and
``offset`` in seconds, ``speaker``, ``id``. Other usual names of the first two and of the speaker are known.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from asrkit.errors import DataError, nearest
from asrkit.learning.data.corpora.common import Entry, Skipped, copy_of, first_line, text_lines, utterance_id

LAYOUT = 'JSONL manifests, with a line {"audio_filepath": …, "text": …} an utterance'
SUFFIXES = (".jsonl", ".json")
AUDIO = ("audio_filepath", "audio", "wav", "audio_path", "path", "file")
TEXT = ("text", "txt", "transcript", "sentence")
SPEAKER = ("speaker", "speaker_id", "spk_id", "client_id")


def subsets(source: Path, files: Sequence[Path]) -> list[str]:
    """See :data:`asrkit.learning.data.corpora.SHAPES`."""
    manifests = (path for path in files if path.suffix in SUFFIXES and _is_manifest(path))
    return sorted({path.relative_to(source).with_suffix("").as_posix() for path in manifests})


def entries(source: Path, subset: str, skipped: list[Skipped]) -> Iterator[Entry]:
    """See :class:`asrkit.learning.data.corpora.Corpus`."""
    manifest = _manifest(source, subset)
    for number, line in text_lines(manifest):
        place = f"{manifest.name}:{number}"
        try:
            yield _entry(manifest.parent, json.loads(line), place)
        except (ValueError, TypeError, AttributeError):
            skipped.append(Skipped(place, "not a JSON object with keys of the right types", "malformed"))
        except KeyError as error:
            kind = "no text" if error.args[0] == TEXT[0] else "malformed"
            skipped.append(Skipped(place, f"no key {error}", kind))


def _manifest(source: Path, subset: str) -> Path:
    for suffix in SUFFIXES:
        if (source / f"{subset}{suffix}").is_file():
            return source / f"{subset}{suffix}"
    names = [p.stem for p in source.iterdir() if p.suffix in SUFFIXES] if source.is_dir() else []
    hint = nearest(subset, names) if names else "set corpus.path to its folder"
    raise DataError(f"no {subset}.jsonl in {source}", hint)


def _is_manifest(path: Path) -> bool:
    """Whether the first line has an audio file and a text."""
    try:
        first = json.loads(first_line(path))
    except ValueError:
        return False
    return isinstance(first, dict) and any(k in first for k in AUDIO) and any(k in first for k in TEXT)


def _entry(folder: Path, entry: dict[str, Any], place: str) -> Entry:
    path, text, start = folder / _first(entry, AUDIO), _first(entry, TEXT), float(entry.get("offset") or 0.0)
    if not isinstance(text, str):
        raise TypeError
    duration = None if entry.get("duration") is None else float(entry["duration"])
    id = utterance_id(str(entry.get("id") or ""))
    speaker = str(next((entry[key] for key in SPEAKER if key in entry), None) or "")
    return Entry(id, path, copy_of(path, folder), text, speaker, start, duration, place)


def _first(entry: dict[str, Any], names: Sequence[str]) -> Any:
    """The value of the first of `names` in `entry`. Raises KeyError."""
    return entry[next((name for name in names if name in entry), names[0])]
