"""The input of the front end for an utterance: samples, or features that a corpus provides."""

from pathlib import Path

import numpy as np

from asrkit.config import FeatureConfig
from asrkit.errors import DataError
from asrkit.recognition.audio.arrays import read_array
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.audio.utterance import Utterance


def read_signal(config: FeatureConfig, utterance: Utterance) -> np.ndarray:
    """Samples f32[N] of an utterance; or, of the kind ``given``, its features f32[T, F].

    Raises:
        DataError: not readable, or not features of the model's size.
    """
    if config.kind != "given":
        return read_audio(utterance.audio, config.sample_rate, utterance.start, utterance.duration or None)
    return read_features(utterance.audio, config.dim)


def read_features(path: str | Path, dim: int) -> np.ndarray:
    """Features f32[T, F] from a NumPy file, in which they may also stand as [F, T].

    Args:
        path: the file.
        dim: F.

    Raises:
        DataError: not readable, of another size, or not finite numbers.
    """
    found = read_array(path)
    if found.ndim != 2 or dim not in found.shape or found.dtype.kind not in "fiu":
        shape = "x".join(map(str, found.shape))
        raise DataError(
            f"{path} holds {found.dtype} {shape}, not features of {dim} numbers a frame",
            "the model was made for features of one size; see features.given_dim",
        )
    feats = np.ascontiguousarray(found if found.shape[1] == dim else found.T, np.float32)
    if not np.isfinite(feats).all():
        raise DataError(f"{path} holds NaN or infinite features", "compute them again")
    return feats
