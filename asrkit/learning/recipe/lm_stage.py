"""The stages that build language models: n-gram or neural."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from asrkit.errors import DataError
from asrkit.files import atomic_write, write_json
from asrkit.learning.recipe.layout import Prints, lm_folder, lm_sources, lm_text_paths, utterances_of
from asrkit.learning.recipe.train_stages import average_best, claim
from asrkit.learning.recipe.workspace import Workspace, alone
from asrkit.progress import tell, track
from asrkit.recognition.stored_lm import NGRAM, RESCORER, RESCORER_FILES, SPELLINGS, WEIGHTS

if TYPE_CHECKING:
    from asrkit.config import LmConfig, RescorerConfig
    from asrkit.recognition.text.tokenizer import Tokenizer

PERPLEXITY = "perplexity.json"
INVENTORY_LINES = 300_000  # lines that sub-words are learned from


def lm(workspace: Workspace, prints: Prints) -> None:
    """Build the language model, and measure its perplexity on the dev sets.

    An n-gram model is built in a folder shared by experiments of equal settings, and copied.
    """
    folder = lm_folder(workspace)
    if workspace.config.lm.kind in ("lstm", "transformer"):
        neural(workspace, prints)
    else:
        shared = workspace.shared("lm", prints["lm"])
        if workspace.force or not (shared / PERPLEXITY).exists():
            ngram(workspace, prints, shared)
        copy({name: shared / name for name in (NGRAM, SPELLINGS, PERPLEXITY)}, folder)
    made = json.loads((folder / PERPLEXITY).read_text(encoding="utf-8"))
    origin = made.get("arpa", f"{made.get('lines')} lines")
    tell(
        f"  {workspace.config.lm.kind} of {origin}: perplexity {made['perplexity']:.2f} per {made['unit']} "
        "on the dev sets"
    )


def copy(sources: Mapping[str, Path], folder: Path) -> None:
    """Copy the files that exist into `folder`, in order; those of other settings are removed."""
    for name in sources:
        (folder / name).unlink(missing_ok=True)
    for name, source in sources.items():
        if source.exists():
            with atomic_write(folder / name, "wb") as file:
                file.write(source.read_bytes())


def dev_texts(workspace: Workspace, prints: Prints) -> list[str]:
    """The transcripts of the dev sets."""
    return [u.text for u in utterances_of(workspace, prints, workspace.config.corpus.dev)]


def training_texts(workspace: Workspace, prints: Prints) -> Iterator[str]:
    """The texts of ``lm.text``, normalised and joined, or the training transcripts.

    Raises:
        DataError: a text is unreadable.
    """
    from asrkit.recognition.ngram.text import read_texts

    paths = lm_text_paths(workspace)
    if not paths:
        yield from (u.text for u in utterances_of(workspace, prints, workspace.config.corpus.train))
    most_words = workspace.config.lm.line_words
    texts = chain.from_iterable(read_texts(path, workspace.config.text.normalizer) for path in paths)
    try:
        yield from join_sentences(texts, most_words, workspace.config.seed) if most_words else texts
    except DataError as error:
        hint = "see lm.text: UTF-8, a sentence a line, plain, .gz or .xz"
        raise DataError(error.message, hint) from error


def ngram(workspace: Workspace, prints: Prints, folder: Path) -> None:
    """Estimate an n-gram model, or convert that of ``lm.arpa``."""
    from asrkit.recognition.ngram.model import read_binary
    from asrkit.recognition.stored_tokenizer import open_tokenizer
    from asrkit.recognition.text.spellings import spelled

    config = workspace.config.lm
    tokenizer = open_tokenizer(workspace.folder / "tokenizer")
    unit = config.kind.removesuffix("-ngram")
    split: Callable[[str], list[str]] = str.split if unit == "word" else tokenizer.pieces
    dev = [split(text) for text in dev_texts(workspace, prints)]
    made: dict[str, int | str]
    if config.arpa:
        source = lm_sources(workspace)[0]
        convert_arpa(source, folder / NGRAM, config.bits, dev)
        made = {"arpa": str(source)}
    else:
        texts = map(split, training_texts(workspace, prints))
        made = {"lines": estimate_ngram(workspace, prints, folder / NGRAM, texts)}
    model = read_binary(folder / NGRAM)
    perplexity = model.perplexity(dev).including_oov
    if unit == "word":
        spelled(track(model.vocabulary, "spell"), tokenizer).save(folder / SPELLINGS, model.vocabulary)
    write_json(folder / PERPLEXITY, {"unit": unit, "perplexity": perplexity, **made})


def convert_arpa(source: Path, path: Path, bits: int, dev: list[list[str]]) -> None:
    """Convert the n-gram model of an ARPA file.

    Raises:
        DataError: it is unreadable, or has no word of the dev sets.
    """
    from asrkit.recognition.ngram.model import read_arpa, write_binary

    model = read_arpa(source)
    known = set(model.words)
    if not any(token in known for sentence in dev for token in sentence):
        example = next((token for sentence in dev for token in sentence), "")
        raise DataError(
            f"{source} has no word of the dev sets, for example {example!r}",
            "the model needs the same unit, and words as text.normalizer writes them",
        )
    write_binary(model, path, bits)


def estimate_ngram(workspace: Workspace, prints: Prints, path: Path, texts: Iterable[list[str]]) -> int:
    """Estimate an n-gram model and write it; returns the number of lines.

    The vocabulary of a word model from other texts includes the words of the training transcripts.
    """
    from asrkit.recognition.ngram.model import EncodedText, check_prune, estimate, write_binary

    config = workspace.config.lm
    check_prune(config.prune, config.order)
    corpus, vocabulary = EncodedText.of(texts), None
    if config.kind == "word-ngram":
        vocabulary = corpus.most_frequent(config.max_words or None)
        if lm_text_paths(workspace):
            transcribed = utterances_of(workspace, prints, workspace.config.corpus.train)
            vocabulary += [word for utterance in transcribed for word in utterance.text.split()]
    model = estimate(corpus, config.order, config.prune, vocabulary, config.entropy_prune)
    write_binary(model, path, config.bits)
    return corpus.sentences


def neural(workspace: Workspace, prints: Prints) -> None:
    """Train a neural model over the recogniser's tokens."""
    from asrkit.recognition.stored_tokenizer import open_tokenizer

    folder = lm_folder(workspace)
    claim(folder, prints["lm"], workspace.force)
    tokenizer = open_tokenizer(workspace.folder / "tokenizer")
    texts = list(training_texts(workspace, prints))
    nats, tokens = train_network(workspace, prints, workspace.config.lm, texts, tokenizer, folder)
    made = {"unit": "token", "perplexity": math.exp(nats / tokens), "lines": len(texts)}
    write_json(folder / PERPLEXITY, made)


def rescorer(workspace: Workspace, prints: Prints) -> None:
    """Train the neural sub-word model that rescores, and measure its perplexity on the dev sets.

    It is trained in a folder shared by experiments of equal settings, and copied.
    """
    from asrkit.config import TextConfig
    from asrkit.recognition.text.tokenizer import build_tokenizer

    config = workspace.config.lm.rescorer
    folder, shared = lm_folder(workspace) / RESCORER, workspace.shared(RESCORER, prints["rescorer"])
    with alone(shared):
        if workspace.force or not (shared / PERPLEXITY).exists():
            claim(shared, prints["rescorer"], workspace.force)
            texts = list(islice(training_texts(workspace, prints), config.max_lines or None))
            settings = TextConfig(tokenizer="bpe", vocab_size=config.vocab_size)
            tokenizer = build_tokenizer(settings, texts[:: len(texts) // INVENTORY_LINES + 1])
            tokenizer.save(shared)
            nats, _ = train_network(workspace, prints, config, texts, tokenizer, shared)
            words = sum(len(text.split()) + 1 for text in dev_texts(workspace, prints))
            write_json(shared / PERPLEXITY, {"perplexity": math.exp(nats / words), "lines": len(texts)})
    files = {name: shared / name for name in (*RESCORER_FILES, PERPLEXITY)}
    copy(files | {Path(WEIGHTS).name: shared / WEIGHTS}, folder)
    made = json.loads((folder / PERPLEXITY).read_text(encoding="utf-8"))
    tell(f"  {config.kind} of {made['lines']} lines: perplexity {made['perplexity']:.2f} per word")


def join_sentences(sentences: Iterable[str], most_words: int, seed: int) -> Iterator[str]:
    """Successive sentences joined into lines of 1 to `most_words` words or few more, drawn uniformly."""
    import numpy as np

    rng = np.random.default_rng(seed)
    line: list[str] = []
    goal = 0
    for sentence in sentences:
        line += sentence.split()
        if len(line) >= goal:
            yield " ".join(line)
            line, goal = [], int(rng.integers(1, most_words + 1))
    if line:
        yield " ".join(line)


def train_network(
    workspace: Workspace,
    prints: Prints,
    config: LmConfig | RescorerConfig,
    texts: list[str],
    tokenizer: Tokenizer,
    folder: Path,
) -> tuple[float, int]:
    """Train a neural model from its last checkpoint in `folder`, and average its best ones.

    Returns:
        negative log probability of the dev sets in nats, and their tokens, sentence ends included.
    """
    import torch

    from asrkit.config import AugmentConfig, neural_lm_shape
    from asrkit.learning.lm.neural import NeuralLm, read_network
    from asrkit.learning.training.data import TextSource
    from asrkit.learning.training.loop import train

    train_set, dev_set = (
        TextSource(lines, [tokenizer.encode(line) for line in lines])
        for lines in (texts, dev_texts(workspace, prints))
    )
    torch.manual_seed(workspace.config.seed)
    model = NeuralLm(neural_lm_shape(config), len(tokenizer.tokens))
    tell(f"  {sum(p.numel() for p in model.parameters()):,} parameters")
    train(
        model,
        train_set,
        dev_set,
        config.train,
        AugmentConfig(speeds=[1.0]),
        folder,
        seed=workspace.config.seed,
        device=workspace.device,
    )
    average_best(folder / "checkpoints", folder / "averaged", config.train)
    trained = read_network(config, folder / WEIGHTS, len(tokenizer.tokens))
    with torch.inference_mode():
        nats = sum(float(trained.loss(dev_set.batch(i)).total) for i in dev_set.plan(60, shuffle=False))
    return nats, sum(len(tokens) + 1 for tokens in dev_set.tokens)
