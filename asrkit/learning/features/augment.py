"""Augmentation of training data: speed perturbation of audio, and changes to features."""

import math

import numpy as np
import soxr
import torch
from torch import Tensor

from asrkit.config import AugmentConfig


def spec_augment(feats: Tensor, generator: torch.Generator, config: AugmentConfig) -> Tensor:
    """Set random stretches of time and bands of frequency to 0, the mean of normalised features.

    SpecAugment (Park et al. 2019, section 2) without time warping: a mask's width is uniform from 0 to
    its limit, its start uniform where it fits. The time limit is a share of the utterance
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
        feats[_random_span(frames, int(config.time_width * frames), generator)] = 0.0
    for _ in range(config.freq_masks):
        feats[:, _random_span(bins, min(config.freq_width, bins), generator)] = 0.0
    return feats


def _random_span(size: int, widest: int, generator: torch.Generator) -> slice:
    width = int(torch.randint(widest + 1, (), generator=generator))
    start = int(torch.randint(size - width + 1, (), generator=generator))
    return slice(start, start + width)


def distort(
    feats: Tensor, generator: torch.Generator, config: AugmentConfig, centres: np.ndarray | None = None
) -> Tensor:
    """Augment the log-mel energies of an utterance with VTLP, reverberation, noise and gain.

    VTLP is :func:`warp`. Powers of speech, echo and noise add up in a band on average, so the others need no
    audio either. The room is a tail of power that decays exponentially (Polack's model; Lebart et al., "A new
    method based on spectral subtraction for speech dereverberation", 2001), 0 to 15 dB softer than the
    speech. The noise is stationary, with a random tilt of up to 20 dB over the band. A gain adds a constant
    to every logarithm.

    Args:
        feats: natural logarithms of powers f32[T, F] of one utterance, before normalisation.
        generator: the only source of randomness.
        config: probabilities and ranges.
        centres: of the F filters in Hz, for VTLP.
    """

    def draw(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    if config.warp and centres is not None:
        feats = warp(feats, draw(1 - config.warp, 1 + config.warp), centres)
    if config.reverb_share and draw(0, 1) < config.reverb_share:
        decay = 10 ** (-6 / draw(config.reverb_frames / 4, config.reverb_frames))
        share = 10 ** (-draw(0, 15) / 10) * (1 - decay)
        dry = feats.exp().numpy()
        echo = np.zeros_like(dry)
        for t in range(1, len(dry)):
            echo[t] = decay * echo[t - 1] + share * dry[t - 1]
        feats = torch.from_numpy(dry + echo).log()
    if config.noise_share and draw(0, 1) < config.noise_share:
        power = feats.exp()
        tilt = draw(-20, 20) * torch.linspace(-0.5, 0.5, feats.shape[1])
        flutter = -torch.rand((4, *feats.shape), generator=generator).clamp(min=1e-6).log().mean(dim=0)
        noise = flutter * 10 ** (tilt / 10)
        ratio = 10 ** (-draw(config.noise_snr_db, config.noise_snr_db + 20) / 10)
        feats = (power + noise * (ratio * power.mean() / noise.mean())).log()
    if config.volume_db:
        feats = feats + draw(-config.volume_db, config.volume_db) * (math.log(10) / 10)
    return feats


def warp(feats: Tensor, factor: float, centres: np.ndarray) -> Tensor:
    """Stretch the frequency axis of log-mel energies like a vocal tract of another length.

    Vocal tract length perturbation (Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves
    speech recognition", 2013, section 3): f Hz is mapped to f / `factor`; above 4800 Hz the map is
    bent so that the upper end is fixed. Values between filters are interpolated.

    Args:
        feats: f32[T, F].
        factor: about 1.
        centres: of the filters in Hz, f64[F], rising.
    """
    top = centres[-1]
    bend = min(4800.0, 0.6 * top) * min(factor, 1)
    slope = (top - bend) / (top - bend / factor)
    sources = np.where(centres <= bend / factor, factor * centres, top - slope * (top - centres))
    positions = np.interp(sources, centres, np.arange(len(centres)))
    below = np.minimum(positions.astype(np.int64), len(centres) - 2)
    share = torch.from_numpy((positions - below).astype(np.float32))
    return feats[:, below] * (1 - share) + feats[:, below + 1] * share


def speed_perturb(wave: np.ndarray, factor: float, sample_rate: int) -> np.ndarray:
    """Play audio faster or slower; tempo and pitch change together (Ko et al. 2015; sox's ``speed``).

    Args:
        wave: samples f32[N].
        factor: 1.1 is 10 % faster and shorter.
        sample_rate: Hz, before and after.

    Returns:
        f32[round(N / factor)]
    """
    length = round(len(wave) / factor)
    played = soxr.resample(wave, sample_rate * factor, sample_rate)[:length]
    return np.pad(played, (0, length - len(played)))
