"""Manifests as NeMo writes them: a file ``<subset>.jsonl`` (or ``.json``) with a JSON object a line.

Keys: ``audio_filepath`` (relative paths start at the manifest), ``text``; optional ``duration`` and
``offset`` in seconds, ``speaker``, ``id``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from asrkit.data.corpora import Skipped
from asrkit.data.corpora.common import part_of, quick_audio, text_lines, utterance_id
from asrkit.data.utterance import Utterance
from asrkit.errors import DataError, nearest


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.data.corpora.Corpus.prepare`."""
    manifest = _manifest(source, subset)
    for number, line in text_lines(manifest):
        try:
            yield _utterance(manifest.parent, json.loads(line), audio_out, sample_rate)
        except DataError as error:
            skipped.append(Skipped(f"{manifest.name}:{number}", error.message))
        except (ValueError, TypeError, AttributeError):
            skipped.append(
                Skipped(f"{manifest.name}:{number}", "not a JSON object with keys of the right types")
            )
        except KeyError as error:
            skipped.append(Skipped(f"{manifest.name}:{number}", f"no key {error}"))


def _manifest(source: Path, subset: str) -> Path:
    for suffix in (".jsonl", ".json"):
        if (source / f"{subset}{suffix}").is_file():
            return source / f"{subset}{suffix}"
    there = [p.stem for p in source.iterdir() if p.suffix in (".jsonl", ".json")] if source.is_dir() else []
    raise DataError(
        f"no {subset}.jsonl in {source}", nearest(subset, there) if there else "set corpus.path to its folder"
    )


def _utterance(folder: Path, entry: dict[str, Any], audio_out: Path, sample_rate: int) -> Utterance:
    path, text, start = folder / entry["audio_filepath"], entry["text"], float(entry.get("offset") or 0.0)
    if not isinstance(text, str):
        raise TypeError
    resolved, home = path.resolve(), folder.resolve()
    inside = resolved.relative_to(home if resolved.is_relative_to(home) else resolved.anchor)
    target = audio_out / inside
    audio, length = quick_audio(path, target.with_name(target.name + ".flac"), sample_rate)
    duration = part_of(length, start, entry.get("duration"))
    name = entry.get("id") or (path.stem if duration == length else f"{path.stem}-{round(start * 1000):07d}")
    return Utterance(utterance_id(str(name)), audio, start, duration, text, str(entry.get("speaker") or ""))
