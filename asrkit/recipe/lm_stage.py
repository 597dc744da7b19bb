"""The stage that makes a language model, of n-grams or neural."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from asrkit.errors import DataError
from asrkit.files import write_json
from asrkit.progress import tell
from asrkit.recipe.places import Prints, lm_folder, lm_text_paths, utterances_of
from asrkit.recipe.train_stages import average_best, claim
from asrkit.recipe.workspace import Workspace

if TYPE_CHECKING:
    from asrkit.text.tokenizer import Tokenizer


def lm(workspace: Workspace, prints: Prints) -> None:
    """Make the language model, and measure its perplexity on the dev sets."""
    from asrkit.text.tokenizer import load_tokenizer

    kind, folder = workspace.config.lm.kind, lm_folder(workspace)
    tokenizer = load_tokenizer(workspace.folder / "tokenizer")
    texts = training_texts(workspace, prints)
    dev = [u.text for u in utterances_of(workspace, prints, workspace.config.corpus.dev)]
    if kind in ("lstm", "transformer"):
        unit, perplexity = "token", neural(workspace, prints, tokenizer, texts, dev)
    else:
        unit = kind.removesuffix("-ngram")
        split: Callable[[str], list[str]] = str.split if unit == "word" else tokenizer.pieces
        perplexity = ngram(workspace, [split(t) for t in texts], [split(t) for t in dev])
    write_json(folder / "perplexity.json", {"unit": unit, "perplexity": perplexity, "sentences": len(texts)})
    tell(f"  {kind} of {len(texts)} sentences: perplexity {perplexity:.2f} per {unit} on the dev sets")


def training_texts(workspace: Workspace, prints: Prints) -> list[str]:
    """The texts of ``lm.text``, normalised, or the training transcripts."""
    from asrkit.text.normalize import normalize

    config = workspace.config
    if not config.lm.text:
        return [u.text for u in utterances_of(workspace, prints, config.corpus.train)]
    texts: list[str] = []
    for path in lm_text_paths(workspace):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(
                f"cannot read {path}: {error}", "see lm.text: UTF-8, a sentence a line"
            ) from error
        texts += [text for line in lines if (text := normalize(line, config.text.normalizer))]
    return texts


def ngram(workspace: Workspace, texts: list[list[str]], dev: list[list[str]]) -> float:
    """Estimate an n-gram model and write it as ARPA; returns its perplexity."""
    from asrkit.lm.model import NGRAM
    from asrkit.lm.ngram import estimate

    model = estimate(texts, workspace.config.lm.order)
    model.write_arpa(lm_folder(workspace) / NGRAM)
    return model.perplexity(dev).including_oov


def neural(
    workspace: Workspace, prints: Prints, tokenizer: Tokenizer, texts: list[str], dev: list[str]
) -> float:
    """Train a neural model from its last checkpoint, and average its best ones; returns its perplexity."""
    import torch

    from asrkit.config import AugmentConfig, neural_lm_shape
    from asrkit.lm.model import NeuralLm, load_lm
    from asrkit.training.data import TextSource
    from asrkit.training.loop import train

    config, folder = workspace.config, lm_folder(workspace)
    claim(folder, prints["lm"], workspace.force)
    train_set, dev_set = (TextSource(t, [tokenizer.encode(text) for text in t]) for t in (texts, dev))
    torch.manual_seed(config.seed)
    model = NeuralLm(neural_lm_shape(config.lm), len(tokenizer.tokens))
    tell(f"  {sum(p.numel() for p in model.parameters()):,} parameters")
    train(
        model,
        train_set,
        dev_set,
        config.lm.train,
        AugmentConfig(speeds=[1.0]),
        folder,
        seed=config.seed,
        device=workspace.device,
    )
    average_best(folder / "checkpoints", folder / "averaged", config.lm.train.average)
    trained = load_lm(config.lm, folder, len(tokenizer.tokens), torch.device("cpu"))
    assert trained is not None and trained.network is not None
    with torch.inference_mode():
        total = sum(
            float(trained.network.loss(dev_set.batch(items)).total)
            for items in dev_set.plan(60, shuffle=False)
        )
    return math.exp(total / sum(len(t) + 1 for t in dev_set.tokens))
