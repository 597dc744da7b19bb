"""The front end: from samples to log-mel filter banks or cepstra, the same in training, decoding and export.

===== ===================================================== ========================================
kind  what it equals                                        frames of an utterance of n samples
===== ===================================================== ========================================
fbank Kaldi's ``compute-fbank-feats`` without dither        those that fit whole (``snip_edges``)
mfcc  Kaldi's ``compute-mfcc-feats --use-energy=false``     those that fit whole
mel   logarithm of ``librosa.feature.melspectrogram``       1 + n // shift, centred, zeros outside
===== ===================================================== ========================================

Kaldi counts samples as 16-bit integers, so fbank and mfcc are those of the audio times 32768. The FFT is
the window's length rounded up to a power of two.
"""

import math
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from asrkit.config import FeatureConfig
from asrkit.learning.padding import valid_mask

FRAMES_AT_ONCE = 192  # their spectra fit a core's cache, and little memory is allocated
LIFTER = 22

Count = TypeVar("Count", int, Tensor)


class Frontend(torch.nn.Module):
    """Log-mel or cepstral features of a padded batch of audio.

    Attributes:
        dim: features per frame, F.
        frame_seconds: seconds from one frame to the next.
    """

    window: Tensor
    filters: Tensor
    cosines: Tensor | None

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        rate, bins = config.sample_rate, config.mel_bins
        self.kaldi = config.kind != "mel"
        self.preemphasis = config.preemphasis
        self.window_size = int(rate * 0.001 * config.frame_ms)
        self.shift = int(rate * 0.001 * config.shift_ms)
        self.fft_size = 1 << (self.window_size - 1).bit_length()
        self.frame_seconds = self.shift / rate
        cosines = None
        if self.kaldi:
            self.floor = torch.finfo(torch.float32).eps
            window = 32768 * povey_window(self.window_size)[1:]  # 0 at the sample without a predecessor
            filters = kaldi_filters(rate, self.fft_size, bins, config.low_hz, config.top_hz)
        else:
            from librosa.filters import mel

            self.floor = 1e-10
            window = torch.hann_window(self.window_size)
            slaney = mel(sr=rate, n_fft=self.fft_size, n_mels=bins, fmin=config.low_hz, fmax=config.top_hz)
            filters = torch.from_numpy(slaney.T)
        if config.kind == "mfcc":
            cosines = liftered_dct(bins, config.cepstra).float()
        self.dim = config.dim
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("filters", filters.float().contiguous(), persistent=False)
        self.register_buffer("cosines", cosines, persistent=False)

    def num_frames(self, samples: Count) -> Count:
        """Frames of an utterance of `samples` samples (an int, or int64[B])."""
        first = self.window_size if self.kaldi else 0
        frames = (samples - first) // self.shift + 1
        return frames.clamp(min=0) if isinstance(frames, Tensor) else max(frames, 0)

    def forward(self, wave: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features of a batch; padding never changes them.

        Args:
            wave: samples f32[B, N] in −1..1; what lies beyond an utterance's length is not looked at.
            lens: samples of each utterance, int64[B].

        Returns:
            Features f32[B, T, F], T as for N samples, exactly 0 beyond an utterance's frames; and
            frames of each, int64[B].
        """
        batch, samples = wave.shape
        frames, feat_lens = self.num_frames(samples), self.num_frames(lens)
        if not self.kaldi:
            left = self.fft_size // 2 - (self.fft_size - self.window_size) // 2
            wave = wave.masked_fill(~valid_mask(lens, samples), 0.0)
            wave = pad(wave, (left, self.window_size - left))
        if torch.compiler.is_compiling():  # an exported graph has no loop over a length it does not know
            feats = self._analyse(wave.unfold(1, self.window_size, self.shift))
        else:
            feats = wave.new_empty(batch, frames, self.dim)
            step = max(1, FRAMES_AT_ONCE // max(1, batch))
            for first in range(0, frames, step):
                block = slice(first, first + step)
                feats[:, block] = self._analyse(wave.unfold(1, self.window_size, self.shift)[:, block])
        padding = ~valid_mask(feat_lens, frames)
        return feats.masked_fill_(padding[..., None], 0.0), feat_lens

    def _analyse(self, frames: Tensor) -> Tensor:
        """Features f32[B, T, F] of raw frames f32[B, T, window]."""
        if self.kaldi:
            frames = frames - frames.mean(-1, keepdim=True)
            frames = torch.sub(frames[..., 1:], frames[..., :-1], alpha=self.preemphasis)
        spectrum = torch.fft.rfft(frames * self.window, n=self.fft_size)
        power = spectrum.real.square() + spectrum.imag.square()
        feats = (power @ self.filters).clamp(min=self.floor).log()
        result: Tensor = feats if self.cosines is None else feats @ self.cosines
        return result


class GivenFeatures(torch.nn.Module):
    """The front end of a corpus that has features in place of audio: they pass as they are."""

    def __init__(self, config: FeatureConfig) -> None:
        super().__init__()
        self.dim = config.dim
        self.frame_seconds = config.shift_ms / 1000

    def num_frames(self, frames: Count) -> Count:
        return frames

    def forward(self, feats: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
        """Features f32[B, T, F] and frames of each int64[B], exactly 0 beyond an utterance's frames."""
        return feats.masked_fill(~valid_mask(lens, feats.shape[1])[..., None], 0.0), lens


def make_frontend(config: FeatureConfig) -> Frontend | GivenFeatures:
    """The front end for a kind of features."""
    return GivenFeatures(config) if config.kind == "given" else Frontend(config)


def povey_window(size: int) -> Tensor:
    """Kaldi's default window, f64[size]: a Hann window to the power 0.85 (``feat/feature-window.cc``)."""
    return torch.hann_window(size, periodic=False, dtype=torch.float64) ** 0.85


def kaldi_filters(rate: int, fft_size: int, bins: int, low_hz: float, high_hz: float) -> Tensor:
    """Kaldi's mel filters f64[fft_size // 2 + 1, bins] (``feat/mel-computations.cc``).

    Triangles of height 1, straight on the scale mel = 1127 ln(1 + Hz / 700), in even steps from `low_hz`
    to `high_hz`.
    """
    edges = kaldi_edges(bins, low_hz, high_hz)
    hz = torch.arange(fft_size // 2 + 1, dtype=torch.float64) * rate / fft_size
    mel = (1127 * torch.log1p(hz / 700))[:, None]
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0)


def kaldi_edges(bins: int, low_hz: float, high_hz: float) -> Tensor:
    """On the mel scale f64[bins + 2], where Kaldi's filters begin, peak and end."""
    low, high = (1127 * math.log1p(hz / 700) for hz in (low_hz, high_hz))
    return torch.linspace(low, high, bins + 2, dtype=torch.float64)


def filter_centres(config: FeatureConfig) -> np.ndarray | None:
    """Where the filters of log-mel features peak, in Hz, f64[F]; None of other features."""
    if config.kind == "fbank":
        mel = kaldi_edges(config.mel_bins, config.low_hz, config.top_hz)[1:-1].numpy()
        return 700 * np.expm1(mel / 1127)
    if config.kind == "mel":
        from librosa import mel_frequencies

        return mel_frequencies(config.mel_bins + 2, fmin=config.low_hz, fmax=config.top_hz)[1:-1]
    return None


def liftered_dct(bins: int, cepstra: int) -> Tensor:
    """f64[bins, cepstra]: the orthonormal DCT-II, each cepstrum k times 1 + L/2 sin(πk/L), L = 22.

    Davis and Mermelstein (1980) with HTK's and Kaldi's lifter.
    """
    n, k = torch.arange(bins, dtype=torch.float64)[:, None], torch.arange(cepstra, dtype=torch.float64)
    scale = torch.where(k == 0, math.sqrt(1 / bins), math.sqrt(2 / bins))
    lifter = 1 + LIFTER / 2 * torch.sin(math.pi * k / LIFTER)
    return scale * lifter * torch.cos(math.pi / bins * (n + 0.5) * k)
