"""The one place where recognition reaches for torch: opens what stands behind :mod:`.acoustics`."""

from pathlib import Path

from asrkit.config import Config, LmConfig, RescorerConfig
from asrkit.recognition.acoustics import Acoustics, TokenModel


def open_acoustics(
    config: Config, files: dict[str, Path], vocab: int, labels: int, *, device: str, threads: int
) -> Acoustics:
    """The acoustics of a trained model.

    Args:
        config: the configuration it was trained with.
        files: its parts; see :func:`.find_parts`.
        vocab: number of tokens.
        labels: number of frame labels.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: CPU threads; 0: all.

    Raises:
        ModelError: a part is damaged or does not fit.
        UsageError: the device is not available.
    """
    from asrkit.learning.torch_acoustics import load_acoustics

    return load_acoustics(config, files, vocab, labels, device, threads)


def open_token_model(config: LmConfig | RescorerConfig, path: Path, vocab: int, device: str) -> TokenModel:
    """A trained neural language model. Raises ModelError when its weights are damaged or do not fit."""
    from asrkit.learning.torch_acoustics import load_token_model

    return load_token_model(config, path, vocab, device)
