"""The front end's behaviour on batches, CMVN, and augmentation."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.config import AugmentConfig, FeatureConfig
from asrkit.errors import ModelError
from asrkit.learning.features import cmvn
from asrkit.learning.features.augment import distort, spec_augment, speed_perturb, warp
from asrkit.learning.features.cmvn import Cmvn
from asrkit.learning.features.frontend import Frontend, filter_centres
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.features.cmvn import CmvnStats

KINDS = ["fbank", "mel", "mfcc"]


@pytest.mark.parametrize("kind", KINDS)
def test_batch_equals_single_whatever_the_padding_holds(kind: str) -> None:
    frontend = Frontend(FeatureConfig(kind=kind))
    lens = torch.tensor([9000, 400, 16111, 399, 1])
    wave = torch.randn(5, 17000, generator=torch.Generator().manual_seed(0)) * 0.1
    wave[torch.arange(17000) >= lens[:, None]] = torch.nan
    feats, frames = frontend(wave, lens)
    assert feats.shape == (5, frontend.num_frames(17000), frontend.dim)
    for row, samples in enumerate(lens.tolist()):
        alone, length = frontend(wave[row : row + 1, :samples], lens[row : row + 1])
        assert frames[row] == length[0] == alone.shape[1] == frontend.num_frames(samples)
        torch.testing.assert_close(feats[row, : frames[row]], alone[0], atol=1e-4, rtol=0)
        assert (feats[row, frames[row] :] == 0).all()


@pytest.mark.parametrize(("kind", "expected"), [("fbank", 0), ("mfcc", 0), ("mel", 1)])
def test_audio_shorter_than_a_window(kind: str, expected: int) -> None:
    frontend = Frontend(FeatureConfig(kind=kind))
    for samples in (0, 1, 100):
        feats, lens = frontend(torch.zeros(2, samples), torch.tensor([samples, 0]))
        assert feats.shape == (2, expected, frontend.dim)
        assert lens.tolist() == [expected, expected]
        assert feats.isfinite().all()


def test_frame_rate() -> None:
    frontend = Frontend(FeatureConfig(sample_rate=22050, kind="mfcc", cepstra=20))
    assert frontend.frame_seconds == 220 / 22050
    assert frontend.dim == 20


@pytest.mark.parametrize("kind", KINDS)
def test_exported_module_takes_any_batch(kind: str) -> None:
    frontend = Frontend(FeatureConfig(kind=kind))
    batch, samples = torch.export.Dim("batch"), torch.export.Dim("samples", min=560)
    shapes = {"wave": {0: batch, 1: samples}, "lens": {0: batch}}
    example = (torch.zeros(3, 8000), torch.tensor([8000, 4000, 10]))
    exported = torch.export.export(frontend, example, dynamic_shapes=shapes).module()
    wave = torch.randn(2, 180_001) * 0.1  # more than one block of frames
    lens = torch.tensor([180_001, 100_000])
    for actual, expected in zip(exported(wave, lens), frontend(wave, lens), strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


def utterances() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [(rng.standard_normal((n, 4)) * [1, 5, 0.1, 0] + [0, 9, -3, 7]).astype("f4") for n in (3, 50, 11)]


def gathered() -> CmvnStats:
    stats = CmvnStats(4)
    for feats in utterances():
        stats.update(feats)
    return stats


def test_statistics_equal_numpy() -> None:
    frames = np.concatenate(utterances()).astype(np.float64)
    stats = gathered()
    stats.update(np.full((2, 4), np.nan, np.float32))  # left out
    assert stats.count == 64
    np.testing.assert_allclose(stats.mean, frames.mean(0), rtol=1e-12)
    np.testing.assert_allclose(stats.std, [*frames.std(0)[:3], 0.01], rtol=1e-9)


def test_statistics_survive_saving(tmp_path: Path) -> None:
    stats = gathered()
    stats.save(tmp_path / "cmvn.json")
    loaded = CmvnStats.load(tmp_path / "cmvn.json")
    assert loaded.count == stats.count
    assert np.array_equal(loaded.mean, stats.mean)
    assert np.array_equal(loaded.std, stats.std)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        "\x00",
        json.dumps({"count": 1, "sum": [1, 2], "squares": [1]}),
        json.dumps({"count": 1, "sum": 3, "squares": 3}),
        json.dumps({"count": "many", "sum": [1], "squares": [1]}),
        json.dumps({"count": -1, "sum": [1], "squares": [1]}),
        json.dumps({"count": 1, "sum": [float("nan")], "squares": [1]}),
        json.dumps({"count": 1, "sum": [{}], "squares": [1]}),
    ],
)
def test_malformed_statistics_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cmvn.json"
    path.write_text(content)
    with pytest.raises(ModelError, match=r"cmvn\.json"):
        CmvnStats.load(path)


def test_missing_statistics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="absent"):
        CmvnStats.load(tmp_path / "absent.json")
    with pytest.raises(ModelError, match="without statistics"):
        Cmvn("global")


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    rows = [torch.from_numpy(u) for u in utterances()]
    feats = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=torch.nan)
    return feats, torch.tensor([len(r) for r in rows])


@pytest.mark.parametrize("kind", ["global", "utterance", "none"])
def test_normalisation_equals_numpy_and_ignores_padding(kind: str) -> None:
    feats, lens = padded()
    actual = Cmvn(kind, gathered())(feats, lens)
    every = np.concatenate(utterances())
    for row, own in zip(actual, utterances(), strict=True):
        over = {"global": every, "utterance": own, "none": None}[kind]
        expected = own if over is None else (own - over.mean(0)) / np.maximum(over.std(0), 0.01)
        np.testing.assert_allclose(row[: len(own)], expected, atol=1e-4)
        assert (row[len(own) :] == 0).all()


def test_a_long_utterance_is_normalised_by_what_is_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cmvn, "WINDOW", 20)
    feats = torch.randn(3, 70, 4, generator=torch.Generator().manual_seed(1)).cumsum(1)
    feats[0, 30:35] = -9.0  # digital silence
    lens = torch.tensor([70, 20, 33])
    actual = Cmvn("utterance")(feats, lens)
    for row, frames in enumerate(lens.tolist()):
        for frame in range(frames):
            begin = min(max(0, frame - 10), frames - 20)
            around = feats[row, begin : begin + 20]
            around = around[around.amax(1) > around.amin(1)]
            expected = (feats[row, frame] - around.mean(0)) / around.std(0, unbiased=False)
            torch.testing.assert_close(actual[row, frame], expected, rtol=1e-3, atol=1e-3)
        assert (actual[row, frames:] == 0).all()


def test_utterance_normalisation_of_no_frames() -> None:
    assert Cmvn("utterance")(torch.zeros(1, 0, 4), torch.tensor([0])).shape == (1, 0, 4)
    assert (Cmvn("utterance")(torch.ones(1, 3, 4), torch.tensor([0])) == 0).all()


def masked(frames: int, bins: int, seed: int, config: AugmentConfig) -> torch.Tensor:
    return spec_augment(torch.ones(frames, bins), torch.Generator().manual_seed(seed), config)


@given(
    frames=st.integers(0, 60),
    bins=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    time_masks=st.integers(0, 3),
    time_width=st.floats(0, 1),
    freq_masks=st.integers(0, 3),
    freq_width=st.integers(0, 50),
)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_masks_keep_to_their_limits(
    frames: int, bins: int, seed: int, time_masks: int, time_width: float, freq_masks: int, freq_width: int
) -> None:
    config = AugmentConfig(
        time_masks=time_masks, time_width=time_width, freq_masks=freq_masks, freq_width=freq_width
    )
    actual = masked(frames, bins, seed, config)
    assert torch.equal(actual, masked(frames, bins, seed, config))
    hidden = actual == 0
    rows, columns = hidden.all(1), hidden.all(0)
    assert torch.equal(hidden, rows[:, None] | columns)
    if not columns.all():
        assert rows.sum() <= time_masks * int(time_width * frames)
    if not rows.all():
        assert columns.sum() <= freq_masks * freq_width


def test_every_width_and_place_is_drawn() -> None:
    config = AugmentConfig(time_masks=1, time_width=0.3, freq_masks=0)
    seen = set()
    for seed in range(400):
        rows = masked(10, 4, seed, config).eq(0).all(1).nonzero().flatten().tolist()
        seen.add((len(rows), rows[0] if rows else 0))
    assert seen == {(0, 0)} | {(width, start) for width in (1, 2, 3) for start in range(11 - width)}


def test_masking_leaves_its_input_alone() -> None:
    feats = torch.ones(100, 80)
    assert (spec_augment(feats, torch.Generator().manual_seed(1), AugmentConfig()) == 0).any()
    assert (feats == 1).all()


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_speed_changes_length_and_pitch_of_a_sine(factor: float) -> None:
    rate, hz = 16000, 440
    wave = np.sin(2 * np.pi * hz * np.arange(8000) / rate).astype(np.float32)
    actual = speed_perturb(wave, factor, rate)
    assert actual.dtype == np.float32
    assert len(actual) == round(8000 / factor)
    expected = np.sin(2 * np.pi * hz * factor * np.arange(len(actual)) / rate)
    np.testing.assert_allclose(actual[500:-500], expected[500:-500], atol=1e-3)


@pytest.mark.parametrize("samples", [0, 1, 5, 16001])
@pytest.mark.parametrize("factor", [0.5, 0.9, 1.07, 2.0])
def test_speed_gives_the_promised_length(samples: int, factor: float) -> None:
    assert len(speed_perturb(np.ones(samples, np.float32), factor, 16000)) == round(samples / factor)


@pytest.fixture(scope="module")
def sentence() -> np.ndarray:
    return read_audio(sorted(SENTENCES.glob("*.flac"))[0])


def energies(wave: np.ndarray, kind: str = "fbank") -> torch.Tensor:
    frontend = Frontend(FeatureConfig(kind=kind))
    return frontend(torch.from_numpy(wave).float()[None], torch.tensor([len(wave)]))[0][0]


def distorted(feats: torch.Tensor, seed: int, **settings: float) -> torch.Tensor:
    return distort(feats, torch.Generator().manual_seed(seed), AugmentConfig(**settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["fbank", "mel"])
def test_volume_is_that_of_a_louder_recording(kind: str, sentence: np.ndarray) -> None:
    feats = energies(sentence, kind)
    actual = [distorted(feats, seed, volume_db=12.0) for seed in range(20)]
    decibel = [float((louder - feats).mean()) / (math.log(10) / 10) for louder in actual]
    assert -12 <= min(decibel) < -6 and 6 < max(decibel) <= 12
    expected = energies(sentence * 10 ** (decibel[0] / 20), kind)
    loud = feats > -8  # bands near the floor of the logarithm keep it
    torch.testing.assert_close(actual[0][loud], expected[loud], atol=0.01, rtol=0)


def test_noise_has_the_level_asked_for(sentence: np.ndarray) -> None:
    feats, ratios = energies(sentence), []
    for seed in range(30):
        noise = distorted(feats, seed, noise_share=1.0, noise_snr_db=5.0).exp() - feats.exp()
        assert float(noise.min()) > -1e-3 * float(feats.exp().max())
        ratios.append(10 * math.log10(float(feats.exp().mean() / noise.mean())))
    assert min(ratios) + 0.1 >= 5 and max(ratios) <= 25.1 and max(ratios) - min(ratios) > 10
    untouched = [torch.equal(distorted(feats, seed, noise_share=0.3), feats) for seed in range(100)]
    assert 55 < sum(untouched) < 85


def test_noise_flutters_as_that_of_a_recording(sentence: np.ndarray) -> None:
    """Between neighbouring frames and bands the level of real noise varies about as much."""
    rng = np.random.default_rng(0)
    real = energies(rng.normal(0, 0.01, 16000 * 5))
    silence = torch.full_like(real, -30.0)
    silence[0] = 0.0  # the level that the noise is measured by
    computed = distorted(silence, 1, noise_share=1.0)[1:]
    trend = computed.mean(dim=0)
    assert 0.3 < float((computed - trend).std() / (real - real.mean(dim=0)).std()) < 3


@pytest.mark.parametrize("kind", ["fbank", "mel"])
def test_another_vocal_tract_moves_a_tone(kind: str) -> None:
    centres = filter_centres(FeatureConfig(kind=kind))
    assert centres is not None

    def tone(hz: float) -> torch.Tensor:
        return energies(0.1 * np.sin(2 * np.pi * hz * np.arange(8000) / 16000), kind)

    def peak(feats: torch.Tensor) -> float:
        return float(np.interp(feats.mean(dim=0).argmax(), np.arange(len(centres)), centres))

    for hz in (300.0, 1000.0, 2500.0, 4000.0):
        assert peak(tone(hz)) == pytest.approx(hz, rel=0.06)
        for factor in (0.85, 0.95, 1.1):
            moved = warp(tone(hz), factor, centres)
            assert peak(moved) == pytest.approx(hz / factor, rel=0.06)
            assert peak(moved) == pytest.approx(peak(tone(hz / factor)), rel=0.05)
    feats = tone(1000.0)
    torch.testing.assert_close(warp(feats, 1.0, centres), feats)
    for factor in (0.8, 1.2):
        same = warp(torch.arange(len(centres), dtype=torch.float32)[None], factor, centres)
        assert bool((same.diff() >= 0).all()) and float(same.max()) == len(centres) - 1


def test_speakers_are_drawn_evenly(sentence: np.ndarray) -> None:
    feats, centres = energies(sentence), filter_centres(FeatureConfig())
    actual = [
        distort(feats, torch.Generator().manual_seed(seed), AugmentConfig(warp=0.1), centres)
        for seed in range(40)
    ]
    shift = [float((f.mean(dim=0) - feats.mean(dim=0))[40:60].mean()) for f in actual]
    assert min(shift) < 0 < max(shift)
    again = distort(feats, torch.Generator().manual_seed(0), AugmentConfig(warp=0.1), centres)
    assert torch.equal(again, actual[0]) and not torch.equal(actual[0], actual[1])


def test_echo_decays_as_in_a_room(sentence: np.ndarray) -> None:
    """The energies of a click answered by noise that decays exponentially, as rooms do (Polack's model)."""
    seconds = 0.4
    rng = np.random.default_rng(1)
    time = np.arange(16000) / 16000
    answer = rng.normal(size=16000) * 10 ** (-3 * time / seconds)
    real = energies(answer).exp().mean(dim=1)
    slope = 10 * float(real[30].log10() - real[5].log10()) / 0.25  # dB a second
    assert slope == pytest.approx(-60 / seconds, rel=0.15)
    click = torch.full((100, 80), -30.0)
    click[0] = 0.0
    for seed in range(20):
        actual = distorted(click, seed, reverb_share=1.0, reverb_frames=40).exp().mean(dim=1)
        steps = (actual[2:6] / actual[1:5]).log10() * 10
        assert (steps < -60 / 40 + 0.1).all() and float(steps.std()) < 0.05, "the slope in dB per frame"
        assert 10**-1.51 < float(actual[1:].sum()) < 1.0
    assert torch.equal(distorted(click, 0), click)
