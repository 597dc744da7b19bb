"""Corpus readers: each turns a corpus as distributed into utterances. One module per corpus, one table."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from asrkit.errors import DataError, nearest
from asrkit.recognition.audio.utterance import Utterance

if TYPE_CHECKING:
    from asrkit.config import Config
    from asrkit.learning.data.corpora.common import Skipped


@dataclass(frozen=True)
class Archive:
    """A download, and its checksum: several valid ones are separated by spaces; empty: unknown."""

    url: str
    sha256: str = ""


class Submission(Protocol):
    """Files of answers to the test sets, and a distance that is reported beside the error rates."""

    def distance(self, references: Mapping[str, str], hypotheses: Mapping[str, str]) -> float:
        """Mean edit distance between references and hypotheses, by utterance id."""

    def write_transcripts(
        self, path: Path, utterances: Sequence[Utterance], hypotheses: Mapping[str, str]
    ) -> None:
        """Write the answers of a model of transcripts."""

    def write_labels(
        self, path: Path, utterances: Sequence[Utterance], labels: Mapping[str, Sequence[str]]
    ) -> None:
        """Write the answers of a model of frame labels, by utterance id."""


@dataclass(frozen=True)
class Corpus:
    """A corpus and where to get it.

    Its reader is the module ``asrkit.learning.data.corpora.<name>``. It has either ``entries(source, subset,
    skipped)``, which lists the utterances without opening their audio, or ``prepare``, like :meth:`prepare`.

    Attributes:
        name: key in `CORPORA`.
        default_path: usual name below the data root.
        where: hint for when it is missing.
        url: address of the download; empty: none.
        sha256: checksum of the download; several valid ones are separated by spaces.
        licence: terms of use in a few words.
        archives: for a corpus with one archive per subset: subset -> archive, with its address below `url`.
    """

    name: str
    default_path: str
    where: str
    url: str = ""
    sha256: str = ""
    licence: str = ""
    archives: Mapping[str, Archive] = field(default_factory=dict)

    def parts(self, source: Path, subsets: Sequence[str]) -> list[Path]:
        """Paths needed to read `subsets`: `source`, or a folder in it for each subset."""
        return [source / subset for subset in subsets] if self.archives else [source]

    def downloads(
        self, source: Path, subsets: Sequence[str], url: str = "", sha256: str = ""
    ) -> list[tuple[Path, Archive]]:
        """The missing parts of the corpus: target paths, and what they are downloaded from.

        Args:
            source: path of the corpus, which need not exist.
            subsets: required subsets.
            url: replaces `Corpus.url`; for a corpus with one archive per subset, the address above them.
            sha256: further valid checksums.

        Raises:
            DataError: a missing part cannot be downloaded.
        """
        missing = [path for path in self.parts(source, subsets) if not path.exists()]
        base = url or self.url
        if missing and not base:
            raise DataError(f"the corpus {self.name} is missing", self.where)
        if not self.archives:
            return [(path, Archive(base, sha256 or self.sha256)) for path in missing]
        for path in missing:
            if path.name not in self.archives:
                raise DataError(
                    f"no folder {path.name!r} in {source}, and {self.name} has no such subset to download",
                    nearest(path.name, self.archives),
                )
        archives = {path: self.archives[path.name] for path in missing}
        return [
            (path, Archive(f"{base.rstrip('/')}/{archive.url}", f"{archive.sha256} {sha256}".strip()))
            for path, archive in archives.items()
        ]

    def prepare(
        self, source: Path, subset: str, audio_out: Path, sample_rate: int, skipped: list[Skipped]
    ) -> Iterator[Utterance]:
        """Utterances of one subset, with the corpus's texts.

        Audio that is slow to read (compressed, at another rate, with several channels) is converted once.

        Args:
            source: the corpus: a folder or an archive.
            subset: name of the subset, such as ``train``.
            audio_out: folder for converted audio, as FLAC.
            sample_rate: Hz of converted audio.
            skipped: receives unusable entries; they are not errors.

        Raises:
            DataError: the corpus or the subset as a whole is missing or unreadable.
        """
        from asrkit.learning.data.corpora.common import Skipped, read_entries
        from asrkit.learning.data.download import extract

        if not source.exists():
            raise DataError(f"no such corpus: {source}", self.where)
        if source.is_file():
            extract(source, audio_out / "archive")
            source = audio_out / "archive"
        reader = self._reader()
        if hasattr(reader, "prepare"):
            utterances = reader.prepare(source, subset, audio_out, sample_rate, skipped)
        else:
            entries = reader.entries(source, subset, skipped)
            utterances = read_entries(entries, audio_out, sample_rate, skipped)
        seen = set()
        for utterance in utterances:
            if utterance.id in seen:
                skipped.append(Skipped(utterance.id, "a second utterance of this id", "doubled"))
            else:
                seen.add(utterance.id)
                yield utterance

    def feature_dim(self, source: Path, subset: str) -> int:
        """Numbers in a feature frame. Raises DataError if the corpus or subset is missing, or has audio."""
        if not source.exists():
            raise DataError(f"no such corpus: {source}", self.where)
        reader = self._reader()
        if not hasattr(reader, "feature_dim"):
            raise DataError(f"the corpus {self.name} has audio, not features", "see features.kind")
        return int(reader.feature_dim(source, subset))

    def submission(self, source: Path, config: Config) -> Submission | None:
        """The files of answers that the corpus in `source` asks for; None: nothing."""
        make = getattr(self._reader(), "submission", None)
        return make(source, config) if make else None

    def _reader(self) -> Any:
        return importlib.import_module(f"{__name__}.{self.name}")


# Checksums from torchaudio (datasets/librispeech.py) and TensorFlow Datasets
# (url_checksums/librispeech.txt); the last two, of mini LibriSpeech, from public projects, for archives
# whose MD5 is that of OpenSLR (https://www.openslr.org/resources/31/md5sum.txt).
LIBRISPEECH = {
    name: Archive(f"{release}/{name}.tar.gz", sha256)
    for release, name, sha256 in (
        (12, "dev-clean", "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"),
        (12, "dev-other", "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365"),
        (12, "test-clean", "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"),
        (12, "test-other", "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29"),
        (12, "train-clean-100", "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2"),
        (12, "train-clean-360", "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf"),
        (12, "train-other-500", "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2"),
        (31, "train-clean-5", "47805806c8b15f7549f3c51bd6b7da72ec0128a34d32830c8014a88658c0292d"),
        (31, "dev-clean-2", "176ec501490eced2d6c1f89f4f0ddc7dfe799e649e5322f8ba49fe3ff50c8012"),
    )
}

LAYOUTS = {
    "folder": "a folder for each subset, holding audio files and a .txt of the same name beside each",
    "jsonl": 'a file <subset>.jsonl, with a line {"audio_filepath": …, "text": …} an utterance',
    "kaldi": "a Kaldi data directory for each subset (wav.scp, text; optionally utt2spk and segments)",
    "shar": "a folder of lhotse Shar for each subset (cuts.*.jsonl.gz and recording.*.tar)",
    "table": "a table <subset>.tsv or .csv with a column of audio files and one of texts",
}

_CORPORA = (
    Corpus(
        "an4",
        "an4_sphere.tar.gz",
        "put an4_sphere.tar.gz, or the folder an4 unpacked from it, into the data folder (--data)",
        url="http://www.speech.cs.cmu.edu/databases/an4/an4_sphere.tar.gz",
        # Two archives have this name; the first lists 117 test transcripts (see recipes/an4).
        sha256="84e8a59d9f7a0bebe27e975f47935f3907bf935f2f5abd88f0b12b85dbf9b485 "
        "a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
        licence="free for any use, with the notice of Carnegie Mellon University",
    ),
    Corpus(
        "cmu11785",
        ".",
        "give the folder that holds the homework's data (mfcc, fbank, transcript …) with --data",
        licence="handed out to students of CMU 11-785",
    ),
    Corpus(
        "librispeech",
        "LibriSpeech",
        "unpack the archives of its subsets (https://www.openslr.org/12, mini LibriSpeech's from "
        "https://www.openslr.org/31) and put the folder LibriSpeech into the data folder (--data)",
        url="https://www.openslr.org/resources",
        licence="CC BY 4.0",
        archives=LIBRISPEECH,
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
    Corpus(
        "wsj",
        "wsj",
        "it is never downloaded: buy WSJ0 (LDC93S6A, or LDC93S6B without the second microphone) and WSJ1 "
        "(LDC94S13A or B) from the Linguistic Data Consortium, https://catalog.ldc.upenn.edu, and put a "
        "folder wsj with their discs (11-1.1 to 13-34.1), or with the trees wsj0 and wsj1, into the data "
        "folder (--data)",
        licence="by contract with the Linguistic Data Consortium",
    ),
    *(Corpus(name, "", f"set corpus.path to a folder that has {layout}") for name, layout in LAYOUTS.items()),
)
CORPORA: dict[str, Corpus] = {c.name: c for c in sorted(_CORPORA, key=lambda c: c.name)}

SHAPES = ("kaldi", "jsonl", "librispeech", "table", "folder")
"""Readers that recognise their layout, the most reliable first. Each also has

- ``subsets(source, files)``: the subsets in a folder with these files; none: another layout,
- ``LAYOUT``: the layout in a few words.
"""


def locate(
    corpus: Corpus, path: str, data_root: Path | None = None, recipe: Path | None = None
) -> Path | None:
    """Path of the corpus; None: it is missing.

    Args:
        path: ``corpus.path`` of the configuration; empty: the usual name, or the corpus's name.
        data_root: folder of corpora; None: ``$ASRKIT_DATA``.
        recipe: folder of the recipe, which is searched first.
    """
    root = data_root or (Path(os.environ["ASRKIT_DATA"]) if os.environ.get("ASRKIT_DATA") else None)
    if path:
        paths = [folder / path for folder in (recipe, root) if folder is not None] or [Path(path)]
    else:
        names = [corpus.default_path, corpus.name]
        if not corpus.archives:
            names.append(Path(corpus.url).name or corpus.name)
        paths = [root / name for name in names] if root is not None else []
    return next((path for path in paths if path.exists()), None)
