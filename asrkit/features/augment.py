"""Augmentation of training data: speed perturbation of the audio, SpecAugment of the features."""

from __future__ import annotations

import math

import numpy as np
import soxr
import torch
from torch import Tensor

from asrkit.config import AugmentConfig


def spec_augment(feats: Tensor, generator: torch.Generator, config: AugmentConfig) -> Tensor:
    """Mask random stretches of time and bands of frequency with 0, the mean of normalised features.

    SpecAugment (Park et al. 2019, section 2) without time warping: a mask's width is uniform from 0 to
    its limit, its place uniform among those where it fits. The time limit is a share of the utterance
    (their p), so that short utterances keep most of their frames.

    Args:
        feats: normalised features f32[T, F] of one utterance, without padding.
        generator: the only source of randomness.
        config: how many masks, and how wide.

    Returns:
        Masked copy, f32[T, F].
    """
    feats = feats.clone()
    frames, bins = feats.shape
    for _ in range(config.time_masks):
        feats[_stretch(frames, int(config.time_width * frames), generator)] = 0.0
    for _ in range(config.freq_masks):
        feats[:, _stretch(bins, min(config.freq_width, bins), generator)] = 0.0
    return feats


def _stretch(size: int, widest: int, generator: torch.Generator) -> slice:
    width = int(torch.randint(widest + 1, (), generator=generator))
    start = int(torch.randint(size - width + 1, (), generator=generator))
    return slice(start, start + width)


def change_volume(feats: Tensor, generator: torch.Generator, config: AugmentConfig) -> Tensor:
    """Log-mel energies f32[T, F] of an utterance made louder or softer by up to ``volume_db`` dB.

    A gain adds the same to the logarithm of every energy.
    """
    decibel = (2 * torch.rand((), generator=generator) - 1) * config.volume_db
    return feats + decibel * (math.log(10) / 10)


def speed_perturb(wave: np.ndarray, factor: float, sample_rate: int) -> np.ndarray:
    """Play audio faster or slower; tempo and pitch change together (Ko et al. 2015; sox's ``speed``).

    Args:
        wave: samples f32[N].
        factor: 1.1 is 10 % faster, and so much shorter.
        sample_rate: Hz, before and after.

    Returns:
        f32[round(N / factor)]
    """
    length = round(len(wave) / factor)
    played = soxr.resample(wave, sample_rate * factor, sample_rate)[:length]
    return np.pad(played, (0, length - len(played)))
