"""asrkit: a small, honest, reproducible speech recognition toolkit.

import asrkit
recognizer = asrkit.load("exp/prompts/default")
print(recognizer.transcribe("a.wav").text)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from asrkit.errors import AsrkitError

if TYPE_CHECKING:
    from asrkit.recognition.recognizer import Recognizer
    from asrkit.recognition.scoring.score import Score

__all__ = ["AsrkitError", "__version__", "load", "score"]
__version__ = "0.2.0"


def load(model: str | Path | None = None, *, device: str = "auto", threads: int = 0) -> Recognizer:
    """Open a trained recogniser: a bundle, an experiment folder or a checkpoint.

    Args:
        model: what to open; None: the recogniser that comes with the package.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        threads: CPU threads; 0: all cores.

    Raises:
        AsrkitError: it is none of these, or damaged; or `model` is None and the package has no recogniser.
    """
    from asrkit.recognition.parts import open_parts
    from asrkit.recognition.pretrained import packaged_model

    with open_parts(packaged_model() if model is None else Path(model)) as parts:
        from asrkit.recognition.recognizer import Recognizer

        return Recognizer.of(parts, device=device, threads=threads)


def score(
    references: Mapping[str, str], hypotheses: Mapping[str, str], unit: str = "word", bootstrap: int = 0
) -> Score:
    """Compare texts by utterance id; ``score(...).total.rate`` is the error rate as a fraction.

    Args:
        references, hypotheses: utterance id -> text.
        unit: ``word``, ``char`` or ``phone``.
        bootstrap: samples for the confidence interval; 0: none.

    Raises:
        AsrkitError: no references, or hypotheses without a reference.
    """
    from asrkit.recognition.scoring.score import score_texts

    return score_texts(references, hypotheses, unit, bootstrap=bootstrap)
