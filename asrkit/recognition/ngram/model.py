"""N-gram language models: the model, its estimation from text, and its files."""

from pathlib import Path

from asrkit.errors import DataError, UsageError
from asrkit.recognition.ngram.arpa import read_arpa, write_arpa
from asrkit.recognition.ngram.binary import MAGIC, read_binary, write_binary
from asrkit.recognition.ngram.estimation import check_prune, estimate
from asrkit.recognition.ngram.text import EncodedText, read_texts
from asrkit.recognition.ngram.trie import (
    BOS,
    BOS_ID,
    EOS,
    EOS_ID,
    LOG_10,
    ROOT,
    UNK,
    WORD_UNK_ID,
    NgramModel,
    Perplexity,
)

__all__ = [
    "BOS",
    "BOS_ID",
    "EOS",
    "EOS_ID",
    "LOG_10",
    "ROOT",
    "UNK",
    "WORD_UNK_ID",
    "EncodedText",
    "NgramModel",
    "Perplexity",
    "check_ngram_path",
    "check_prune",
    "estimate",
    "read_arpa",
    "read_binary",
    "read_ngram",
    "read_texts",
    "write_arpa",
    "write_binary",
    "write_ngram",
]

BINARY = ".ngram"
KENLM = b"mmap lm http://kheafield.com/code"


def read_ngram(path: Path | str) -> NgramModel:
    """Read a model of either form, ARPA (gzipped or not) or asrkit's binary one; the content tells which.

    Raises:
        DataError: not readable, or neither.
    """
    try:
        with Path(path).open("rb") as file:
            start = file.read(len(KENLM))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}", "give an ARPA file or one of asrkit lm") from error
    if start == KENLM:
        raise DataError(f"{path} is a binary file of KenLM", "give the ARPA file that it was made from")
    return read_binary(path) if start.startswith(MAGIC) else read_arpa(path)


def write_ngram(model: NgramModel, path: Path | str, bits: int = 0) -> None:
    """Write a model in the form that the file's name asks for.

    Args:
        path: ``.arpa`` or ``.arpa.gz``, or ``.ngram`` for asrkit's binary form.
        bits: of a value in the binary form, see :func:`asrkit.recognition.ngram.binary.write_binary`.

    Raises:
        UsageError: another ending, or `bits` for an ARPA file.
    """
    check_ngram_path(path, bits)
    if Path(path).suffix == BINARY:
        write_binary(model, path, bits)
    else:
        write_arpa(model, path)


def check_ngram_path(path: Path | str, bits: int = 0) -> None:
    """Raises UsageError for what :func:`write_ngram` cannot write."""
    name = Path(path).name
    if not name.endswith((".arpa", ".arpa.gz", BINARY)):
        raise UsageError(f"{path}: an unknown ending", f"write .arpa, .arpa.gz or {BINARY} (binary)")
    if bits and not name.endswith(BINARY):
        raise UsageError(f"{path}: values of {bits} bits in an ARPA file", f"write {BINARY} (binary)")
