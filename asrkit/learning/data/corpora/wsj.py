"""Wall Street Journal: WSJ0 (CSR-I, LDC93S6A or B) and WSJ1 (CSR-II, LDC94S13A or B), read speech at 16 kHz.

The corpus is the original discs (``11-1.1`` to ``13-34.1``) or a tree ``wsj0`` and one ``wsj1``, side by side
or below folders such as ``WSJ0``, ``csr_1`` and ``LDC94S13B``; names may be in capitals. Audio is that of the
close-talking microphone, ``.wv1``, or a copy of it in another format.

Sets and their sizes are those of Kaldi (``egs/wsj/s5/local/wsj_data_prep.sh`` and, for the Nov'93 5k test,
``cstr_wsj_data_prep.sh``): speaker 401 is not trained on, and the Nov'93 tests are on another disc than their
index says. An utterance is searched on the disc its index names, then on the others.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from asrkit.errors import DataError, nearest
from asrkit.learning.data.corpora import CORPORA
from asrkit.learning.data.corpora.common import Skipped, quick_audio, text_lines
from asrkit.recognition.audio.recordings import AUDIO_SUFFIXES
from asrkit.recognition.audio.utterance import Utterance

SI84 = "11_13_1:wsj0/doc/indices/train/tr_s_wv1.ndx"
SUBSETS = {  # name: utterances, and the index files or folders that list them, as `disc:path`
    "train_si84": (7138, [SI84]),
    "train_si284": (37416, [SI84, "13_34_1:wsj1/doc/indices/si_tr_s.ndx"]),
    "test_dev93": (503, ["13_34_1:wsj1/doc/indices/h1_p0.ndx"]),
    "test_dev93_5k": (513, ["13_34_1:wsj1/doc/indices/h2_p0.ndx"]),
    "test_eval92": (333, ["11_13_1:wsj0/doc/indices/test/nvp/si_et_20.ndx"]),
    "test_eval92_5k": (330, ["11_13_1:wsj0/doc/indices/test/nvp/si_et_05.ndx"]),
    "test_eval93": (213, ["13_32_1:wsj1/doc/indices/wsj1/eval/h1_p0.ndx"]),
    "test_eval93_5k": (215, ["13_32_1:wsj1/doc/indices/wsj1/eval/h2_p0.ndx"]),
    "dev_dt_20": (503, ["13_16_1:wsj1/si_dt_20/"]),
    "dev_dt_05": (913, ["13_16_1:wsj1/si_dt_05/"]),
}
ALIASES = {name.partition("_")[2]: name for name in SUBSETS}  # si284, dev93, eval92 …
EXCLUDED = "wsj0/si_tr_s/401/"
MOVED = {"13_32_1": "13_33_1"}  # of utterances: the disc their index names, and the one they are on

TOPS = ("wsj0", "wsj1")
DEPTH = 4  # levels below the corpus at which tops are looked for
PARENT = re.compile(r"wsj[01]|csr_\w+|LDC\w+|\d\d[-_]\d{1,2}[-_.]\d", re.IGNORECASE)
SUFFIXES = AUDIO_SUFFIXES - {".wv2"}  # the second microphone

ENTRY = re.compile(r"([\d_]+)\s*:\s*/?(\S+?)(?:\.wv1)?", re.IGNORECASE)
LINE = re.compile(r"(.*)\((\w{8})\)\s*")
NOISE = re.compile(r"(?<!\\)\[[^\]]*\]")
MARKUP = re.compile(r"[<>*~:]|\([\w']*\)(?=-$)")
SIGN = re.compile(r"^(?:[^\w']+|'(?=[a-z-]*quote$))", re.IGNORECASE)


@dataclass(frozen=True)
class Tree:
    """The files of all discs.

    Attributes:
        files: path from ``wsj0`` or ``wsj1`` on, in lower case, of audio without its suffix -> every file
            of that path, and its disc (``11_1_1``, or the folder that replaces it).
        dots: name of a ``.dot`` file without suffix, in lower case -> where it is found.
    """

    files: dict[str, list[tuple[str, Path]]]
    dots: dict[str, list[Path]]

    @classmethod
    def read(cls, source: Path) -> Tree:
        """List the files of `source`. Raises DataError without ``wsj0`` and ``wsj1``."""
        tree = cls(defaultdict(list), defaultdict(list))
        tops = list(_tops(source))
        if not tops:
            raise DataError(f"no folder wsj0 or wsj1 in {source}, and no discs", CORPORA["wsj"].where)
        for top in tops:
            disc = re.sub("[-.]", "_", top.parent.name)
            for folder, children, names in os.walk(top, followlinks=True):
                children.sort()
                inside = Path(top.name, Path(folder).relative_to(top)).as_posix().lower()
                for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
                    suffix = path.suffix.lower()
                    if suffix == ".dot":
                        tree.dots[path.stem.lower()].append(path)
                    elif suffix == ".ndx" or suffix in SUFFIXES:
                        name = path.name if suffix == ".ndx" else path.stem
                        tree.files[f"{inside}/{name.lower()}"].append((disc, path))
        return tree

    def find(self, entry: str) -> Path:
        """The file of a ``disc:path``, on that disc if possible, preferably ``.wv1``. Raises DataError."""
        disc, _, path = entry.partition(":")
        if path not in self.files:
            raise _missing(entry)
        files = self.files[path]
        return min(files, key=lambda file: (file[0] != disc, file[1].suffix.lower() != ".wv1"))[1]

    def entries(self, place: str, skipped: list[Skipped]) -> Iterator[str]:
        """The utterances of an index file or folder, as ``disc:path`` in lower case without ``.wv1``.

        Raises DataError if there is no such file or folder.
        """
        disc, _, path = place.partition(":")
        if place.endswith("/"):
            if not (names := [f"{disc}:{name}" for name in self.files if name.startswith(path)]):
                raise _missing(place)
            yield from names
            return
        index = self.find(place)
        for number, line in text_lines(index):
            if line.startswith(";"):
                continue
            if match := ENTRY.fullmatch(line.strip()):
                yield f"{MOVED.get(match[1], match[1])}:{match[2].lower()}"
            else:
                skipped.append(Skipped(f"{index.name}:{number}", "not `disc:path`"))


def prepare(
    source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
) -> Iterator[Utterance]:
    """See :meth:`.Corpus.prepare`; `source` holds the discs, or ``wsj0`` and ``wsj1``.

    Texts are the :func:`words` of the ``.dot`` transcripts. A set that lacks utterances, or has too many, is
    reported among the skipped entries, before the others of that set. If none of its utterances is usable,
    that is an error, with the reason of the last.
    """
    name = ALIASES.get(subset, subset)
    if name not in SUBSETS:
        raise DataError(f"WSJ has no subset {subset!r}", nearest(subset, [*SUBSETS, *ALIASES]))
    size, places = SUBSETS[name]
    tree = Tree.read(source)
    first, count = len(skipped), 0
    failure: DataError | None = None
    entries = (entry for place in places for entry in tree.entries(place, skipped))
    listed = {entry.rpartition("/")[2]: entry for entry in entries if EXCLUDED not in entry}
    for session, ids in groupby(sorted(listed), key=lambda id: id[:6]):
        texts = _texts(tree.dots.get(f"{session}00", []), skipped)
        for id in ids:
            try:
                recording = tree.find(listed[id])
                if id not in texts:
                    raise DataError(f"no transcript in any {session}00.dot", "look for the .dot files")
                audio, duration = quick_audio(recording, audio_out / f"{id}.flac", sample_rate)
            except DataError as error:
                skipped.append(Skipped(id, error.message))
                failure = error
            else:
                count += 1
                yield Utterance(id, audio, 0.0, duration, texts[id], id[:3])
    if failure is not None and not count:
        problem = f"none of the {len(listed)} utterances of {name} is usable: {failure.message}"
        raise DataError(problem, failure.hint)
    if count != size:
        skipped.insert(first, Skipped(name, f"{count} utterances found; the whole set has {size}"))


def words(transcript: str) -> str:
    """The words of a ``.dot`` transcript, spelt as there, with hyphens, apostrophes and abbreviation points.

    Noises are removed (``[door_slam]``; ``[<x]`` ``[x>]`` ``[x/]`` ``[/x]`` where they overlap it), as are
    escapes, marks of pauses (``.``), truncation (``~``) and lengthening (``:``), and the part of a broken-off
    word that was not said (``revo(lution)-``). Words that were corrected (``<word>``) or mispronounced
    (``*word*``) stay. Of verbal punctuation the spoken name stays: ``,COMMA``, ``--DASH``, ``%PERCENT``.

    Source: CSR WSJ0 Detailed Orthographic Transcription (.dot) Specification, 5 January 1993 (LDC93S6A,
    ``transcrp/doc/dot_spec.doc``); Kaldi, ``egs/wsj/s5/local/normalize_transcript.pl``.
    """
    tokens = NOISE.sub(" ", transcript).replace("\\", "").split()
    spoken = (SIGN.sub("", MARKUP.sub("", token)) for token in tokens)
    return " ".join(token for token in spoken if any(map(str.isalnum, token)))


def _missing(entry: str) -> DataError:
    disc, _, path = entry.partition(":")
    name = re.sub(r"_(\d+)_", r"-\1.", disc)
    return DataError(f"no {path} on any disc", f"it belongs on disc {name}; look at corpus.path")


def _tops(source: Path) -> Iterator[Path]:
    """The folders ``wsj0`` and ``wsj1``; folders that contain discs or another of the two are skipped."""
    for folder, children, _ in os.walk(source, followlinks=True):
        path = Path(folder)
        if path.name.lower() in TOPS and not any(map(PARENT.fullmatch, children)):
            children.clear()
            yield path
        elif len(path.relative_to(source).parts) >= DEPTH:
            children.clear()
        children.sort()


def _texts(files: list[Path], skipped: list[Skipped]) -> dict[str, str]:
    """Utterance id -> words, from all ``.dot`` files of a session; lines are ``transcript (id)``."""
    texts: dict[str, str] = {}
    for file in files:
        try:
            lines = text_lines(file)
        except DataError as error:
            skipped.append(Skipped(file.name, error.message))
            continue
        for number, line in lines:
            if match := LINE.fullmatch(line):
                texts.setdefault(match[2].lower(), words(match[1]))
            else:
                skipped.append(Skipped(f"{file.name}:{number}", "no (utterance id) at its end"))
    return texts
