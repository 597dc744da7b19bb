"""ARPA files: n-gram models as text."""

import gzip
import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from asrkit.errors import DataError
from asrkit.files import atomic_write
from asrkit.progress import track
from asrkit.recognition.ngram.trie import (
    BOS,
    BOS_ID,
    EOS,
    EOS_ID,
    LOG_10,
    NEVER,
    UNK,
    WORD_UNK_ID,
    NgramModel,
    find,
    longest_suffixes,
)

UNLISTED = -100.0  # log10; what KenLM gives unknown words where the file has no <unk>
LINES = 1 << 18  # written at once
GZIP = b"\x1f\x8b"


def write_arpa(model: NgramModel, path: Path | str) -> None:
    """Write a model in the ARPA format, gzipped where `path` ends in ``.gz``.

    The base-10 logarithms have digits enough to give the same float32 natural ones again.
    """
    with atomic_write(path, "wb") as file:
        packed = gzip.GzipFile("", "wb", 6, file, mtime=0) if Path(path).suffix == ".gz" else None
        for lines in track(_arpa_lines(model), "write n-grams"):
            (packed or file).write("".join(lines).encode())
        if packed:
            packed.close()


def _arpa_lines(model: NgramModel) -> Iterator[Iterable[str]]:
    names, first = np.array(model.words, object), model.first.tolist()
    yield ["\\data\\\n", *(f"ngram {n}={first[n + 1] - first[n]}\n" for n in range(1, model.order + 1))]
    for n in range(1, model.order + 1):
        yield [f"\n\\{n}-grams:\n"]
        for begin in range(first[n], first[n + 1], LINES):
            nodes = np.arange(begin, min(begin + LINES, first[n + 1]))
            values = np.stack([model.log_probs[nodes], model.backoffs[nodes]]).astype(np.float64)
            log_probs, backoffs = (values / LOG_10).tolist()
            nodes, last = np.divmod(model.keys[nodes - 1], len(names))
            texts = names[last]
            for _ in range(n - 1):
                nodes, last = np.divmod(model.keys[nodes - 1], len(names))
                texts = names[last] + " " + texts
            yield (
                f"{p:.9g}\t{text}\t{b:.9g}\n" if b else f"{p:.9g}\t{text}\n"
                for p, text, b in zip(log_probs, texts.tolist(), backoffs, strict=True)
            )
    yield ["\n\\end\\\n"]


def read_arpa(path: Path | str) -> NgramModel:
    """Read an ARPA file of any origin, gzipped or not. Raises DataError if not readable or not whole."""
    try:
        with Path(path).open("rb") as file:
            packed = file.peek(2)[:2] == GZIP
            return _parse(gzip.open(file) if packed else file)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}", "give an ARPA file in UTF-8") from error
    except (ValueError, IndexError, OverflowError) as error:
        raise DataError(f"{path} is no ARPA file: {error}", "make it again; is it cut off?") from error


def _parse(file: Iterable[bytes]) -> NgramModel:
    # Bytes are split at ASCII white space only: other white space may be part of a word.
    lines = (line for raw in file if (line := raw.strip()))
    sizes, section = _parse_sizes(lines)
    ids = {UNK.encode(): WORD_UNK_ID, BOS.encode(): BOS_ID, EOS.encode(): EOS_ID}
    keys = np.zeros(0, np.int64)
    values = [np.zeros((2, 1), np.float32)]
    first = [0, 1]
    for n, size in enumerate(sizes, 1):
        if section != b"\\%d-grams:" % n:
            raise ValueError(f"{_shown(section)} where \\{n}-grams: should be")
        grams, weights = _parse_section(islice(lines, size), n, ids)
        section = next(lines, b"")
        if n == 1:
            grams, weights = _with_specials(grams, weights, len(ids))
        if (grams < 0).any():
            raise ValueError(f"a word of the {n}-grams is not among the 1-grams")
        nodes = np.zeros(len(grams), np.int64)
        for column in grams.T[:-1]:
            nodes = find(keys, nodes, column, len(ids))
        if (nodes < 0).any():
            raise ValueError(f"an n-gram of {n} words whose first {n - 1} are not listed")
        new = nodes * len(ids) + grams[:, -1]
        order = np.argsort(new)
        if (np.diff(new[order]) == 0).any():
            raise ValueError(f"one of the {n}-grams is listed twice")
        keys = np.concatenate([keys, new[order]])
        values.append(weights[:, order])
        first.append(len(keys) + 1)
    if section != b"\\end\\":
        raise ValueError(f"{_shown(section)} where \\end\\ should be")
    log_probs, backoffs = np.concatenate(values, axis=1)
    words, suffixes = [word.decode() for word in ids], longest_suffixes(keys, first, len(ids))
    return NgramModel(words, keys, log_probs, backoffs, suffixes, np.array(first))


def _parse_sizes(lines: Iterator[bytes]) -> tuple[list[int], bytes]:
    """How many n-grams of each order the header announces, and the line after it."""
    if not any(line == b"\\data\\" for line in lines):
        raise ValueError("it has no \\data\\")
    sizes: list[int] = []
    for line in lines:
        if not line.startswith(b"ngram "):
            break
        order, size = line[6:].split(b"=")
        if int(order) != len(sizes) + 1:
            raise ValueError(f"{_shown(line)} out of order")
        sizes.append(int(size))
    if not sizes:
        raise ValueError("it announces no n-grams")
    return sizes, line


def _parse_section(lines: Iterable[bytes], n: int, ids: dict[bytes, int]) -> tuple[np.ndarray, np.ndarray]:
    """The ids int32[K, n] of n-grams, -1 for unknown words, and float32[2, K], natural logarithms.

    Unigrams are added to `ids`.
    """
    grams, values = array("i"), array("d")
    for line in lines:
        fields = line.split()
        if not n < len(fields) <= n + 2:
            raise ValueError(f"{_shown(line)} among the {n}-grams")
        if n == 1:
            grams.append(ids.setdefault(fields[1], len(ids)))
        else:
            grams.extend([ids.get(word, -1) for word in fields[1 : n + 1]])
        values.extend((float(fields[0]), float(fields[n + 1]) if len(fields) > n + 1 else 0.0))
    weights = (np.array(values).reshape(-1, 2).T * LOG_10).astype(np.float32)
    if not np.isfinite(weights).all():
        raise ValueError(f"the {n}-grams have a value that is not finite")
    return np.array(grams, np.int32).reshape(-1, n), weights


def _with_specials(grams: np.ndarray, weights: np.ndarray, vocab: int) -> tuple[np.ndarray, np.ndarray]:
    """The unigrams int32[V, 1] and their values float32[2, V], with those that a file need not have."""
    absent = np.setdiff1d(np.arange(vocab, dtype=np.int32), grams[:, 0])
    filled = np.zeros((2, len(absent)), np.float32)
    filled[0] = np.where(absent == BOS_ID, NEVER, UNLISTED) * LOG_10
    return np.concatenate([grams, absent[:, None]]), np.concatenate([weights, filled], axis=1)


def _shown(line: bytes) -> str:
    return repr(line.decode(errors="backslashreplace"))
