"""The training loop, whole, on one page.

Resuming is exact: every update draws its random numbers from the seed and its own number, batches follow
from the seed and the epoch, and a checkpoint holds the weights, the optimiser and the position. Under
``torchrun`` each process takes its share of every batch, so the loss is that of one process.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from rapidfuzz.distance import Levenshtein
from torch.nn.parallel import DistributedDataParallel

from asrkit.cli.process import keep_freed_memory
from asrkit.config import AugmentConfig, TrainConfig
from asrkit.errors import DataError, ModelError
from asrkit.learning.hardware import autocast, choose_device, choose_precision
from asrkit.learning.lm.neural import NeuralLm
from asrkit.learning.models.asr import AsrModel, Batch, Loss
from asrkit.learning.training import processes
from asrkit.learning.training.checkpoint import (
    TrainState,
    load_checkpoint,
    prune,
    save_checkpoint,
)
from asrkit.learning.training.data import Changes, Item, Source, step_seed
from asrkit.learning.training.monitor import Monitor
from asrkit.learning.training.schedule import learning_rate
from asrkit.parallel import ahead
from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search
from asrkit.recognition.parts import checkpoints

Trainable = AsrModel | NeuralLm


def train(
    model: Trainable,
    train_set: Source,
    dev_set: Source,
    config: TrainConfig,
    augment: AugmentConfig,
    folder: Path,
    *,
    seed: int = 1,
    device: str = "auto",
    after_epoch: Callable[[int], None] = lambda _: None,
) -> TrainState:
    """Train `model` until the configured end, from the last checkpoint in `folder` if there is one.

    Args:
        model: recogniser or language model; left with the last update's weights.
        train_set, dev_set: utterances with features, or texts.
        config, augment: how to train.
        folder: receives ``checkpoints/``, ``metrics.jsonl``, ``train.log`` and ``plots/``.
        seed: the one source of randomness.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        after_epoch: called in the first process with the number of each epoch that ended, from 1.

    Raises:
        DataError: the loss stayed non-finite; the utterances are named.
        ModelError: not enough memory for the largest batch, or a checkpoint that does not fit.
    """
    rank, world = processes.start_processes()
    # oneDNN keeps the code it compiled for so many shapes; its own limit of 1024 is soon reached.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
    keep_freed_memory()
    torch.set_flush_denormal(True)  # on the CPU, denormals in its gradients slow an LSTM down many times
    place = choose_device(device)
    precision = choose_precision(config.precision, place)
    model.to(place).train()
    optimizer = make_optimizer(model, config)
    scaler = torch.amp.GradScaler(place.type, enabled=precision == torch.float16)
    wrapped = DistributedDataParallel(model, find_unused_parameters=skips(model)) if world > 1 else model

    def plan(epoch: int) -> list[list[list[Item]]]:
        """The epoch's updates, each a group of batches."""
        batches = train_set.plan(config.batch_seconds, speeds=augment.speeds, seed=seed, epoch=epoch)
        return [batches[i : i + config.accumulate] for i in range(0, len(batches), config.accumulate)]

    views = 2 if isinstance(model, AsrModel) and model.config.consistency > 0 else 1

    def load(items: list[Item], epoch: int) -> Batch:
        """This process's share of a batch; without a share, something to take part with."""
        share = items[rank::world] or items[:1]
        return train_set.batch(share, Changes(augment, seed, epoch, views))

    def backward(batch: Batch, scale: float, sync: bool = True) -> Loss:
        """Add `scale` times the gradient of a batch's loss."""
        with nullcontext() if sync or world == 1 else wrapped.no_sync():  # type: ignore[operator]
            with autocast(place, precision):
                loss: Loss = wrapped(batch.to(place))
            scaler.scale(loss.total * scale).backward()
        return loss

    state = TrainState()
    if found := checkpoints(folder / "checkpoints"):
        state = load_checkpoint(found[-1], model, optimizer, scaler, place)
    updates = plan(state.epoch)
    total = config.epochs * len(updates if state.epoch == 0 else plan(0))
    total = min(total, config.max_steps) if config.max_steps else total
    largest = max((items for group in updates for items in group), key=train_set.cost)
    averages = [buffer.clone() for buffer in model.buffers()]
    preflight(lambda: backward(load(largest, state.epoch), 1.0), len(largest))
    for buffer, before in zip(model.buffers(), averages, strict=True):
        buffer.copy_(before)  # batch norm has counted a batch that no update saw
    optimizer.zero_grad(set_to_none=True)
    monitor = Monitor(folder, state, total, config, show=rank == 0)
    since = time.monotonic() - state.seconds

    def save() -> None:
        state.seconds = time.monotonic() - since
        if rank == 0:
            monitor.flush(state.finished)
            save_checkpoint(folder / "checkpoints", model, optimizer, scaler, state)
            prune(folder / "checkpoints", state, config.average)
        processes.wait()

    def over() -> bool:
        late = config.max_minutes > 0 and time.monotonic() - since >= 60 * config.max_minutes
        return processes.total([late], place)[0] > 0 or 0 < config.max_steps <= state.step

    with monitor:
        while not state.finished:
            left = updates[state.batch :]
            batches = ahead(partial(load, epoch=state.epoch), list(chain(*left)), config.loaders)
            for group in left:
                rate = learning_rate(config, state.step, total, state.plateau)
                for parameters in optimizer.param_groups:
                    parameters["lr"] = rate
                torch.manual_seed(step_seed(seed, state.step, rank))
                weight = sum(len(items) for items in group)
                sums, bad = [0.0, 0.0], []
                for number, items in enumerate(group, start=1):
                    batch = next(batches)
                    shared = rank < len(items)
                    # DDP takes the mean of the gradients over processes, the update the mean over utterances.
                    scale = world / weight if shared else 0.0
                    loss = backward(batch, scale, sync=number == len(group))
                    if not shared:
                        continue
                    sums = [sums[0] + loss.total.item() / weight, sums[1] + batch.seconds]
                    bad += [
                        u
                        for u, x in zip(batch.ids, loss.utterances.tolist(), strict=True)
                        if not math.isfinite(x)
                    ]
                scaler.unscale_(optimizer)
                norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip or math.inf).item()
                mean_loss, seconds = processes.total(sums, place)
                if math.isfinite(mean_loss) and (math.isfinite(norm) or scaler.is_enabled()):
                    scaler.step(optimizer)
                    state.skipped = 0
                else:
                    state.skipped += 1
                    bad = bad or [train_set.utterances[i].id for items in group for i, _ in items]
                    message = f"the loss is not finite at step {state.step}; utterances: {', '.join(bad)}"
                    monitor.say(f"{message}; update skipped")
                    if state.skipped > config.nan_patience:
                        raise DataError(
                            f"{message}; {state.skipped} updates in a row",
                            "lower train.lr, or look at these utterances",
                        )
                scaler.update()
                optimizer.zero_grad(set_to_none=True)
                state.step += 1
                state.batch += 1
                monitor.step(
                    state, loss=mean_loss * weight, utterances=weight, lr=rate, norm=norm, audio=seconds
                )
                if over():
                    break
                if state.step % config.save_steps == 0:
                    save()
            dev_loss, dev_error = evaluate(model, dev_set, config, place, precision)
            state.seconds = time.monotonic() - since
            end_epoch(state, config, dev_loss if by_loss(model) else dev_error, over())
            monitor.epoch(state, dev_loss=dev_loss, dev_error=dev_error)
            if rank == 0:
                after_epoch(state.epoch)
            save()
            updates = plan(state.epoch)
    processes.end_processes()
    return state


def skips(model: Trainable) -> bool:
    """Whether an update may leave parameters without a gradient."""
    drops = any(getattr(module, "layer_drop", 0) > 0 for module in model.modules())
    return drops or (isinstance(model, AsrModel) and model.config.lm_share > 0)


def by_loss(model: Trainable) -> bool:
    """Whether epochs are compared by loss: greedy decoding lacks the language model CTC-CRF counts on."""
    return isinstance(model, AsrModel) and model.trigram is not None


def end_epoch(state: TrainState, config: TrainConfig, dev_error: float, over: bool) -> None:
    """Move `state` to the next epoch, and decide about the rate and about stopping."""
    better = not state.dev or dev_error < min(error for _, error in state.dev)
    state.dev.append([state.step, dev_error])
    state.stalled = 0 if better else state.stalled + 1
    if config.schedule == "plateau" and state.stalled and state.stalled % (config.plateau_patience + 1) == 0:
        state.plateau /= 2
    state.epoch += 1
    state.batch = 0
    stop_early = 0 < config.early_stop <= state.stalled
    state.finished = over or stop_early or state.epoch >= config.epochs


@torch.no_grad()
def evaluate(
    model: Trainable, dev_set: Source, config: TrainConfig, device: torch.device, precision: torch.dtype
) -> tuple[float, float]:
    """Mean loss per utterance and error rate on `dev_set`, of which each process takes a share.

    With CTC alone, the error rate is that of greedy decoding. Other heads, and language models, are measured
    by the share of labels that they do not expect: of tokens, given those before, or of frames.
    """
    model.eval()
    loss, errors, counted = 0.0, 0, 0
    rank, world = processes.start_processes()
    plan = dev_set.plan(config.batch_seconds, shuffle=False)[rank::world]
    for items, made in zip(plan, ahead(dev_set.batch, plan, config.loaders), strict=True):
        batch = made.to(device)
        with autocast(device, precision):
            if isinstance(model, NeuralLm):
                loss += model.loss(batch).total.item()
                scores, targets = model.expected(batch)
            else:
                encoded = model.encode(batch.feats, batch.feat_lens)
                loss += model.loss(batch, encoded).total.item()
                if model.heads == {"ctc"}:
                    log_probs, lens = model.ctc_log_probs(encoded)
                    nbests = ctc_greedy_search(log_probs.cpu().numpy(), lens.cpu().numpy(), frame_seconds=1.0)
                    for (index, _), nbest in zip(items, nbests, strict=True):
                        errors += Levenshtein.distance(dev_set.tokens[index], nbest[0].tokens)
                        counted += len(dev_set.tokens[index])
                    continue
                scores, targets = model.expected(batch, encoded)
        errors += int(((scores.argmax(dim=-1) != targets) & (targets >= 0)).sum())
        counted += int((targets >= 0).sum())
    model.train()
    loss, wrong, asked = processes.total([loss, errors, counted], device)
    return loss / max(1, len(dev_set.utterances)), wrong / max(1.0, asked)


def make_optimizer(model: Trainable, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) or SGD with momentum; biases and norms are not decayed."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=0.9)
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), fused=fused)


def preflight(attempt: Callable[[], object], utterances: int) -> None:
    """Try the costliest batch first, so that memory runs out now and not in an hour.

    Raises:
        ModelError: it did not fit.
    """
    try:
        attempt()
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error).lower():
            raise
        raise ModelError(
            f"the largest batch ({utterances} utterances) does not fit into memory",
            "lower train.batch_seconds, and raise train.accumulate by as much",
        ) from error
