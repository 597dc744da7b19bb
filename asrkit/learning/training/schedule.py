"""Learning rate as a function of the update's number."""

import math

from asrkit.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, total: int, plateau: float = 1.0) -> float:
    """The rate of update `step` (from 0) out of `total`.

    - ``constant``: the peak after a linear warm-up.
    - ``noam``: inverse square root after a linear warm-up (Vaswani et al. 2017, equation 3), scaled so that
      its peak is ``train.lr``.
    - ``onecycle``: linear warm-up, then half a cosine down to zero (after Smith and Topin 2018).
    - ``plateau``: the peak times `plateau`, which the loop halves when the dev error stalls.
    """
    warm = max(1, config.warmup_steps)
    rising = min(1.0, (step + 1) / warm)
    if config.schedule == "noam":
        return config.lr * min((step + 1) / warm, math.sqrt(warm / (step + 1)))
    if config.schedule == "onecycle" and step >= warm:
        done = min(1.0, (step - warm) / max(1, total - warm))
        return config.lr * 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule == "plateau":
        return config.lr * rising * plateau
    return config.lr * rising
