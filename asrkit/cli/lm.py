"""asrkit lm: n-gram language models of text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.messages import one_line
from asrkit.cli.options import setting
from asrkit.errors import DataError, UsageError
from asrkit.progress import tell

if TYPE_CHECKING:
    from asrkit.recognition.ngram.model import EncodedText, NgramModel, Perplexity


@click.command("lm")
@click.argument("text", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Model to write: .arpa, .arpa.gz, or .ngram (asrkit's compact binary format).",
)
@setting("lm.order", show_default="3")
@setting("text.normalizer", default="none")
@click.option("--vocab", type=click.Path(path_type=Path), help="File of words; all others become <unk>.")
@click.option(
    "--max-words",
    type=click.IntRange(1),
    show_default="all",
    help="Keep the N most frequent words; all others become <unk>.",
)
@click.option(
    "--prune",
    metavar="N,N,…",
    show_default="0",
    help="Prune n-grams that occur at most N times: a threshold per order, the last for all higher orders. "
    "0,0,1 prunes trigrams that occur once.",
)
@setting("lm.entropy_prune", show_default="0")
@setting("lm.bits", default=0)
@click.option(
    "--perplexity",
    "measured",
    multiple=True,
    metavar="TEXT",
    help="Print the perplexity of this text; may be repeated.",
)
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Convert or measure this model instead of estimating one.",
)
def command(
    text: tuple[str, ...],
    output: Path | None,
    order: int | None,
    normalizer: str,
    vocab: Path | None,
    max_words: int | None,
    prune: str | None,
    entropy_prune: float | None,
    bits: int,
    measured: tuple[str, ...],
    model: Path | None,
) -> None:
    """Estimate an n-gram model of the TEXT files: UTF-8, a sentence per line, plain, .gz or .xz; - is stdin.

    Smoothing is interpolated modified Kneser-Ney; probabilities and pruning match KenLM's lmplz.
    """
    from asrkit.recognition.ngram.model import (
        check_ngram_path,
        check_prune,
        estimate,
        read_ngram,
        write_ngram,
    )

    shaping = (order, vocab, max_words, prune, entropy_prune)
    if model and (text or any(value is not None for value in shaping)):
        raise UsageError(
            "--model goes without TEXT, --order, --vocab, --max-words, --prune and --entropy-prune",
            "these are for estimating a model",
        )
    if not model and not text:
        raise UsageError("no text", "give text files, - for standard input, or --model")
    if vocab and max_words:
        raise UsageError("both --vocab and --max-words given", "give one of them")
    if not output and not measured:
        raise UsageError("nothing to do", "give -o to write a model, --perplexity to measure one, or both")
    if output:
        check_ngram_path(output, bits)
    thresholds = _thresholds(prune or "0")
    check_prune(thresholds, order or 3)
    for path in (*text, *measured):
        if path != "-" and not Path(path).exists():
            raise DataError(
                f"{path} does not exist", "give UTF-8 text, one sentence per line, plain, .gz or .xz"
            )

    if model:
        lm = read_ngram(model)
    else:
        corpus, vocabulary = _read(text, normalizer, vocab, max_words)
        lm = estimate(corpus, order or 3, thresholds, vocabulary, entropy_prune or 0.0)
    if output:
        try:
            write_ngram(lm, output, bits)
        except OSError as error:
            raise DataError(f"cannot write {output}: {error.strerror}", "choose another path") from error
        tell(f"{one_line(str(output))}: {_describe(lm)}, {output.stat().st_size / 1e6:.1f} MB")
        lm = read_ngram(output) if bits else lm
    for path in measured:
        tell(f"{one_line(path)}: {_measured(lm, path, normalizer)}")


def _thresholds(prune: str) -> list[int]:
    try:
        return [int(number) for number in prune.replace(",", " ").split()]
    except ValueError:
        raise UsageError(f"--prune {prune}: not whole numbers", "for example --prune 0,0,1") from None


def _read(
    texts: Sequence[str], normalizer: str, vocab: Path | None, max_words: int | None
) -> tuple[EncodedText, list[str] | None]:
    """The texts, and the vocabulary of the model; None: all words."""
    from asrkit.recognition.ngram.model import EncodedText, read_texts

    listed = [word for line in read_texts(vocab, normalizer) for word in line.split()] if vocab else None
    corpus = EncodedText.of(line.split() for path in texts for line in read_texts(path, normalizer))
    tell(f"{corpus.sentences:,} sentences, {corpus.tokens:,} words, {len(corpus.words) - 3:,} distinct")
    return corpus, corpus.most_frequent(max_words) if max_words else listed


def _describe(lm: NgramModel) -> str:
    sizes = (lm.first[1:] - lm.first[:-1])[1:].tolist()
    return ", ".join(f"{size:,} {n}-grams" for n, size in enumerate(sizes, 1))


def _measured(lm: NgramModel, path: str, normalizer: str) -> str:
    from asrkit.recognition.ngram.model import read_texts

    result: Perplexity = lm.perplexity(line.split() for line in read_texts(path, normalizer))
    if not result.oov:
        return f"perplexity {result.including_oov:.2f} of {result.words:,} words and ends of sentences"
    return (
        f"perplexity {result.including_oov:.2f} of {result.words:,} words and ends of sentences, "
        f"{result.excluding_oov:.2f} without the {result.oov:,} unknown words"
    )
