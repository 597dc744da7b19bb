"""The training loop, whole, on one page.

Resuming is exact: every update draws its random numbers from the seed and its own number, batches follow
from the seed and the epoch, and a checkpoint holds the weights, the optimiser and the position. Under
``torchrun`` each process takes its share of every batch, so the loss is that of one process.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from asrkit.config import AugmentConfig, TrainConfig
from asrkit.errors import DataError
from asrkit.learning.models.asr import AsrModel
from asrkit.learning.training import processes
from asrkit.learning.training.checkpoint import TrainState, prune
from asrkit.learning.training.data import Item, Source
from asrkit.learning.training.evaluation import evaluate
from asrkit.learning.training.monitor import Monitor
from asrkit.learning.training.schedule import learning_rate
from asrkit.learning.training.update import Trainable, Updater
from asrkit.parallel import ahead
from asrkit.recognition.parts import checkpoints


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
    """Train `model` until the configured end, from the last checkpoint in `folder`, if any.

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
    updater = Updater(model, train_set, config, augment, seed=seed, device=device)
    saved = checkpoints(folder / "checkpoints")
    state = updater.restore(saved[-1]) if saved else TrainState()
    epoch_updates = partial(plan_updates, train_set, config, augment, seed)
    total = config.epochs * len(epoch_updates(0))
    total = min(total, config.max_steps) if config.max_steps else total
    updater.rehearse(max(chain(*epoch_updates(state.epoch)), key=train_set.cost), state.epoch)
    monitor = Monitor(folder, state, total, config, show=updater.rank == 0)
    since = time.monotonic() - state.seconds

    def save() -> None:
        state.seconds = time.monotonic() - since
        if updater.rank == 0:
            monitor.flush(state.finished)
            updater.save(folder / "checkpoints", state)
            prune(folder / "checkpoints", state, config.average)
        processes.wait()

    def over() -> bool:
        late = config.max_minutes > 0 and time.monotonic() - since >= 60 * config.max_minutes
        return processes.total([late], updater.device)[0] > 0 or 0 < config.max_steps <= state.step

    with monitor:
        while not state.finished:
            updates = epoch_updates(state.epoch)[state.batch :]
            load = partial(updater.load, epoch=state.epoch)
            batches = ahead(load, list(chain(*updates)), config.loaders)
            for group in updates:
                lr = learning_rate(config, state.step, total, state.plateau)
                gradient = updater.gradient(group, batches, state.step)
                if updater.apply(gradient, lr):
                    state.skipped = 0
                else:
                    ids = [train_set.utterances[i].id for i, _ in chain(*group)]
                    count_skipped(state, gradient.suspects or ids, config.nan_patience, monitor)
                state.step += 1
                state.batch += 1
                monitor.step(state, gradient, lr)
                if over():
                    break
                if state.step % config.save_steps == 0:
                    save()
            dev_loss, dev_error = evaluate(model, dev_set, config, updater.device, updater.precision)
            state.seconds = time.monotonic() - since
            end_epoch(state, config, dev_loss if by_loss(model) else dev_error, over())
            monitor.epoch(state, dev_loss=dev_loss, dev_error=dev_error)
            if updater.rank == 0:
                after_epoch(state.epoch)
            save()
    processes.end_processes()
    return state


def plan_updates(
    train_set: Source, config: TrainConfig, augment: AugmentConfig, seed: int, epoch: int
) -> list[list[list[Item]]]:
    """An epoch's updates, each a group of ``train.accumulate`` batches."""
    batches = train_set.plan(config.batch_seconds, speeds=augment.speeds, seed=seed, epoch=epoch)
    return [batches[i : i + config.accumulate] for i in range(0, len(batches), config.accumulate)]


def count_skipped(state: TrainState, suspects: Sequence[str], patience: int, monitor: Monitor) -> None:
    """Report an update that was skipped. Raises DataError when more than `patience` were, in a row."""
    state.skipped += 1
    message = f"the loss is not finite at step {state.step}; utterances: {', '.join(suspects)}"
    monitor.say(f"{message}; update skipped")
    if state.skipped > patience:
        raise DataError(
            f"{message}; {state.skipped} updates in a row", "lower train.lr, or look at these utterances"
        )


def by_loss(model: Trainable) -> bool:
    """Whether epochs are compared by loss: greedy decoding lacks the language model CTC-CRF counts on."""
    return isinstance(model, AsrModel) and model.trigram is not None


def end_epoch(state: TrainState, config: TrainConfig, dev_error: float, over: bool) -> None:
    """Move `state` to the next epoch, and decide about the learning rate and about stopping."""
    better = not state.dev or dev_error < min(error for _, error in state.dev)
    state.dev.append([state.step, dev_error])
    state.stalled = 0 if better else state.stalled + 1
    if config.schedule == "plateau" and state.stalled and state.stalled % (config.plateau_patience + 1) == 0:
        state.plateau /= 2
    state.epoch += 1
    state.batch = 0
    stop_early = 0 < config.early_stop <= state.stalled
    state.finished = over or stop_early or state.epoch >= config.epochs
