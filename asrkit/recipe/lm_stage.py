"""The stage that makes a language model, of n-grams or neural."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from asrkit.errors import DataError
from asrkit.files import write_json
from asrkit.lm.stored import LM_LEXICON, NGRAM
from asrkit.progress import tell
from asrkit.recipe.places import Prints, lm_folder, lm_sources, lm_text_paths, utterances_of
from asrkit.recipe.train_stages import average_best, claim
from asrkit.recipe.workspace import Workspace

if TYPE_CHECKING:
    from asrkit.text.tokenizer import Tokenizer


def lm(workspace: Workspace, prints: Prints) -> None:
    """Make the language model, and measure its perplexity on the dev sets."""
    from asrkit.lm.g2p import open_tokenizer, save_spoken
    from asrkit.lm.ngram import read_binary

    kind, folder = workspace.config.lm.kind, lm_folder(workspace)
    tokenizer = open_tokenizer(workspace.folder / "tokenizer")
    texts = training_texts(workspace, prints)
    dev = [u.text for u in utterances_of(workspace, prints, workspace.config.corpus.dev)]
    made: dict[str, int | str]
    if kind in ("lstm", "transformer"):
        read = list(texts)
        unit, made = "token", {"sentences": len(read)}
        perplexity = neural(workspace, prints, tokenizer, read, dev)
    else:
        unit = kind.removesuffix("-ngram")
        split: Callable[[str], list[str]] = str.split if unit == "word" else tokenizer.pieces
        unheard = [split(text) for text in dev]
        if workspace.config.lm.arpa:
            given(workspace, unheard)
            made = {"arpa": str(lm_sources(workspace)[0])}
        else:
            made = {"sentences": ngram(workspace, prints, map(split, texts))}
        model = read_binary(folder / NGRAM)
        perplexity = model.perplexity(unheard).including_oov
        if unit == "word":
            save_spoken(tokenizer, model.vocabulary, folder / LM_LEXICON)
    write_json(folder / "perplexity.json", {"unit": unit, "perplexity": perplexity, **made})
    origin = made.get("arpa", f"{made.get('sentences')} sentences")
    tell(f"  {kind} of {origin}: perplexity {perplexity:.2f} per {unit} on the dev sets")


def training_texts(workspace: Workspace, prints: Prints) -> Iterator[str]:
    """The texts of ``lm.text``, normalised, or the training transcripts.

    Raises:
        DataError: a text that is not readable.
    """
    from asrkit.lm.corpus import read_texts

    paths = lm_text_paths(workspace)
    if not paths:
        yield from (u.text for u in utterances_of(workspace, prints, workspace.config.corpus.train))
    for path in paths:
        try:
            yield from read_texts(path, workspace.config.text.normalizer)
        except DataError as error:
            hint = "see lm.text: UTF-8, a sentence a line, plain, .gz or .xz"
            raise DataError(error.message, hint) from error


def given(workspace: Workspace, dev: list[list[str]]) -> None:
    """Take the n-gram model of ``lm.arpa``.

    Raises:
        DataError: not readable, or it knows no word of the dev sets.
    """
    from asrkit.lm.ngram import read_arpa, write_binary

    source, path = lm_sources(workspace)[0], lm_folder(workspace) / NGRAM
    model = read_arpa(source)
    known = set(model.words)
    if not any(token in known for sentence in dev for token in sentence):
        example = next((token for sentence in dev for token in sentence), "")
        raise DataError(
            f"{source} knows no word of the dev sets, {example!r} for one",
            "a model of the same unit is needed, its words as text.normalizer writes them",
        )
    write_binary(model, path, workspace.config.lm.bits)


def ngram(workspace: Workspace, prints: Prints, texts: Iterable[list[str]]) -> int:
    """Estimate an n-gram model and write it; returns how many sentences it is of.

    The words of the training transcripts belong to the vocabulary of a word model from other texts.
    """
    from asrkit.lm.ngram import Corpus, check_prune, estimate, write_binary

    config, path = workspace.config.lm, lm_folder(workspace) / NGRAM
    check_prune(config.prune, config.order)
    corpus, vocabulary = Corpus.of(texts), None
    if config.kind == "word-ngram":
        vocabulary = corpus.most_frequent(config.max_words or None)
        if lm_text_paths(workspace):
            heard = utterances_of(workspace, prints, workspace.config.corpus.train)
            vocabulary += [word for utterance in heard for word in utterance.text.split()]
    model = estimate(corpus, config.order, config.prune, vocabulary, config.entropy_prune)
    write_binary(model, path, config.bits)
    return corpus.sentences


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
    average_best(folder / "checkpoints", folder / "averaged", config.lm.train)
    trained = load_lm(config.lm, folder, len(tokenizer.tokens), torch.device("cpu"))
    assert trained is not None and trained.network is not None
    with torch.inference_mode():
        total = sum(
            float(trained.network.loss(dev_set.batch(items)).total)
            for items in dev_set.plan(60, shuffle=False)
        )
    return math.exp(total / sum(len(t) + 1 for t in dev_set.tokens))
