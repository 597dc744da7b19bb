"""N-gram models as small binary files, which are read at once and checked before anything is made of them.

A file is ``MAGIC``, a head of little-endian uint64, a zlib stream, and the SHA-256 of all before it. The head
says the order, the bits of a value (0: float32), the bytes of the stream unpacked, those of the words, then
for each order from 1 how many n-grams there are and how many bytes a count of children takes. The stream has
the words after the special ones, a line each; log probabilities and back-offs of order 1; and for each order
from 2

- of each n-gram one shorter, how many n-grams begin with it,
- of each n-gram, the last word; the others are those of the n-gram it begins with,
- log probabilities, and below the highest order back-offs: float32, or a codebook and places in it.

Numbers of more than one byte lie in planes, all first bytes before all second ones, which packs better.
Codebooks have equally filled bins: Federico & Bertoldi, "How Many Bits Are Needed To Store Probabilities for
Phrase-Based Translation?", 2006; 0 is always kept too.
"""

import hashlib
import zlib
from itertools import accumulate
from pathlib import Path

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.files import atomic_write
from asrkit.recognition.ngram.trie import BOS, EOS, UNK, NgramModel, longest_suffixes

MAGIC = b"asrkit n-grams 1"
DIGEST = hashlib.sha256().digest_size
MAX_BITS, MAX_ORDER = 16, 16
MAX_UNPACKED, MAX_RATIO = 1 << 26, 32  # bytes beside those of the file; models pack to a half or a fifth


def write_binary(model: NgramModel, path: Path | str, bits: int = 0) -> None:
    """Write a model in the form this module describes.

    The `bits` are those of each value above order 1, up to 16; 0 keeps all values exactly. Raises UsageError
    for others.
    """
    if not 0 <= bits <= MAX_BITS:
        fix = f"choose 1 to {MAX_BITS}, or 0 for exact ones"
        raise UsageError(f"n-grams with values of {bits} bits", fix)
    sizes = np.diff(model.first[1:])
    children = [np.zeros(0, np.int64)]
    for n in range(2, model.order + 1):
        begin, end = model.first[n : n + 2]
        parents = model.keys[begin - 1 : end - 1] // len(model.words) - model.first[n - 1]
        children.append(np.bincount(parents, minlength=sizes[n - 2]))
    widths = [_width(int(counts.max(initial=0)) + 1) for counts in children]
    words = "\n".join(model.vocabulary).encode()

    parts = [words]
    for n, (counts, width) in enumerate(zip(children, widths, strict=True), 1):
        nodes = slice(model.first[n], model.first[n + 1])
        if n > 1:
            last = model.keys[nodes.start - 1 : nodes.stop - 1] % len(model.words)
            parts += [_planes(counts, width), _planes(last, _width(len(model.words)))]
        for values in (model.log_probs, model.backoffs)[: 1 if 1 < n == model.order else 2]:
            parts.append(_packed_values(values[nodes], bits if n > 1 else 0))
    stream = zlib.compressobj()
    head = [model.order, bits, sum(map(len, parts)), len(words)]
    numbers = np.array([*head, *np.stack([sizes, widths], axis=1).ravel()], "<u8")
    digest = hashlib.sha256()
    with atomic_write(path, "wb") as file:
        for block in (MAGIC, numbers.tobytes(), *map(stream.compress, parts), stream.flush()):
            digest.update(block)
            file.write(block)
        file.write(digest.digest())


def read_binary(path: Path | str) -> NgramModel:
    """Read such a file. Raises DataError if it is none, not readable, damaged, or its content no model."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error}", "give a file that asrkit lm wrote") from error
    if not content.startswith(MAGIC):
        raise DataError(f"{path} is no n-gram model of asrkit", "give a file that asrkit lm wrote")
    whole = len(content) > len(MAGIC) + DIGEST
    if not whole or hashlib.sha256(memoryview(content)[:-DIGEST]).digest() != content[-DIGEST:]:
        raise DataError(f"{path} is cut short or damaged", "make it again, or get it again")
    try:
        return _parse(memoryview(content)[len(MAGIC) : -DIGEST])
    except (ValueError, zlib.error) as error:
        raise DataError(f"{path} holds no n-gram model: {error}", "make it again with asrkit lm") from error


def _parse(content: memoryview) -> NgramModel:
    order, bits, unpacked, text_size = map(int, np.frombuffer(content[:32], "<u8"))
    if not (1 <= order <= MAX_ORDER and bits <= MAX_BITS):
        raise ValueError(f"order {order}, {bits} bits")
    table = np.frombuffer(content[32 : 32 + 16 * order], "<u8").reshape(order, 2).tolist()
    packed = content[32 + 16 * order :]
    if unpacked > MAX_UNPACKED + MAX_RATIO * len(packed):
        raise ValueError("it claims to be larger than it can be")
    unpacker = zlib.decompressobj()
    take = _Cursor(unpacker.decompress(packed, unpacked + 1), unpacked)

    text = bytes(take(text_size))
    words = [UNK, BOS, EOS, *(word.decode() for word in text.split())]
    if text != "\n".join(words[3:]).encode() or table[0][0] != len(words) or len({*words}) < len(words):
        raise ValueError("its words are not distinct, or not as many as it says")
    first = [0, *accumulate([size for size, _ in table], initial=1)]
    if sum(size for size, _ in table) > unpacked:
        raise ValueError("it claims more n-grams than it has bytes")
    keys = np.empty(first[-1] - 1, np.int64)
    log_probs, backoffs = np.zeros(first[-1], np.float32), np.zeros(first[-1], np.float32)
    keys[: len(words)] = np.arange(len(words))
    log_probs[1 : first[2]], backoffs[1 : first[2]] = (take.values(len(words), 0) for _ in range(2))
    for n, (size, width) in enumerate(table[1:], 2):
        nodes = slice(first[n], first[n + 1])
        counts = take.numbers(first[n] - first[n - 1], width)
        last = take.numbers(size, _width(len(words)))
        if counts.sum() != size or (last >= len(words)).any():
            raise ValueError(f"the {n}-grams and those one shorter do not fit")
        last += np.repeat(np.arange(first[n - 1], first[n]) * len(words), counts)
        keys[first[n] - 1 : first[n + 1] - 1] = last
        log_probs[nodes] = take.values(size, bits)
        if n < order:
            backoffs[nodes] = take.values(size, bits)
    if take.at != unpacked:
        raise ValueError("there is more than there should be")
    if (keys[1:] <= keys[:-1]).any():
        raise ValueError("its n-grams are out of order")
    if not (np.isfinite(log_probs).all() and np.isfinite(backoffs).all()):
        raise ValueError("it has values that are not finite")
    suffixes = longest_suffixes(keys, first, len(words))
    return NgramModel(words, keys, log_probs, backoffs, suffixes, np.array(first))


class _Cursor:
    """Takes one piece after another from `content`; raises ValueError at its end."""

    def __init__(self, content: bytes, size: int) -> None:
        self.content, self.at = memoryview(content), 0
        if len(content) != size:
            raise ValueError("its size is not what it says")

    def __call__(self, size: int) -> memoryview:
        if size > len(self.content) - self.at:
            raise ValueError("it ends too soon")
        self.at += size
        return self.content[self.at - size : self.at]

    def numbers(self, count: int, width: int) -> np.ndarray:
        """int64[count] from `width` planes."""
        if not 1 <= width <= 4:
            raise ValueError(f"numbers of {width} bytes")
        planes = np.frombuffer(self(count * width), np.uint8).reshape(width, count)
        numbers: np.ndarray = planes[0].astype(np.int64)
        for place, plane in enumerate(planes[1:], 1):
            numbers += plane.astype(np.int64) << 8 * place
        return numbers

    def values(self, count: int, bits: int) -> np.ndarray:
        """float32[count], themselves or from a codebook of ``2 ** bits``."""
        if bits:
            book = self.values(1 << bits, 0)
            codes = self.numbers(count, _width(1 << bits))
            if (codes >= len(book)).any():
                raise ValueError("a code that is not in its codebook")
            values: np.ndarray = book[codes]
            return values
        values = self.numbers(count, 4).astype("<u4").view("<f4").astype(np.float32)
        return values


def _width(count: int) -> int:
    """Bytes that tell `count` things apart."""
    return max(1, ((count - 1).bit_length() + 7) // 8)


def _planes(numbers: np.ndarray, width: int) -> bytes:
    table = numbers.astype("<u4").view(np.uint8).reshape(-1, 4)
    return np.ascontiguousarray(table[:, :width].T).tobytes()


def _packed_values(values: np.ndarray, bits: int) -> bytes:
    if not bits:
        return _planes(values.astype("<f4").view("<u4"), 4)
    book = _codebook(values, 1 << bits)
    borders = (book[1:] + book[:-1].astype(np.float64)) / 2
    return _packed_values(book, 0) + _planes(np.searchsorted(borders, values), _width(1 << bits))


def _codebook(values: np.ndarray, size: int) -> np.ndarray:
    """float32[size], rising: 0, and the means of the other values in equally filled bins."""
    others = np.sort(values[values != 0])
    distinct = np.unique(others)
    bins = [*distinct] if len(distinct) < size else [part.mean() for part in np.array_split(others, size - 1)]
    book = np.array([*bins, 0.0], np.float32)
    return np.sort(np.pad(book, (0, size - len(book)), constant_values=book.max()))
