"""Write a model's CTC log posteriors of some audio files to an .npz, for benchmarks/ctc_decoders.py.

python benchmarks/posteriors.py exp/an4/default model.npz exp/an4/data/prepare-*/audio/f*-b.flac
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import asrkit
from asrkit.recognition.audio.reading import read_audio


def main(model: str, out: str, *audio: str) -> None:
    recognizer = asrkit.load(model, device="cpu")
    rate = recognizer.config.features.sample_rate
    posteriors = {Path(path).stem: recognizer.ctc_log_probs(read_audio(path, rate)) for path in audio}
    np.savez(out, **posteriors)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
