"""Tuning decoding weights: a grid search on the dev sets."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asrkit.config import with_weights
from asrkit.errors import ConfigError, DataError
from asrkit.files import write_json
from asrkit.learning.recipe.scoring import units_of
from asrkit.parallel import ahead
from asrkit.progress import tell, track
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.recognizer import Recognizer
from asrkit.recognition.scoring.score import score_texts
from asrkit.recognition.transcript import hypothesis_text


def tune_weights(
    recognizer: Recognizer,
    utterances: Sequence[Utterance],
    grid: Mapping[str, Sequence[float]],
    unit: str,
    out: Path,
) -> dict[str, float]:
    """Decode with every combination of weights, and keep the one with the fewest errors.

    The encoder runs once; only the search is repeated. Ties go to the first combination.

    Args:
        recognizer: its settings give the decoder, and the weights that are not tuned.
        utterances: to tune on, with their texts.
        grid: weight -> values to try.
        unit: unit of error: ``word``, ``char`` or ``phone``.
        out: JSON file for the chosen weights and the errors of all combinations.

    Returns:
        the chosen weights.

    Raises:
        ConfigError: an unknown weight, or one without values.
        DataError: no utterance could be read.
    """
    settings = recognizer.settings
    with_weights(settings, dict.fromkeys(grid, 0.0))
    for name, values in grid.items():
        if not values:
            raise ConfigError(f"decode.tune.{name} has no values", "write a list, for example [0.3, 0.6]")
    waves = [(u, wave) for u, wave in recognizer.waves(track(utterances, "tune: read"))]
    if not waves:
        raise DataError("no utterance to tune on could be read", "see the dev sets")
    unit = units_of(recognizer.tokenizer, recognizer.settings.decoder, [unit])[0]
    references = {u.id: recognizer.tokenizer.reference(u.text, unit) for u, _ in waves}
    encoded = [recognizer.encode([wave]) for _, wave in track(waves, "tune: encode")]
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    table: list[dict[str, Any]] = []
    for chosen in track(combinations, "tune"):
        recognizer.settings = with_weights(settings, chosen)
        hypotheses = ahead(lambda item: recognizer.search(item)[0][0], encoded, recognizer.threads)
        texts = {
            u.id: hypothesis_text(hypothesis, recognizer.tokenizer)
            for (u, _), hypothesis in zip(waves, hypotheses, strict=True)
        }
        errors = score_texts(references, texts, unit).total
        table.append({**chosen, "errors": errors.errors, "rate": round(100 * errors.rate, 3)})
        tell("  " + "  ".join(f"{key} {number:g}" for key, number in table[-1].items()))
    best = int(np.argmin([row["errors"] for row in table]))
    chosen = {name: table[best][name] for name in grid}
    write_json(out, {"decoder": settings.decoder, "unit": unit, "chosen": chosen, "tried": table})
    tell("  chosen: " + "  ".join(f"{name}={number:g}" for name, number in chosen.items()))
    return chosen
