"""The front end against the programs it claims to equal, on recorded speech and on a chirp in noise."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import kaldi_native_fbank as knf
import librosa
import numpy as np
import pytest
import soundfile
import soxr
import torch

from asrkit.config import FeatureConfig
from asrkit.learning.features.frontend import Frontend

RECORDINGS = Path(__file__).parent.parent / "audio"
SIGNALS = ["speech", "chirp", "silence"]


def signal(name: str, rate: int) -> np.ndarray:
    """Samples f32[N] at `rate`, rounded to 16 bits as in a file."""
    if name == "speech":
        wave, source = soundfile.read(RECORDINGS / "sense-0880.flac", dtype="float32")
        wave = soxr.resample(wave, source, rate)
    elif name == "chirp":
        time = np.arange(rate * 2) / rate
        sweep = np.sin(np.pi * rate / 4 * time**2)
        wave = 0.4 * sweep * time + 0.01 * np.random.default_rng(0).standard_normal(len(time)) - 0.1
    else:
        wave = np.zeros(rate // 3)
    return (np.round(wave * 32768) / 32768).astype(np.float32)


def features(config: FeatureConfig, wave: np.ndarray) -> np.ndarray:
    feats, lens = Frontend(config)(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))
    assert lens.item() == feats.shape[1]
    return feats[0].numpy()


def kaldi(config: FeatureConfig, wave: np.ndarray) -> np.ndarray:
    """kaldi-native-fbank's features, given 16-bit counts as Kaldi is."""
    options = knf.FbankOptions() if config.kind == "fbank" else knf.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = config.sample_rate
    options.frame_opts.frame_length_ms = config.frame_ms
    options.frame_opts.frame_shift_ms = config.shift_ms
    options.frame_opts.preemph_coeff = config.preemphasis
    options.mel_opts.num_bins = config.mel_bins
    options.mel_opts.low_freq = config.low_hz
    options.mel_opts.high_freq = config.high_hz
    if config.kind == "mfcc":
        options.use_energy = False
        options.num_ceps = config.cepstra
    online = (knf.OnlineFbank if config.kind == "fbank" else knf.OnlineMfcc)(options)
    online.accept_waveform(config.sample_rate, (wave * 32768).tolist())
    online.input_finished()
    return np.stack([online.get_frame(i) for i in range(online.num_frames_ready)])


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(),
        FeatureConfig(mel_bins=40, high_hz=-400),
        FeatureConfig(mel_bins=128),
        FeatureConfig(sample_rate=8000, mel_bins=40, low_hz=64, high_hz=3800),
        FeatureConfig(sample_rate=8000),
        FeatureConfig(sample_rate=22050, frame_ms=32, shift_ms=12.5, preemphasis=0.9),
        FeatureConfig(kind="mfcc", mel_bins=23),
        FeatureConfig(kind="mfcc", mel_bins=40, cepstra=40, high_hz=-400),
        FeatureConfig(kind="mfcc", sample_rate=8000, mel_bins=23, cepstra=20),
    ],
    ids=lambda c: f"{c.kind}{c.mel_bins}-{c.sample_rate}",
)
def test_fbank_and_mfcc_equal_kaldi(config: FeatureConfig, name: str) -> None:
    wave = signal(name, config.sample_rate)
    expected = kaldi(config, wave)
    actual = features(config, wave)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-2)  # single precision in quiet bins
    assert np.abs(actual - expected).mean() < 1e-3


@pytest.mark.parametrize("samples", [399, 400, 559, 560])
def test_frame_count_equals_kaldi(samples: int) -> None:
    config = FeatureConfig()
    online = knf.OnlineFbank(knf.FbankOptions())
    online.accept_waveform(16000, [0.0] * samples)
    online.input_finished()
    assert Frontend(config).num_frames(samples) == online.num_frames_ready


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(kind="mel"),
        FeatureConfig(kind="mel", sample_rate=22050, mel_bins=40, low_hz=0, high_hz=8000),  # odd window
    ],
    ids=["16000", "22050"],
)
def test_mel_equals_librosa(config: FeatureConfig, name: str) -> None:
    wave, rate = signal(name, config.sample_rate), config.sample_rate
    expected = librosa.feature.melspectrogram(
        y=wave,
        sr=rate,
        n_fft=512 if rate == 16000 else 1024,
        win_length=int(rate * 0.025),
        hop_length=int(rate * 0.010),
        n_mels=config.mel_bins,
        fmin=config.low_hz,
        fmax=config.high_hz or None,
    )
    np.testing.assert_allclose(
        features(config, wave), np.log(np.maximum(expected.T, 1e-10)), rtol=0, atol=5e-3
    )


@pytest.fixture
def torchaudio_kaldi() -> ModuleType:
    try:
        import torchaudio.compliance.kaldi as module
    except (ImportError, OSError) as error:  # OSError: a build for CUDA beside torch for the CPU
        pytest.skip(f"torchaudio does not import: {error}")
    return module


def test_fbank_equals_torchaudio(torchaudio_kaldi: ModuleType) -> None:
    wave = signal("speech", 16000)
    expected = torchaudio_kaldi.fbank(torch.from_numpy(wave)[None] * 32768, num_mel_bins=80)
    np.testing.assert_allclose(features(FeatureConfig(), wave), expected.numpy(), rtol=0, atol=5e-3)


def test_mfcc_equals_torchaudio(torchaudio_kaldi: ModuleType) -> None:
    wave = signal("speech", 16000)
    expected = torchaudio_kaldi.mfcc(torch.from_numpy(wave)[None] * 32768, num_mel_bins=23, num_ceps=13)
    config = FeatureConfig(kind="mfcc", mel_bins=23, cepstra=13)
    np.testing.assert_allclose(features(config, wave), expected.numpy(), rtol=0, atol=5e-3)
