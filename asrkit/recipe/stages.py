"""The stages of every recipe: from a corpus to a scored and packed recogniser.

One implementation serves all recipes; what differs between them is their configuration and the corpus
reader it names. Heavy imports happen inside the stages so that planning stays quick.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrkit.config import to_yaml
from asrkit.errors import DataError, UsageError
from asrkit.files import atomic_write, write_json
from asrkit.progress import track, transfer
from asrkit.recipe.plan import Stage
from asrkit.recipe.workspace import Workspace

if TYPE_CHECKING:
    from asrkit.data.utterance import Utterance

Prints = dict[str, str]

SHOWN = 20  # names of left out utterances that are printed; all are in a file


# ---- 0 download


def source_path(workspace: Workspace) -> Path:
    """Where the corpus is, or will be once it is downloaded."""
    from asrkit.data.corpora import CORPORA, locate

    corpus = CORPORA[workspace.config.corpus.name]
    found = locate(corpus, workspace.config.corpus.path, workspace.data_root, workspace.recipe)
    return found or workspace.exp / "data" / "download" / Path(corpus.default_path).name


def download(workspace: Workspace, prints: Prints) -> None:
    from asrkit.data.corpora import CORPORA
    from asrkit.data.download import download as fetch

    settings = workspace.config.corpus
    corpus, target = CORPORA[settings.name], source_path(workspace)
    if target.exists():
        return
    url = settings.url or corpus.url
    if not url:
        raise DataError(f"the corpus {settings.name} is not found", corpus.where)
    with transfer(f"download {target.name}") as progress:
        fetch(url, target, settings.sha256 or corpus.sha256, progress)


def corpus_state(workspace: Workspace) -> Any:
    """Path, size and date of the corpus: what `prepare` depends on."""
    path = source_path(workspace)
    if not path.exists():
        return str(path)
    status = path.stat()
    return [str(path.resolve()), status.st_size if path.is_file() else 0, int(status.st_mtime)]


# ---- 1 prepare


def manifest(workspace: Workspace, prints: Prints, name: str) -> Path:
    return workspace.shared("prepare", prints["prepare"]) / f"{name}.jsonl.gz"


def prepare(workspace: Workspace, prints: Prints) -> None:
    """Read the corpus into manifests, one a subset, with normalised text."""
    from dataclasses import replace

    from asrkit.data.corpora import CORPORA, Skipped
    from asrkit.data.manifest import write_manifest
    from asrkit.text.normalize import normalize

    config = workspace.config
    corpus = CORPORA[config.corpus.name]
    folder = workspace.shared("prepare", prints["prepare"])
    for name in workspace.sets:
        skipped: list[Skipped] = []
        found = corpus.prepare(
            source_path(workspace), name, folder / "audio", config.features.sample_rate, skipped
        )
        utterances = [replace(u, text=normalize(u.text, config.text.normalizer)) for u in track(found, name)]
        if not utterances:
            raise DataError(
                f"no utterances in subset {name!r} of {source_path(workspace)}",
                "look at corpus.path, corpus.train, corpus.dev and corpus.test",
            )
        with atomic_write(folder / f"{name}.skipped.jsonl") as file:
            file.writelines(json.dumps({"id": s.id, "reason": s.reason}) + "\n" for s in skipped)
        write_manifest(manifest(workspace, prints, name), utterances)
        hours = sum(u.duration for u in utterances) / 3600
        tell(f"  {name}: {len(utterances)} utterances, {hours:.2f} h")
        if skipped:
            tell(f"  {name}: {len(skipped)} entries left out, see {folder / name}.skipped.jsonl")
        for item in skipped[:SHOWN]:
            tell(f"    {item.id}: {item.reason}")


def utterances_of(workspace: Workspace, prints: Prints, names: list[str]) -> list[Utterance]:
    from asrkit.data.manifest import read_manifest

    return [u for name in names for u in read_manifest(manifest(workspace, prints, name))]


# ---- 2 tokenizer


def tokenizer(workspace: Workspace, prints: Prints) -> None:
    """Learn the token inventory from the training text alone."""
    from asrkit.text.tokenizer import build_tokenizer

    texts = [u.text for u in utterances_of(workspace, prints, workspace.config.corpus.train)]
    built = build_tokenizer(workspace.config.text, texts, workspace.recipe)
    built.save(workspace.folder / "tokenizer")
    tell(f"  {len(built.tokens)} tokens ({built.kind})")


# ---- 3 features


def store_folder(workspace: Workspace, prints: Prints, name: str) -> Path:
    return workspace.shared("features", prints["features"]) / name


def features(workspace: Workspace, prints: Prints) -> None:
    """Compute the training and dev features at every speed, and the statistics for CMVN."""
    import torch

    from asrkit.data.audio import read_audio
    from asrkit.features.augment import speed_perturb
    from asrkit.features.cmvn import CmvnStats
    from asrkit.features.frontend import Frontend
    from asrkit.features.store import FeatureStore, write_store

    config = workspace.config
    frontend = Frontend(config.features)
    rate = config.features.sample_rate
    stats = CmvnStats(frontend.dim)
    training = set(config.corpus.train)
    for name in dict.fromkeys([*config.corpus.train, *config.corpus.dev]):
        folder = store_folder(workspace, prints, name)
        speeds = sorted({1.0, *config.augment.speeds}) if name in training else [1.0]
        unreadable: dict[str, str] = {}

        def compute(
            name: str = name, speeds: list[float] = speeds, unreadable: dict[str, str] = unreadable
        ) -> Any:
            for utterance in track(utterances_of(workspace, prints, [name]), name):
                try:
                    wave = read_audio(utterance.audio, rate, utterance.start, utterance.duration)
                except DataError as error:
                    unreadable[utterance.id] = error.message
                    continue
                for speed in speeds:
                    samples = torch.from_numpy(wave if speed == 1 else speed_perturb(wave, speed, rate))[None]
                    feats, _ = frontend(samples, torch.tensor([samples.shape[1]]))
                    yield utterance.id, speed, feats[0].numpy()

        if workspace.force or not (folder / "unreadable.json").exists():
            write_store(folder, frontend.dim, compute())
            write_json(folder / "unreadable.json", unreadable)
        if name in training:
            store = FeatureStore(folder)
            for utterance in utterances_of(workspace, prints, [name]):
                if (utterance.id, 1.0) in store:
                    stats.update(store.read(utterance.id))
    stats.save(workspace.shared("features", prints["features"]) / "cmvn.json")


# ---- 4 check


def check(workspace: Workspace, prints: Prints) -> None:
    """Name every utterance that would hurt training, and keep the others."""
    import numpy as np

    from asrkit.data.manifest import write_manifest
    from asrkit.features.store import FeatureStore
    from asrkit.models.asr import build_model
    from asrkit.recipe.check import apply_policy, find_problems, summary
    from asrkit.text.tokenizer import load_tokenizer

    config = workspace.config
    tokens = load_tokenizer(workspace.folder / "tokenizer")
    output_frames = build_model(config, len(tokens.tokens)).output_frames
    for role, names in (("train", config.corpus.train), ("dev", config.corpus.dev)):
        kept: list[Utterance] = []
        for name in dict.fromkeys(names):
            folder = store_folder(workspace, prints, name)
            store = FeatureStore(folder)
            unreadable = json.loads((folder / "unreadable.json").read_text(encoding="utf-8"))
            slowest = max(config.augment.speeds) if role == "train" else 1.0

            def read(
                utterance: Utterance,
                store: FeatureStore = store,
                unreadable: dict[str, str] = unreadable,
                speed: float = slowest,
            ) -> np.ndarray:
                if utterance.id in unreadable:
                    raise DataError(unreadable[utterance.id])
                return store.read(utterance.id, speed)

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
            raise DataError(f"no utterance is left to {role} on", f"see {workspace.folder / 'check'}")
        write_manifest(checked(workspace, role), kept)


def checked(workspace: Workspace, role: str) -> Path:
    """The manifest of what survived the check."""
    return workspace.folder / "check" / f"{role}.jsonl.gz"


# ---- 6 train, 7 average


def train(workspace: Workspace, prints: Prints) -> None:
    """Train from the last checkpoint, or from the start."""
    import torch

    from asrkit.data.manifest import read_manifest
    from asrkit.features.cmvn import Cmvn, CmvnStats
    from asrkit.features.store import FeatureStore
    from asrkit.models.asr import build_model
    from asrkit.text.tokenizer import load_tokenizer
    from asrkit.training.data import BatchSource
    from asrkit.training.loop import train as run_training

    config, folder = workspace.config, workspace.folder
    stats_path = workspace.shared("features", prints["features"]) / "cmvn.json"
    if os.environ.get("RANK", "0") == "0":
        claim(workspace, prints["train"])
        with atomic_write(folder / "cmvn.json") as file:
            file.write(stats_path.read_text(encoding="utf-8"))
    if workspace.processes > 1 and "WORLD_SIZE" not in os.environ:
        launch(workspace.processes)
        return
    tokens = load_tokenizer(folder / "tokenizer")
    cmvn = Cmvn(config.features.cmvn, CmvnStats.load(stats_path))

    def batches(role: str, names: list[str]) -> BatchSource:
        utterances = read_manifest(checked(workspace, role))
        store = FeatureStore(*(store_folder(workspace, prints, n) for n in dict.fromkeys(names)))
        return BatchSource(utterances, [tokens.encode(u.text) for u in utterances], store, cmvn)

    torch.manual_seed(config.seed)
    model = build_model(config, len(tokens.tokens))
    tell(f"  {sum(p.numel() for p in model.parameters()):,} parameters")
    run_training(
        model,
        batches("train", config.corpus.train),
        batches("dev", config.corpus.dev),
        config.train,
        config.augment,
        folder,
        seed=config.seed,
        device=workspace.device,
    )


def claim(workspace: Workspace, fingerprint: str) -> None:
    """Make sure that the checkpoints in this experiment, if any, are of these settings."""
    from asrkit.training.checkpoint import checkpoints

    folder = workspace.folder / "checkpoints"
    if workspace.force:
        shutil.rmtree(folder, ignore_errors=True)
    mark = folder / "fingerprint"
    if checkpoints(folder) and mark.read_text(encoding="utf-8").strip() != fingerprint:
        raise UsageError(
            f"{folder} holds a training with other settings",
            "choose another --tag, or --force to train again from the start",
        )
    with atomic_write(mark) as file:
        file.write(fingerprint + "\n")


def launch(count: int) -> None:
    """Run this command's train stage in `count` processes under torchrun."""
    words = [word for word in sys.argv[1:] if word != "--force"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            f"--nproc-per-node={count}",
            "-m",
            "asrkit",
            *words,
            "--stage",
            "train",
            "--stop-stage",
            "train",
        ],
        check=False,
    )
    if done.returncode:
        raise DataError(
            f"training in {count} processes ended with code {done.returncode}", "see the messages above"
        )


def averaged(workspace: Workspace) -> Path:
    return workspace.folder / "checkpoints" / "averaged" / "model.safetensors"


def average(workspace: Workspace, prints: Prints) -> None:
    """Average the checkpoints of the best epochs on the dev set."""
    from asrkit.training.checkpoint import average as mean
    from asrkit.training.checkpoint import checkpoints, read_state, save_weights, step_folder

    folder, target = workspace.folder / "checkpoints", averaged(workspace).parent
    steps = read_state(checkpoints(folder)[-1]).best(workspace.config.train.average)
    temporary = target.with_name(".averaged.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    save_weights(mean([step_folder(folder, step) / "model.safetensors" for step in steps]), temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.replace(target)
    tell(f"  mean of steps {', '.join(map(str, steps))}")


# ---- 8 decode, 9 score, 10 pack


def decoders(workspace: Workspace) -> list[str]:
    decode = workspace.config.decode
    return list(dict.fromkeys([decode.decoder, *decode.also]))


def reported_sets(workspace: Workspace) -> list[str]:
    corpus = workspace.config.corpus
    return list(dict.fromkeys([*corpus.dev, *corpus.test]))


def decode_folder(workspace: Workspace, decoder: str, name: str) -> Path:
    return workspace.folder / "decode" / decoder / name


def decode(workspace: Workspace, prints: Prints) -> None:
    """Decode dev and test sets from their audio, just as `asrkit decode` does."""
    from dataclasses import replace

    from asrkit.recognizer import Recognizer
    from asrkit.report.transcripts import write_decoded

    recognizer = Recognizer.load(workspace.folder, device=workspace.device)
    for decoder in decoders(workspace):
        recognizer.settings = replace(workspace.config.decode, decoder=decoder)
        for name in reported_sets(workspace):
            utterances = sorted(utterances_of(workspace, prints, [name]), key=lambda u: u.duration)
            results = track(recognizer.transcribe_many(utterances), f"{decoder} {name}", len(utterances))
            failed = write_decoded(decode_folder(workspace, decoder, name), utterances, results)
            if failed:
                tell(f"  {name}: {len(failed)} utterances could not be read and count as empty")
            for line in failed[:SHOWN]:
                tell(f"    {line}")


def score(workspace: Workspace, prints: Prints) -> None:
    """Count errors, write the detailed reports and RESULTS.md."""
    from asrkit.recipe.outcome import score_recipe

    for line in score_recipe(
        workspace,
        {
            (decoder, name): decode_folder(workspace, decoder, name)
            for decoder in decoders(workspace)
            for name in reported_sets(workspace)
        },
        {name: utterances_of(workspace, prints, [name]) for name in workspace.sets},
    ):
        tell(f"  {line}")


def pack(workspace: Workspace, prints: Prints) -> None:
    """Put all that decoding needs into one file."""
    from asrkit.recipe.outcome import model_card
    from asrkit.recognizer import pack_experiment

    tell(f"  {pack_experiment(workspace.folder, bundle_path(workspace), model_card(workspace))}")


def bundle_path(workspace: Workspace) -> Path:
    return workspace.folder / f"{workspace.exp.name}.asrkit"


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def start(workspace: Workspace) -> None:
    """Write what identifies this run: config.yaml and env.json."""
    from asrkit.report.results import environment

    with atomic_write(workspace.folder / "config.yaml") as file:
        file.write(to_yaml(workspace.config))
    write_json(workspace.folder / "env.json", environment())


STAGES: tuple[Stage, ...] = (
    Stage(
        0,
        "download",
        "find the corpus, or download it",
        ("corpus.name", "corpus.path", "corpus.url"),
        (),
        download,
        lambda w, p: [source_path(w)],
        addressed=True,
    ),
    Stage(
        1,
        "prepare",
        "read the corpus into manifests",
        ("corpus", "text.normalizer", "features.sample_rate"),
        ("download",),
        prepare,
        lambda w, p: [manifest(w, p, n) for n in w.sets],
        corpus_state,
        addressed=True,
    ),
    Stage(
        2,
        "tokenizer",
        "learn the token inventory",
        ("text",),
        ("prepare",),
        tokenizer,
        lambda w, p: [w.folder / "tokenizer" / "tokens.txt"],
    ),
    Stage(
        3,
        "features",
        "compute features at every speed",
        ("features", "augment.speeds"),
        ("prepare",),
        features,
        lambda w, p: [w.shared("features", p["features"]) / "cmvn.json"],
        addressed=True,
    ),
    Stage(
        4,
        "check",
        "name every utterance that would hurt training",
        ("check", "model", "augment.speeds"),
        ("tokenizer", "features"),
        check,
        lambda w, p: [checked(w, "train"), checked(w, "dev")],
    ),
    # 5 is kept for language models.
    Stage(
        6,
        "train",
        "train the model",
        (
            "model",
            "augment",
            "features.cmvn",
            "seed",
            "train",
            "-train.average",
            "-train.tensorboard",
            "-train.log_steps",
            "-train.save_steps",
        ),
        ("check",),
        train,
        lambda w, p: [w.folder / "checkpoints" / "fingerprint", w.folder / "cmvn.json"],
    ),
    Stage(
        7,
        "average",
        "average the best checkpoints",
        ("train.average",),
        ("train",),
        average,
        lambda w, p: [averaged(w)],
    ),
    Stage(
        8,
        "decode",
        "decode the dev and test sets",
        ("decode",),
        ("average",),
        decode,
        lambda w, p: [decode_folder(w, d, n) / "hyp.trn" for d in decoders(w) for n in reported_sets(w)],
    ),
    Stage(
        9,
        "score",
        "count errors and write RESULTS.md",
        ("score",),
        ("decode",),
        score,
        lambda w, p: [w.folder / "RESULTS.md"],
    ),
    Stage(
        10, "pack", "put the recogniser into one file", (), ("average",), pack, lambda w, p: [bundle_path(w)]
    ),
)
