"""Language models as the stage lm stores them in a model's folder ``lm``."""

from collections.abc import Sequence
from pathlib import Path

from asrkit.config import LmConfig
from asrkit.recognition.backend import open_token_model
from asrkit.recognition.decoding.language_model import LanguageModel
from asrkit.recognition.decoding.rescorer import Rescorer
from asrkit.recognition.ngram.model import NgramModel, read_ngram
from asrkit.recognition.text.spellings import Spellings
from asrkit.recognition.text.tokenizer import load_tokenizer

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


def load_lm(
    config: LmConfig, folder: Path, vocab: int, device: str, ngram: NgramModel | None = None
) -> LanguageModel | None:
    """The language model that the stage lm stored in `folder`; None if the configuration has none.

    Args:
        config: which kind.
        folder: where it is.
        vocab: number of the recogniser's tokens, for a neural model.
        device: for a neural model.
        ngram: an n-gram model that has been read already.

    Raises:
        ModelError: the weights or spellings are damaged or do not fit.
        DataError: the n-gram model is damaged.
    """
    if config.kind == "none":
        return None
    if config.kind.endswith("-ngram"):
        ngram = ngram or read_stored_ngram(folder)
        return LanguageModel(config.kind, ngram, stored_spellings(folder, ngram.vocabulary))
    return LanguageModel(config.kind, network=open_token_model(config, folder / WEIGHTS, vocab, device))


def load_rescorer(config: LmConfig, folder: Path, device: str) -> Rescorer | None:
    """The rescorer that its stage stored in `folder`; None if the configuration has none.

    Raises:
        ModelError: it is damaged, or does not fit the configuration.
    """
    if config.rescorer.kind == "none":
        return None
    tokenizer = load_tokenizer(folder / RESCORER)
    weights = folder / RESCORER / "model.safetensors"
    return Rescorer(open_token_model(config.rescorer, weights, len(tokenizer.tokens), device), tokenizer)
