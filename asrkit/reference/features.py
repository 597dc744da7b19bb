"""Log-mel features: the energy of each frame in bands spaced like human hearing.

Cut the sound into overlapping frames, take the power spectrum of each, add it up in bands that widen with
frequency as the ear's do, and take the logarithm.

Source: S. Davis, P. Mermelstein, "Comparison of Parametric Representations for Monosyllabic Word
Recognition", 1980, without its last step, the cosine transform. Where books leave a choice, this is Kaldi's
(``compute-fbank-feats`` without dither): samples counted as 16-bit integers, the mean of each frame taken
out, the window of Povey, triangles that are straight on the mel scale.
"""

import numpy as np
from numpy.typing import ArrayLike

from asrkit.reference.notation import Array

FULL_SCALE = 32768.0
FLOOR = 2.0**-23  # of the energy in a band, so that silence has a logarithm


def framed(wave: Array, size: int, shift: int) -> Array:
    """[N] -> [T, size]: frame t begins at sample t · shift; an end that does not fill a frame is dropped."""
    starts = np.arange(0, len(wave) - size + 1, shift)
    result: Array = wave[starts[:, None] + np.arange(size)]
    return result


def povey_window(size: int) -> Array:
    """[size]: (0.5 − 0.5 cos(2πn / (size − 1)))^0.85, a Hann window with a broader top."""
    return np.hanning(size) ** 0.85


def mel(hz: ArrayLike) -> Array:
    """The mel scale, 1127 ln(1 + Hz / 700): nearly linear to 1 kHz, logarithmic far above it."""
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)


def mel_filters(rate: int, fft_size: int, bins: int, low_hz: float, high_hz: float) -> Array:
    """[bins, fft_size // 2 + 1]: triangles of height 1, each between the peaks of its neighbours.

    The peaks are evenly spaced on the mel scale between `low_hz` and `high_hz`.
    """
    left, peak, right = (
        np.linspace(mel(low_hz), mel(high_hz), bins + 2)[i : i + bins, None] for i in range(3)
    )
    pitch = mel(np.fft.rfftfreq(fft_size, 1.0 / rate))
    return np.maximum(0.0, np.minimum((pitch - left) / (peak - left), (right - pitch) / (right - peak)))


def log_mel(
    wave: Array,
    rate: int = 16000,
    bins: int = 80,
    frame_ms: float = 25.0,
    shift_ms: float = 10.0,
    low_hz: float = 20.0,
    high_hz: float | None = None,
    preemphasis: float = 0.97,
) -> Array:
    """Features [T, bins] of one recording.

    Args:
        wave: samples [N] in −1..1.
        rate: samples per second.
        bins: bands.
        frame_ms, shift_ms: length of a frame, and from one start to the next.
        low_hz, high_hz: where the lowest band begins and the highest ends; None is half the rate.
        preemphasis: c in x_n − c x_{n−1}, which lifts the high frequencies that voices lack.
    """
    size, shift = int(rate * 0.001 * frame_ms), int(rate * 0.001 * shift_ms)
    fft_size = 1 << (size - 1).bit_length()  # the next power of two; zeros fill the frame up

    frames = framed(FULL_SCALE * np.asarray(wave, np.float64), size, shift)
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames[:, 1:] - preemphasis * frames[:, :-1]  # no loss: the window is 0 at the first sample
    power = np.abs(np.fft.rfft(frames * povey_window(size)[1:], fft_size)) ** 2
    energy = power @ mel_filters(rate, fft_size, bins, low_hz, high_hz or rate / 2).T
    return np.log(np.maximum(energy, FLOOR))
