"""Stages that train the recogniser, and average its best checkpoints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asrkit.errors import DataError, ModelError, UsageError
from asrkit.files import atomic_write, write_json
from asrkit.learning.recipe.layout import (
    Prints,
    averaged,
    checked,
    labels_folder,
    labels_path,
    lm_folder,
    named_model,
    open_features,
)
from asrkit.learning.recipe.workspace import Workspace
from asrkit.progress import tell, track

if TYPE_CHECKING:
    from asrkit.config import TrainConfig
    from asrkit.learning.models.asr import AsrModel

PRIOR_UTTERANCES = 500  # from which token priors are estimated


def train(workspace: Workspace, prints: Prints) -> None:
    """Train from the last checkpoint, or from the start."""
    import torch

    from asrkit.learning.data.manifest import read_manifest
    from asrkit.learning.features.cmvn import Cmvn
    from asrkit.learning.features.frontend import filter_centres
    from asrkit.learning.lm.trigram import token_trigram
    from asrkit.learning.models.asr import build_model
    from asrkit.learning.report.attention import draw_attention
    from asrkit.learning.report.results import environment
    from asrkit.learning.training.data import SpeechSource
    from asrkit.learning.training.loop import train as run_training
    from asrkit.recognition.features.cmvn import CmvnStats
    from asrkit.recognition.text.labels import LabelSet, read_labels
    from asrkit.recognition.text.tokenizer import SOS_EOS, load_tokenizer

    config, folder = workspace.config, workspace.folder
    stats_path = workspace.shared("features", prints["features"]) / "cmvn.json"
    if os.environ.get("RANK", "0") == "0":
        claim(folder, prints["train"], workspace.force)
        write_json(folder / "checkpoints" / "env.json", environment())
        with atomic_write(folder / "cmvn.json") as file:
            file.write(stats_path.read_text(encoding="utf-8"))
    if workspace.processes > 1 and "WORLD_SIZE" not in os.environ:
        launch(workspace.processes)
        return
    tokens = load_tokenizer(folder / "tokenizer")
    cmvn = Cmvn(config.features.cmvn, CmvnStats.load(stats_path))
    names = LabelSet.load(labels_folder(workspace) / "labels.txt") if "frame" in config.model.heads else None

    def batches(role: str, sets: list[str]) -> SpeechSource:
        utterances = read_manifest(checked(workspace, role))
        features = open_features(workspace, prints, sets)
        labels = None
        if names is not None:
            labels = dict(read_labels(labels_path(workspace, role), names))
            unlabelled = [u.id for u in utterances if u.id not in labels]
            utterances = [u for u in utterances if u.id in labels]
            if unlabelled:
                tell(f"  {role}: {len(unlabelled)} utterances without labels are skipped")
        encoded = [tokens.encode(u.text) for u in utterances]
        return SpeechSource(utterances, encoded, features, cmvn, labels, filter_centres(config.features))

    torch.manual_seed(config.seed)
    model = build_model(config, len(tokens.tokens), len(names.names) if names else 0)
    if config.model.init:
        start_from(model, tokens.tokens, named_model(workspace, config.model.init))
    if config.model.decoder_from_lm:
        start_from_lm(model, workspace)
    tell(f"  {sum(p.numel() for p in model.parameters()):,} parameters")
    train_set, dev_set = batches("train", config.corpus.train), batches("dev", config.corpus.dev)
    if config.model.crf_weight > 0:
        model.trigram = token_trigram(train_set.tokens, len(tokens.tokens) - 2)
    shown = dev_set.typical(config.train.attention_maps) if "attention" in config.model.heads else []

    def draw(epoch: int) -> None:
        for item in shown:
            batch = dev_set.batch([item])
            draw_attention(
                model.attention_maps(batch)[0].mean(dim=0).numpy(),
                [tokens.tokens[i] for i in batch.tokens[0].tolist()] + [SOS_EOS],
                config.features.shift_ms / 1000 * model.stride,
                folder / "plots" / "attention" / batch.ids[0] / f"epoch-{epoch:03d}.png",
                f"{batch.ids[0]}, epoch {epoch}",
            )

    run_training(
        model,
        train_set,
        dev_set,
        config.train,
        config.augment,
        folder,
        seed=config.seed,
        device=workspace.device,
        after_epoch=draw,
    )


def start_from(model: AsrModel, tokens: Sequence[str], source: Path) -> None:
    """Initialise from another model; parts that differ in shape or in tokens keep their random weights.

    Raises:
        ModelError: `source` is not a model, or its encoder has another shape.
    """
    import torch

    from asrkit.recognition.recognizer import Recognizer

    other = Recognizer.load(source, device="cpu", lm=False)
    assert isinstance(other.model, torch.nn.Module)
    same = other.tokenizer.tokens == [*tokens]
    own = model.state_dict()
    fits = {
        name: tensor
        for name, tensor in other.model.state_dict().items()
        if name in own and own[name].shape == tensor.shape and (same or name.startswith("encoder."))
    }
    if differing := [name for name in own if name.startswith("encoder.") and name not in fits]:
        raise ModelError(
            f"{source} has another encoder: {differing[0]} differs",
            "use its settings of model and features; `asrkit info` shows them",
        )
    model.load_state_dict(own | fits)
    fresh = sum(tensor.numel() for name, tensor in own.items() if name not in fits)
    tell(f"  starts from {source}; {fresh:,} parameters are new")


def start_from_lm(model: AsrModel, workspace: Workspace) -> None:
    """Initialise the attention head from the language model; only its cross-attention is new."""
    from asrkit.learning.lm.neural import read_network
    from asrkit.recognition.stored_lm import WEIGHTS

    network = read_network(workspace.config.lm, lm_folder(workspace) / WEIGHTS, model.vocab)
    result = model.decoder.load_state_dict(network.decoder.state_dict(), strict=False)
    fresh = sum(model.decoder.get_parameter(name).numel() for name in result.missing_keys)
    tell(f"  the attention head starts from the language model; {fresh:,} parameters are new")


def claim(folder: Path, fingerprint: str, force: bool) -> None:
    """Refuse checkpoints of other settings below `folder`."""
    from asrkit.recognition.parts import checkpoints

    folder = folder / "checkpoints"
    if force:
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


def average(workspace: Workspace, prints: Prints) -> None:
    """Average the checkpoints of the best epochs on the dev set, and estimate the CTC head's priors."""
    from asrkit.learning.data.manifest import read_manifest
    from asrkit.recognition.parts import CTC_PRIOR
    from asrkit.recognition.recognizer import Recognizer

    average_best(workspace.folder / "checkpoints", averaged(workspace).parent, workspace.config.train)
    if "ctc" in workspace.config.model.heads:
        dev = read_manifest(checked(workspace, "dev"))[:PRIOR_UTTERANCES]
        prior = Recognizer.load(workspace.folder, device=workspace.device).mean_ctc_posterior(
            track(dev, "priors")
        )
        write_json(workspace.folder / CTC_PRIOR, [round(p, 8) for p in prior.tolist()])


def average_best(checkpoints_folder: Path, target: Path, config: TrainConfig) -> None:
    """Write the mean of the best checkpoints to the folder `target`.

    In 16 or 8 bits per weight, as in a bundle, so that the scored model is the packed one.
    """
    from asrkit.learning.models.weights import compact, save_weights
    from asrkit.learning.training.checkpoint import average as mean
    from asrkit.learning.training.checkpoint import read_state, step_folder
    from asrkit.recognition.parts import checkpoints

    steps = read_state(checkpoints(checkpoints_folder)[-1]).best(config.average)
    temporary = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    weights = mean([step_folder(checkpoints_folder, s) / "model.safetensors" for s in steps])
    save_weights(compact(weights, config.average_bits), temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.replace(target)
    tell(f"  mean of steps {', '.join(map(str, steps))}")
