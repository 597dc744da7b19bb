"""What the stage lm leaves in a model's folder ``lm``, and decoding reads."""

from __future__ import annotations

from pathlib import Path

from asrkit.config import LmConfig
from asrkit.lm.ngram import NgramModel, read_ngram

NGRAM, WEIGHTS = "lm.ngram", "averaged/model.safetensors"
OLD_NGRAM = "lm.arpa"  # of experiments and bundles made before there was a binary form
RESCORER = "rescorer"  # folder of the neural model for the second pass, and of its tokenizer
RESCORER_FILES = ("tokenizer.json", "tokens.txt", "sentencepiece.model", "model.safetensors")
LM_LEXICON = "lexicon.txt"  # beside an n-gram model of words: predicted pronunciations of its words


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
