"""The components of a trained recogniser, opened from its parts."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from asrkit.config import Config, DecodeConfig, with_weights
from asrkit.errors import ConfigError, ModelError
from asrkit.recognition.acoustics import Acoustics
from asrkit.recognition.backend import open_acoustics
from asrkit.recognition.decoding.language_model import LanguageModel
from asrkit.recognition.decoding.rescorer import Rescorer
from asrkit.recognition.parts import CTC_PRIOR, Parts
from asrkit.recognition.stored_lm import load_lm, load_rescorer
from asrkit.recognition.stored_tokenizer import open_tokenizer
from asrkit.recognition.text.labels import LabelCounts, LabelSet
from asrkit.recognition.text.tokenizer import Tokenizer

MIN_PRIOR = 1e-6


@dataclass(frozen=True)
class Components:
    """An open recogniser.

    Attributes:
        config: the configuration it was trained with; ``decode`` has the tuned weights, if any.
        acoustics: from audio to posteriors.
        tokenizer: its tokens.
        lm, rescorer: language models, if any.
        labels, counts: those of a frame head.
        ctc_prior: log of the mean CTC posteriors f32[V], if measured.
    """

    config: Config
    acoustics: Acoustics
    tokenizer: Tokenizer
    lm: LanguageModel | None = None
    rescorer: Rescorer | None = None
    labels: LabelSet | None = None
    counts: LabelCounts | None = None
    ctc_prior: np.ndarray | None = None


def open_components(parts: Parts, device: str, threads: int) -> Components:
    """Open all parts of a model; see :meth:`.Recognizer.load`."""
    files, config = parts.files, parts.config
    tokenizer = open_tokenizer(files["tokenizer"])
    vocab = len(tokenizer.tokens)
    labels = counts = None
    if "frame" in config.model.heads:
        labels = LabelSet.load(files["labels"] / "labels.txt")
        counts = LabelCounts.load(files["labels"] / "counts.json")
    classes = len(labels.names) if labels else 0
    acoustics = open_acoustics(config, files, vocab, classes, device=device, threads=threads)
    if files["tuned.json"].exists():
        config = replace(config, decode=tuned_settings(config.decode, files["tuned.json"]))
    ctc_prior = read_ctc_prior(files[CTC_PRIOR], vocab)
    lm = rescorer = None
    if parts.lm:
        ngram = parts.ngram.result() if parts.ngram else None
        lm = load_lm(config.lm, files["lm"], vocab, device, ngram)
        rescorer = load_rescorer(config.lm, files["lm"], device)
    return Components(config, acoustics, tokenizer, lm, rescorer, labels, counts, ctc_prior)


def tuned_settings(settings: DecodeConfig, path: Path) -> DecodeConfig:
    """`settings` with the weights that tuning chose. Raises ModelError for a file it did not write."""
    try:
        return with_weights(settings, json.loads(path.read_text(encoding="utf-8"))["chosen"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ConfigError) as error:
        raise ModelError(f"cannot read {path}: {error}", "tune again: --stage tune") from error


def read_ctc_prior(path: Path, vocab: int) -> np.ndarray | None:
    """Log of the mean CTC posteriors f32[V] that the stage average measured; None if it did not.

    Raises:
        ModelError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        prior = np.array(json.loads(path.read_text(encoding="utf-8")), np.float32)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"cannot read {path}: {error}", "measure again: --stage average") from error
    if prior.shape != (vocab,) or not (prior >= 0).all():
        raise ModelError(f"{path} does not hold {vocab} probabilities", "measure again: --stage average")
    result: np.ndarray = np.log(prior.clip(min=MIN_PRIOR))
    return result
