"""Paths of what each stage reads and writes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrkit.learning.recipe.workspace import Workspace

if TYPE_CHECKING:
    from asrkit.learning.features.store import Features
    from asrkit.recognition.audio.utterance import Utterance

CARD = "CARD.md"  # of a recipe: describes the models it trains

CORPUS_LABELS = "corpus"
"""Value of ``align.labels`` for the labels that come with the corpus."""

SAMPLES, SAMPLE_BYTES = 16, 1 << 20
"""How much of a large file is hashed."""

Prints = dict[str, str]
"""Stage name -> fingerprint, from :func:`asrkit.learning.recipe.plan.fingerprints`."""


def source_path(workspace: Workspace) -> Path:
    """Where the corpus is, or will be downloaded to."""
    from asrkit.learning.data.corpora import CORPORA, locate

    corpus = CORPORA[workspace.config.corpus.name]
    folder = locate(corpus, workspace.config.corpus.path, workspace.data_root, workspace.recipe)
    return folder or workspace.exp / "data" / "download" / Path(corpus.default_path).name


def manifest(workspace: Workspace, prints: Prints, name: str) -> Path:
    """The prepared manifest of a set."""
    return workspace.shared("prepare", prints["prepare"]) / f"{name}.jsonl.gz"


def utterances_of(workspace: Workspace, prints: Prints, names: list[str]) -> list[Utterance]:
    """The utterances of several sets."""
    from asrkit.learning.data.manifest import read_manifest

    return [u for name in names for u in read_manifest(manifest(workspace, prints, name))]


def store_folder(workspace: Workspace, prints: Prints, name: str) -> Path:
    """The stored features of a set."""
    return workspace.shared("features", prints["features"]) / name


def open_features(workspace: Workspace, prints: Prints, names: list[str]) -> Features:
    """The features of subsets: stored by the stage features, or computed when read."""
    from asrkit.learning.features.store import FeatureStore, LiveFeatures

    if workspace.config.features.stored:
        return FeatureStore(*(store_folder(workspace, prints, n) for n in dict.fromkeys(names)))
    return LiveFeatures(workspace.config.features, utterances_of(workspace, prints, names))


def checked(workspace: Workspace, role: str) -> Path:
    """The manifest of utterances that passed the check."""
    return workspace.folder / "check" / f"{role}.jsonl.gz"


def lm_folder(workspace: Workspace) -> Path:
    """The language model; see :func:`asrkit.learning.lm.load_lm` for its files."""
    return workspace.folder / "lm"


def lm_text_paths(workspace: Workspace) -> list[Path]:
    """Files of ``lm.text``."""
    return [_below(workspace, name) for name in workspace.config.lm.text]


def lm_sources(workspace: Workspace) -> list[Path]:
    """The files outside the experiment that the language model is built from: ``lm.arpa``, or texts."""
    arpa = workspace.config.lm.arpa
    return [_below(workspace, arpa)] if arpa else lm_text_paths(workspace)


def _below(workspace: Workspace, name: str) -> Path:
    """A file named in the configuration: below the recipe, below ``--data``, or as given."""
    folders = [workspace.recipe, *([workspace.data_root] if workspace.data_root else []), Path()]
    return next((f / name for f in folders if (f / name).is_file()), Path(name))


def file_state(path: Path) -> Any:
    """A cheap digest of a file or folder outside the experiment, independent of dates.

    Returns:
        the path and a digest: of a file's size and 16 samples of it (all of it up to 16 MiB), of the names
        and sizes in a folder; the path alone if it does not exist.
    """
    if not path.exists():
        return str(path)
    digest = hashlib.sha256()
    if path.is_dir():
        entries = sorted((e.name, e.stat().st_size if e.is_file() else 0) for e in path.iterdir())
        digest.update(repr(entries).encode())
    else:
        size = path.stat().st_size
        digest.update(str(size).encode())
        with path.open("rb") as file:
            for block in range(SAMPLES):
                file.seek(max(block * SAMPLE_BYTES, block * (size - SAMPLE_BYTES) // (SAMPLES - 1)))
                digest.update(file.read(SAMPLE_BYTES))
    return [str(path.resolve()), digest.hexdigest()]


def label_files(workspace: Workspace, prints: Prints, role: str) -> list[Path]:
    """Files of ready frame labels for ``train``, ``dev`` or a reported set.

    Raises:
        DataError: the training sets of the corpus have none.
    """
    from asrkit.errors import DataError

    corpus = workspace.config.corpus
    if workspace.config.align.labels != CORPUS_LABELS:
        return alignment_source(workspace)
    sets = {"train": corpus.train, "dev": corpus.dev}.get(role, [role])
    paths = [manifest(workspace, prints, n).parent / "labels" / f"{n}.txt.gz" for n in sets]
    if role == "train" and not all(path.exists() for path in paths):
        raise DataError("the corpus has no frame labels", "see align.labels and align.model")
    return [path for path in paths if path.exists()]


def alignment_source(workspace: Workspace) -> list[Path]:
    """The files outside the experiment that frame labels come from: one of labels, or a model's weights."""
    if workspace.config.align.labels == CORPUS_LABELS:
        return []
    if workspace.config.align.labels:
        return [workspace.recipe / workspace.config.align.labels]  # an absolute path stays as it is
    return [_weights(named_model(workspace, workspace.config.align.model))]


def start_source(workspace: Workspace) -> list[Path]:
    """The file outside the experiment whose weights training starts from, if any."""
    name = workspace.config.model.init
    return [_weights(named_model(workspace, name))] if name else []


def named_model(workspace: Workspace, name: str) -> Path:
    """A model that the configuration names: another experiment of this recipe, or a path.

    Or ``english``, the recogniser packaged with asrkit, also in an experiment with that tag.
    """
    from asrkit.recognition.pretrained import packaged_model

    sibling = workspace.exp / name
    if name and sibling.is_dir() and sibling != workspace.folder:
        return sibling
    return packaged_model() if name == "english" else Path(name)


def _weights(model: Path) -> Path:
    from asrkit.recognition.parts import newest_weights

    return newest_weights(model / "checkpoints") if (model / "checkpoints").is_dir() else model


def labels_folder(workspace: Workspace) -> Path:
    """The label set of a frame head, its counts, and the labels of the utterances."""
    return workspace.folder / "labels"


def labels_path(workspace: Workspace, role: str) -> Path:
    """The frame labels of ``train``, ``dev`` or a reported set."""
    return labels_folder(workspace) / f"{role}.txt.gz"


def averaged(workspace: Workspace) -> Path:
    """The weights of the averaged checkpoints."""
    return workspace.folder / "checkpoints" / "averaged" / "model.safetensors"


def tuned(workspace: Workspace) -> Path:
    """The decoding weights tuned on the dev sets."""
    return workspace.folder / "tuned.json"


def decoders(workspace: Workspace) -> list[str]:
    """Every decoder that the recipe runs, the main one first."""
    decode = workspace.config.decode
    return list(dict.fromkeys([decode.decoder, *decode.also]))


def reported_sets(workspace: Workspace) -> list[str]:
    """The sets that are decoded and scored."""
    corpus = workspace.config.corpus
    return list(dict.fromkeys([*corpus.dev, *corpus.test]))


def decode_folder(workspace: Workspace, decoder: str, name: str) -> Path:
    """The transcripts and scores of a decoder on a set."""
    return workspace.folder / "decode" / decoder / name


def bundle_path(workspace: Workspace) -> Path:
    """The packed recogniser."""
    return workspace.folder / f"{workspace.exp.name}.asrkit"
