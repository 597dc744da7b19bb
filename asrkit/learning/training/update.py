"""One update: the gradient of a group of batches, in one process or several, and the step."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel

from asrkit.config import AugmentConfig, TrainConfig
from asrkit.errors import ModelError
from asrkit.learning.hardware import autocast, choose_device, choose_precision
from asrkit.learning.lm.neural import NeuralLm
from asrkit.learning.models.asr import AsrModel, Batch, Loss
from asrkit.learning.training import processes
from asrkit.learning.training.checkpoint import TrainState, load_checkpoint, save_checkpoint
from asrkit.learning.training.data import Changes, Item, Source, step_seed

Trainable = AsrModel | NeuralLm


@dataclass(frozen=True)
class Gradient:
    """What an update's batches gave, over all processes. The gradient itself is in the parameters.

    Attributes:
        loss: mean over the utterances.
        utterances: their number.
        seconds: audio in them.
        norm: gradient norm before clipping.
        suspects: utterances of this process whose loss is not finite.
    """

    loss: float
    utterances: int
    seconds: float
    norm: float
    suspects: list[str]


class Updater:
    """Model, optimiser and loss scaler on their device, and this process's share of every batch.

    Args:
        model: recogniser or language model.
        train_set: utterances with features, or texts.
        config, augment: how to train.
        seed: the one source of randomness.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(
        self,
        model: Trainable,
        train_set: Source,
        config: TrainConfig,
        augment: AugmentConfig,
        *,
        seed: int,
        device: str,
    ) -> None:
        # oneDNN caches the code it compiled for this many shapes; its limit of 1024 is soon reached.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
        torch.set_flush_denormal(True)  # on the CPU, denormal gradients make an LSTM many times slower
        self.model, self.train_set = model, train_set
        self.config, self.augment, self.seed = config, augment, seed
        self.rank, self.world = processes.start_processes()
        self.device = choose_device(device)
        self.precision = choose_precision(config.precision, self.device)
        model.to(self.device).train()
        self.optimizer = make_optimizer(model, config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == torch.float16)
        self.parallel = (
            DistributedDataParallel(model, find_unused_parameters=skips(model)) if self.world > 1 else None
        )
        self.views = 2 if isinstance(model, AsrModel) and model.config.consistency > 0 else 1

    def save(self, folder: Path, state: TrainState) -> None:
        save_checkpoint(folder, self.model, self.optimizer, self.scaler, state)

    def restore(self, checkpoint: Path) -> TrainState:
        """Go on from a checkpoint. Raises ModelError when it does not fit."""
        return load_checkpoint(checkpoint, self.model, self.optimizer, self.scaler, self.device)

    def load(self, items: Sequence[Item], epoch: int) -> Batch:
        """This process's share of a batch; if it has none, one utterance with weight 0."""
        share = items[self.rank :: self.world] or items[:1]
        return self.train_set.batch(share, Changes(self.augment, self.seed, epoch, self.views))

    def backward(self, batch: Batch, scale: float, *, sync: bool = True) -> Loss:
        """Add `scale` times the gradient of a batch's loss; with `sync`, exchange it between processes."""
        with nullcontext() if sync or self.parallel is None else self.parallel.no_sync():
            with autocast(self.device, self.precision):
                loss: Loss = (self.parallel or self.model)(batch.to(self.device))
            torch.autograd.backward(self.scaler.scale(loss.total * scale))
        return loss

    def gradient(self, group: Sequence[Sequence[Item]], batches: Iterator[Batch], step: int) -> Gradient:
        """The gradient of the mean loss over a group of batches, clipped.

        Args:
            group: the utterances of each batch.
            batches: gives these batches, as :meth:`load` makes them.
            step: number of the update, which seeds dropout and the like.
        """
        torch.manual_seed(step_seed(self.seed, step, self.rank))
        utterances = sum(len(items) for items in group)
        sums, suspects = [0.0, 0.0], []
        for number, items in enumerate(group, start=1):
            batch = next(batches)
            shared = self.rank < len(items)
            # DDP takes the mean of the gradients over processes, the update the mean over utterances.
            scale = self.world / utterances if shared else 0.0
            loss = self.backward(batch, scale, sync=number == len(group))
            if shared:
                sums = [sums[0] + loss.total.item() / utterances, sums[1] + batch.seconds]
                losses = zip(batch.ids, loss.utterances.tolist(), strict=True)
                suspects += [id for id, x in losses if not math.isfinite(x)]
        self.scaler.unscale_(self.optimizer)
        clip = self.config.clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), clip).item()
        mean, seconds = processes.total(sums, self.device)
        return Gradient(mean, utterances, seconds, norm, suspects)

    def apply(self, gradient: Gradient, lr: float) -> bool:
        """Take a step with this learning rate, unless the loss or the gradient is not finite."""
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = lr
        finite = math.isfinite(gradient.loss) and (
            math.isfinite(gradient.norm) or self.scaler.is_enabled()  # the scaler skips such a step itself
        )
        if finite:
            self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return finite

    def rehearse(self, items: Sequence[Item], epoch: int) -> None:
        """Try the costliest batch without any effect. Raises ModelError when it does not fit."""
        averages = [buffer.clone() for buffer in self.model.buffers()]
        preflight(lambda: self.backward(self.load(items, epoch), 1.0), len(items))
        for buffer, before in zip(self.model.buffers(), averages, strict=True):
            buffer.copy_(before)  # undo the statistics of batch norm
        self.optimizer.zero_grad(set_to_none=True)


def preflight(attempt: Callable[[], object], utterances: int) -> None:
    """Try the costliest batch first, so that a lack of memory shows at once.

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


def skips(model: Trainable) -> bool:
    """Whether an update may leave parameters without a gradient."""
    drops = any(getattr(module, "layer_drop", 0) > 0 for module in model.modules())
    return drops or (isinstance(model, AsrModel) and model.config.lm_share > 0)


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
