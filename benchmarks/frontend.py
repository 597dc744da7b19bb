"""Speed and agreement of the front end with the programs it equals, on one core.

    python benchmarks/frontend.py [--seconds 60] [--repeats 11] [AUDIO…]

Both sides get the same samples and run in turns; figures are medians of processor time, so that several
threads gain nothing and busy neighbours cost little. kaldi-native-fbank is given a list, made before the
clock starts, since its binding converts an array more slowly. Peers that do not import are left out.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from asrkit.config import FeatureConfig
from asrkit.learning.features.frontend import Frontend
from asrkit.recognition.audio.reading import read_audio

RATE = 16000
RECORDINGS = Path(__file__).parent.parent / "tests" / "audio"

Extractor = Callable[[], np.ndarray]


def actual(config: FeatureConfig, wave: np.ndarray) -> Extractor:
    frontend, samples, lens = Frontend(config), torch.from_numpy(wave)[None], torch.tensor([len(wave)])

    def run() -> np.ndarray:
        with torch.inference_mode():
            return frontend(samples, lens)[0][0].numpy()

    return run


def kaldi_native_fbank(config: FeatureConfig, wave: np.ndarray) -> Extractor:
    import kaldi_native_fbank as knf

    mfcc = config.kind == "mfcc"
    options = knf.MfccOptions() if mfcc else knf.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = config.mel_bins
    if mfcc:
        options.use_energy = False
    scaled = (wave * 32768).tolist()

    def run() -> np.ndarray:
        online = (knf.OnlineMfcc if mfcc else knf.OnlineFbank)(options)
        online.accept_waveform(RATE, scaled)
        online.input_finished()
        return np.stack([online.get_frame(i) for i in range(online.num_frames_ready)])

    return run


def torchaudio(config: FeatureConfig, wave: np.ndarray) -> Extractor:
    from torchaudio.compliance import kaldi

    compute = kaldi.mfcc if config.kind == "mfcc" else kaldi.fbank
    scaled = torch.from_numpy(wave)[None] * 32768
    return lambda: compute(scaled, num_mel_bins=config.mel_bins).numpy()


def librosa(config: FeatureConfig, wave: np.ndarray) -> Extractor:
    from librosa.feature import melspectrogram

    def run() -> np.ndarray:
        power = melspectrogram(
            y=wave, sr=RATE, n_fft=512, win_length=400, hop_length=160, n_mels=config.mel_bins, fmin=20
        )
        return np.log(np.maximum(power, 1e-10)).T

    return run


PAIRS = [
    (FeatureConfig(kind="fbank"), kaldi_native_fbank),
    (FeatureConfig(kind="fbank"), torchaudio),
    (FeatureConfig(kind="mfcc", mel_bins=23), kaldi_native_fbank),
    (FeatureConfig(kind="mfcc", mel_bins=23), torchaudio),
    (FeatureConfig(kind="mel"), librosa),
]


def medians(extractors: list[Extractor], repeats: int) -> Iterator[float]:
    """Median processor seconds of each; they take turns."""
    times: list[list[float]] = [[] for _ in extractors]
    for _ in range(repeats):
        for extract, taken in zip(extractors, times, strict=True):
            start = time.process_time()
            extract()
            taken.append(time.process_time() - start)
    return map(statistics.median, times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("audio", nargs="*", type=Path, default=sorted(RECORDINGS.glob("*.flac")))
    parser.add_argument("--seconds", type=float, default=60, help="audio is repeated or cut to this length")
    parser.add_argument("--repeats", type=int, default=11)
    args = parser.parse_args()
    torch.set_num_threads(1)
    wave = np.resize(
        np.concatenate([read_audio(str(path), RATE) for path in args.audio]), int(args.seconds * RATE)
    )
    print(f"{args.seconds:g} s of audio, one core, medians of {args.repeats}; speeds are × real time\n")
    print(f"{'features':9}{'peer':20}{'asrkit':>8}{'peer':>8}{'ratio':>8}{'max difference':>16}")
    for config, peer in PAIRS:
        try:
            extractors = [actual(config, wave), peer(config, wave)]
        except (ImportError, OSError) as error:
            print(f"{config.kind:9}{peer.__name__:20}{type(error).__name__}: not measured")
            continue
        mine, theirs = (extract() for extract in extractors)
        difference = np.abs(mine - theirs).max()
        own, other = medians(extractors, args.repeats)
        speeds = f"{args.seconds / own:8.0f}{args.seconds / other:8.0f}{other / own:8.1f}"
        print(f"{config.kind:9}{peer.__name__:20}{speeds}{difference:16.4f}")


if __name__ == "__main__":
    main()
