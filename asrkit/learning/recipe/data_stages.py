"""Stages that make data: from a corpus to utterances, tokens, features and frame labels.

Heavy imports happen inside the stages so that planning stays quick.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from asrkit.errors import DataError
from asrkit.files import atomic_write, write_json
from asrkit.learning.recipe.layout import (
    Prints,
    checked,
    label_files,
    labels_folder,
    labels_path,
    manifest,
    named_model,
    open_features,
    reported_sets,
    source_path,
    store_folder,
    utterances_of,
)
from asrkit.learning.recipe.workspace import Workspace
from asrkit.progress import tell, track, transfer

if TYPE_CHECKING:
    import numpy as np

    from asrkit.learning.features.store import Features
    from asrkit.recognition.audio.utterance import Utterance

SHOWN = 20  # skipped utterances that are printed; all are in a file


def download(workspace: Workspace, prints: Prints) -> None:
    """Fetch the corpus if it is not in the data folder."""
    from asrkit.learning.data import download as fetch
    from asrkit.learning.data.corpora import CORPORA

    settings, source = workspace.config.corpus, source_path(workspace)
    corpus = CORPORA[settings.name]
    get = fetch.download_folder if corpus.archives else fetch.download
    for path, archive in corpus.downloads(source, workspace.sets, settings.url, settings.sha256):
        if not archive.sha256:
            tell(f"  the checksum of {archive.url} is unknown and is not verified")
        with transfer(f"download {path.name}") as progress:
            get(archive.url, path, archive.sha256, progress)


def prepare(workspace: Workspace, prints: Prints) -> None:
    """Read the corpus into manifests, one per subset, with normalised text."""
    from dataclasses import replace

    from asrkit.learning.data.corpora import CORPORA
    from asrkit.learning.data.corpora.common import Skipped
    from asrkit.learning.data.manifest import write_manifest
    from asrkit.recognition.text.normalize import normalize

    config = workspace.config
    corpus = CORPORA[config.corpus.name]
    folder = workspace.shared("prepare", prints["prepare"])
    for name in workspace.sets:
        if manifest(workspace, prints, name).exists() and not workspace.force:
            continue
        skipped: list[Skipped] = []
        read = corpus.prepare(
            source_path(workspace), name, folder / "audio", config.features.sample_rate, skipped
        )
        utterances = [replace(u, text=normalize(u.text, config.text.normalizer)) for u in track(read, name)]
        with atomic_write(folder / f"{name}.skipped.jsonl") as file:
            file.writelines(json.dumps({"id": s.id, "reason": s.reason}) + "\n" for s in skipped)
        hours = sum(u.duration for u in utterances) / 3600
        tell(f"  {name}: {len(utterances)} utterances, {hours:.2f} h")
        if skipped:
            tell(f"  {name}: {len(skipped)} entries skipped, see {folder / name}.skipped.jsonl")
        for item in skipped[:SHOWN]:
            tell(f"    {item.id}: {item.reason}")
        if not utterances:
            raise DataError(
                f"no utterances in subset {name!r} of {source_path(workspace)}",
                "see corpus.path, corpus.train, corpus.dev and corpus.test",
            )
        write_manifest(manifest(workspace, prints, name), utterances)


def tokenizer(workspace: Workspace, prints: Prints) -> None:
    """Learn the token inventory, from the training text alone."""
    from asrkit.recognition.stored_tokenizer import G2P_FILE, predict_unknown
    from asrkit.recognition.text.tokenizer import PhoneTokenizer, build_tokenizer

    config, folder = workspace.config, workspace.folder / "tokenizer"
    texts = [u.text for u in utterances_of(workspace, prints, config.corpus.train)]
    built = build_tokenizer(config.text, texts, workspace.recipe)
    tell(f"  {len(built.tokens)} tokens ({built.kind})")
    (folder / G2P_FILE).unlink(missing_ok=True)
    if config.text.g2p and isinstance(built, PhoneTokenizer):
        words = {w for u in utterances_of(workspace, prints, workspace.sets) for w in u.text.split()}
        predicted = predict_unknown(built, words, folder)
        if predicted:
            shown = ", ".join(predicted[:SHOWN]) + (", …" if len(predicted) > SHOWN else "")
            tell(f"  predicted pronunciations for {len(predicted)} of {len(words)} words: {shown}")
            tell(f"  marked in {folder / 'lexicon.txt'}; add corrections to text.lexicon")
    built.save(folder)


def features(workspace: Workspace, prints: Prints) -> None:
    """Compute the training and dev features at every speed, and the statistics for CMVN."""
    from asrkit.learning.features.store import LiveFeatures, write_store
    from asrkit.recognition.features.cmvn import CmvnStats
    from asrkit.recognition.features.signal import read_signal

    config = workspace.config
    stats = CmvnStats(config.features.dim)
    training = set(config.corpus.train)
    for name in dict.fromkeys([*config.corpus.train, *config.corpus.dev]):
        folder = store_folder(workspace, prints, name)
        utterances = utterances_of(workspace, prints, [name])
        speeds = sorted({1.0, *config.augment.speeds}) if name in training else [1.0]
        live = LiveFeatures(config.features, utterances)
        unreadable: dict[str, str] = {}

        def compute(
            speeds: list[float] = speeds,
            utterances: list[Utterance] = utterances,
            live: LiveFeatures = live,
            unreadable: dict[str, str] = unreadable,
            name: str = name,
        ) -> Iterator[tuple[str, float, np.ndarray]]:
            for utterance in track(utterances, name):
                try:
                    wave = read_signal(config.features, utterance)
                except DataError as error:
                    unreadable[utterance.id] = error.message
                    continue
                for speed in speeds:
                    yield utterance.id, speed, live.compute(wave, speed)

        if config.features.stored and (workspace.force or not (folder / "unreadable.json").exists()):
            write_store(folder, config.features.dim, compute())
            write_json(folder / "unreadable.json", unreadable)
        if name in training:
            source = open_features(workspace, prints, [name])
            for utterance in utterances if config.features.stored else track(utterances, name):
                with suppress(DataError):  # the stage check reports unreadable audio
                    stats.update(source.read(utterance.id))
    stats.save(workspace.shared("features", prints["features"]) / "cmvn.json")


def check(workspace: Workspace, prints: Prints) -> None:
    """Report unusable utterances, and keep the others."""
    from asrkit.learning.data.manifest import write_manifest
    from asrkit.learning.models.asr import build_model
    from asrkit.learning.recipe.check import apply_policy, find_problems, summary
    from asrkit.recognition.text.tokenizer import load_tokenizer

    config = workspace.config
    tokens = load_tokenizer(workspace.folder / "tokenizer")
    output_frames = build_model(config, len(tokens.tokens), labels=1).output_frames
    for role, names in (("train", config.corpus.train), ("dev", config.corpus.dev)):
        kept: list[Utterance] = []
        for name in dict.fromkeys(names):
            source = open_features(workspace, prints, [name])
            unreadable: dict[str, str] = {}
            if config.features.stored:
                record = store_folder(workspace, prints, name) / "unreadable.json"
                unreadable = json.loads(record.read_text(encoding="utf-8"))
            fastest = max(config.augment.speeds) if role == "train" else 1.0

            def read(
                utterance: Utterance,
                source: Features = source,
                unreadable: dict[str, str] = unreadable,
                speed: float = fastest,
            ) -> np.ndarray:
                if utterance.id in unreadable:
                    raise DataError(unreadable[utterance.id])
                return source.read(utterance.id, speed)

            utterances = utterances_of(workspace, prints, [name])
            problems = find_problems(
                utterances,
                tokenizer=tokens,
                features=read,
                config=config.check,
                output_frames=output_frames,
                ctc="ctc" in config.model.heads,
            )
            with atomic_write(workspace.folder / "check" / f"{name}.problems.jsonl") as file:
                file.writelines(
                    json.dumps({"id": p.id, "kind": p.kind, "detail": p.detail}) + "\n" for p in problems
                )
            tell(f"  {name}: {summary(problems)}")
            kept += apply_policy(utterances, problems, config.check)
        if not kept:
            raise DataError(f"no usable {role} utterance", f"see {workspace.folder / 'check'}")
        write_manifest(checked(workspace, role), kept)


def align(workspace: Workspace, prints: Prints) -> None:
    """Label every feature frame of the sets, from a file or by forced alignment with a trained model."""
    from asrkit.learning.data.manifest import read_manifest
    from asrkit.recognition.aligner import label_frames
    from asrkit.recognition.recognizer import Recognizer
    from asrkit.recognition.text.labels import (
        LabelCounts,
        LabelSet,
        collect_labels,
        read_labels,
        write_labels,
    )
    from asrkit.recognition.text.tokenizer import load_tokenizer

    folder = labels_folder(workspace)
    sets = {role: read_manifest(checked(workspace, role)) for role in ("train", "dev")}
    sets |= {name: utterances_of(workspace, prints, [name]) for name in reported_sets(workspace)}
    files = {role: label_files(workspace, prints, role) for role in sets}
    if workspace.config.align.labels:
        names = collect_labels(*dict.fromkeys(chain.from_iterable(files.values())))
    else:
        model = named_model(workspace, workspace.config.align.model)
        aligner = Recognizer.load(model, device=workspace.device)
        names = aligner.labels or LabelSet.of(aligner.tokenizer)
    names.token_ids(
        load_tokenizer(workspace.folder / "tokenizer")
    )  # raises if labels and tokens do not match
    names.save(folder / "labels.txt")
    failed: list[str] = []
    for role, utterances in sets.items():
        if workspace.config.align.labels:
            known = dict(chain.from_iterable(read_labels(path, names) for path in files[role]))
            labelled: Any = ((u.id, known[u.id]) for u in utterances if u.id in known)
        else:
            labelled = label_frames(aligner, names, track(utterances, f"align {role}"), failed)
        write_labels(labels_path(workspace, role), names, labelled)
    for line in failed[:SHOWN]:
        tell(f"    {line}")
    training = [labels for _, labels in read_labels(labels_path(workspace, "train"), names)]
    if not training:
        raise DataError("no training utterance has frame labels", "see align.model and align.labels")
    LabelCounts.of(training, len(names.names)).save(folder / "counts.json")
    silence = sum(int((labels == 0).sum()) for labels in training) / sum(map(len, training))
    tell(f"  {len(names.names)} labels; {100 * silence:.0f} % of the training frames are {names.names[0]}")
