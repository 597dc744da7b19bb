"""Corpora kept as lhotse Shar: shards of cuts with their recordings in tar files beside them.

A subset is a folder with ``cuts.*.jsonl.gz`` and ``recording.*.tar``. The audio stays in place: utterances
refer to a part of a tar file, which :mod:`asrkit.recognition.audio.reading` reads.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

from asrkit.errors import DataError
from asrkit.learning.data.corpora.common import Skipped, subset_folder, utterance_id
from asrkit.recognition.audio.utterance import Utterance


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`asrkit.learning.data.corpora.Corpus.prepare`. Each supervision of a cut is an utterance."""
    from lhotse.serialization import load_jsonl

    folder = subset_folder(source, subset)
    for cuts, recordings in _shards(folder):
        try:
            audio = _members(recordings)
            for cut in load_jsonl(cuts):
                if not cut.get("supervisions"):
                    skipped.append(Skipped(cut["id"], "no supervision"))
                for supervision in cut.get("supervisions", ()):
                    id = utterance_id(supervision["id"])
                    if cut["id"] not in audio:
                        skipped.append(Skipped(id, f"no audio in {recordings.name}"))
                        continue
                    # A supervision may extend beyond a cut of a part of it.
                    begin = max(0.0, supervision["start"])
                    end = min(cut["duration"], supervision["start"] + supervision["duration"])
                    text, speaker = (supervision.get(key) or "" for key in ("text", "speaker"))
                    start = cut["start"] + begin
                    yield Utterance(id, audio[cut["id"]], start, end - begin, text, speaker)
        except (OSError, ValueError, KeyError, TypeError, EOFError, tarfile.TarError) as error:
            raise DataError(
                f"cannot read the Shar in {folder}, {cuts.name}: {error}", "it is damaged, or incomplete"
            ) from error


def _shards(folder: Path) -> list[tuple[Path, Path]]:
    """The manifests of the cuts, each with the tar file of their recordings."""
    cuts, tars = sorted(folder.glob("cuts.*.jsonl*")), sorted(folder.glob("recording.*.tar"))
    if not cuts or len(cuts) != len(tars):
        raise DataError(
            f"no Shar in {folder}: {len(cuts)} of cuts.*.jsonl.gz and {len(tars)} of recording.*.tar",
            "each subset needs a folder with equally many of both",
        )
    return list(zip(cuts, tars, strict=True))


def _members(path: Path) -> dict[str, str]:
    """Cut id -> part of the tar file with its audio."""
    from asrkit.recognition.audio.reading import tar_part

    with tarfile.open(path) as tar:
        return {
            Path(member.name).stem: tar_part(path.absolute(), member.offset_data, member.size)
            for member in tar
            if member.isfile() and Path(member.name).suffix not in (".json", ".nodata")
        }
