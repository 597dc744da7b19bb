"""What the stage lm leaves in a model's folder ``lm``, and decoding reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asrkit.config import LmConfig
from asrkit.recognition.ngram.model import NgramModel, read_ngram
from asrkit.recognition.text.spellings import Spellings

NGRAM, WEIGHTS = "lm.ngram", "averaged/model.safetensors"
OLD_NGRAM = "lm.arpa"  # of experiments and bundles made before there was a binary form
RESCORER = "rescorer"  # folder of the neural model for the second pass, and of its tokenizer
RESCORER_FILES = ("tokenizer.json", "tokens.txt", "sentencepiece.model", "model.safetensors")
SPELLINGS = "spellings.safetensors"  # beside an n-gram model of words: these in the recogniser's tokens


def lm_files(config: LmConfig) -> list[str]:
    """The files of a language model that decoding needs, relative to its folder."""
    if config.kind == "none":
        return []
    second = [] if config.rescorer.kind == "none" else [f"{RESCORER}/{name}" for name in RESCORER_FILES]
    return [NGRAM if config.kind.endswith("-ngram") else WEIGHTS, *second]


def read_stored_ngram(folder: Path) -> NgramModel:
    """The n-gram model in `folder`. Raises DataError when it is damaged."""
    old = (folder / OLD_NGRAM).exists() and not (folder / NGRAM).exists()
    return read_ngram(folder / (OLD_NGRAM if old else NGRAM))


def stored_spellings(folder: Path, words: Sequence[str]) -> Spellings | None:
    """The spellings of an n-gram model's `words` in `folder`. Raises ModelError when they are damaged."""
    path = folder / SPELLINGS
    return Spellings.load(path, words) if path.exists() else None
