"""Corpus readers: each turns a corpus as it is distributed into utterances. One file a corpus, one table."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from asrkit.data.utterance import Utterance
from asrkit.errors import DataError


@dataclass(frozen=True)
class Skipped:
    """An entry of a corpus that cannot be used, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Corpus:
    """A corpus and where to get it; its reader is the module ``asrkit.data.corpora.<name>``.

    Attributes:
        name: key in `CORPORA`.
        default_path: its usual name below the data root.
        where: what to do when it is not found.
        url: where it is downloaded from; empty: it is not.
        sha256: checksum of the download; several good ones are separated by blanks.
        licence: terms of use in a few words.
    """

    name: str
    default_path: str
    where: str
    url: str = ""
    sha256: str = ""
    licence: str = ""

    def prepare(
        self, source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
    ) -> Iterator[Utterance]:
        """Utterances of one subset, with the text as the corpus has it.

        Audio that is slow to read (compressed, at another rate, of several channels) is converted once.

        Args:
            source: the corpus: a folder, or the archive it comes in.
            subset: name of the subset, such as ``train``.
            audio_out: folder for converted audio, as FLAC.
            sample_rate: Hz of converted audio.
            skipped: unusable entries are appended here; they stop nothing.

        Raises:
            DataError: the corpus or the subset as a whole is missing or unreadable.
        """
        if not source.exists():
            raise DataError(f"no such corpus: {source}", self.where)
        reader = importlib.import_module(f"{__name__}.{self.name}")
        seen = set()
        for utterance in reader.prepare(source, subset, audio_out, sample_rate, skipped):
            if utterance.id in seen:
                skipped.append(Skipped(utterance.id, "a second utterance of this id"))
                continue
            seen.add(utterance.id)
            yield utterance


CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "an4",
            "an4_sphere.tar.gz",
            "put an4_sphere.tar.gz, or the folder an4 unpacked from it, into the data folder (--data)",
            url="http://www.speech.cs.cmu.edu/databases/an4/an4_sphere.tar.gz",
            # Two archives of this name are about; the first lists 117 test transcripts (see recipes/an4).
            sha256="84e8a59d9f7a0bebe27e975f47935f3907bf935f2f5abd88f0b12b85dbf9b485 "
            "a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
            licence="free for any use, with the notice of Carnegie Mellon University",
        ),
        Corpus(
            "folder",
            "",
            "set corpus.path to a folder that has a folder for each subset, holding audio files and "
            "a .txt of the same name beside each",
        ),
        Corpus(
            "jsonl",
            "",
            "set corpus.path to a folder that has a file <subset>.jsonl, with a line "
            '{"audio_filepath": …, "text": …} an utterance',
        ),
        Corpus(
            "kaldi",
            "",
            "set corpus.path to a folder that has a Kaldi data directory for each subset "
            "(wav.scp, text; utt2spk and segments if there are any)",
        ),
        Corpus(
            "ljspeech",
            "LJSpeech-1.1",
            "unpack LJSpeech-1.1.tar.bz2 (https://keithito.com/LJ-Speech-Dataset) and put the folder "
            "LJSpeech-1.1 into the data folder (--data)",
            url="https://data.keithito.com/data/speech/LJSpeech-1.1.tar.bz2",
            sha256="be1a30453f28eb8dd26af4101ae40cbf2c50413b1bb21936cbcdc6fae3de8aa5",
            licence="public domain",
        ),
        Corpus(
            "prompts",
            "prompts",
            "set corpus.path to the folder that has transcripts.tsv",
            licence="CC BY-SA 3.0, Allison Smith and Digium, Inc.",
        ),
    )
}


def locate(
    corpus: Corpus, path: str, data_root: Path | None = None, recipe: Path | None = None
) -> Path | None:
    """Where the corpus is, or None.

    Args:
        corpus: the corpus looked for.
        path: ``corpus.path`` of the configuration; empty: the usual name, or a folder of the corpus's name.
        data_root: folder of corpora; None: ``$ASRKIT_DATA``.
        recipe: folder of the recipe, in which `path` is looked for first.
    """
    root = data_root or (Path(os.environ["ASRKIT_DATA"]) if os.environ.get("ASRKIT_DATA") else None)
    if path:
        places = [folder / path for folder in (recipe, root) if folder is not None] or [Path(path)]
    else:
        archive = Path(corpus.url).name or corpus.name
        names = (corpus.default_path, corpus.name, archive)
        places = [root / name for name in names] if root is not None else []
    return next((place for place in places if place.exists()), None)
