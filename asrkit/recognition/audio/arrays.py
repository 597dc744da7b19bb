"""NumPy files as courses hand them out: also arrays of objects, without running anything that is in them."""

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from asrkit.errors import DataError

PLAIN = re.compile(r"[?biufcSU]\d*")
DAMAGED = (
    ValueError, TypeError, EOFError, LookupError, AttributeError, ImportError, OverflowError, MemoryError,
    RecursionError, pickle.UnpicklingError,
)  # fmt: skip


def read_array(path: Path | str) -> np.ndarray:
    """The array in a ``.npy`` file; one of objects (``dtype=object``) may hold arrays, strings and numbers.

    Arrays of objects are pickles. They are read with stand-ins for the few names that such a pickle needs,
    so that a file can make arrays and nothing else. Strings that Python 2 wrote come out as bytes.

    Raises:
        DataError: not readable, or it holds something else; the file is named.
    """
    try:
        with Path(path).open("rb") as file:
            version = npy.read_magic(file)
            header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, _, dtype = header(file)
            if not dtype.hasobject:
                file.seek(0)
                return np.asarray(np.load(file, allow_pickle=False))
            array = _plain(_Unpickler(file, encoding="bytes").load())
            if not isinstance(array, np.ndarray) or array.shape != shape:
                raise ValueError("its header announces another array")
            return array
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except DAMAGED as error:
        raise DataError(
            f"{path} is not a NumPy array of numbers, strings or arrays: {error}",
            "it is damaged, or was not written by numpy.save",
        ) from error


class _Dtype:
    """What a pickle says of a dtype."""

    def __init__(self, kind: str | bytes, *_: Any) -> None:
        self.kind = kind.decode("ascii") if isinstance(kind, bytes) else kind
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = state[1]
        self.order = order.decode("ascii") if isinstance(order, bytes) else order

    @property
    def objects(self) -> bool:
        return self.kind.startswith("O")

    def make(self) -> np.dtype[Any]:
        if not PLAIN.fullmatch(self.kind) or self.order not in ("<", ">", "|", "="):
            raise ValueError(f"it holds {self.kind!r}")
        return np.dtype(self.order + self.kind)


class _Array:
    """What a pickle says of an array."""

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, content = state[-4:]
        if dtype.objects:
            flat = np.empty(len(content), object)
            for place, item in enumerate(content):
                flat[place] = item
        else:
            flat = np.frombuffer(content, dtype.make())
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def _buffer(content: bytes, dtype: _Dtype, shape: tuple[int, ...], order: str) -> _Array:
    made = _Array()
    made.array = np.frombuffer(content, dtype.make()).reshape(shape, order="F" if order == "F" else "C")
    return made


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    return np.frombuffer(content, dtype.make())[0]


def _encode(text: str, _: str) -> bytes:
    return text.encode("latin1")


STAND_INS: dict[str, Any] = {
    "_codecs encode": _encode,
    "numpy dtype": _Dtype,
    "numpy ndarray": object,  # an argument of _reconstruct
    **{f"numpy.{core}.multiarray _reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray scalar": _scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric _frombuffer": _buffer for core in ("core", "_core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module} {name}" not in STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return STAND_INS[f"{module} {name}"]


def _plain(item: Any) -> Any:
    """The arrays, strings and numbers that stand-ins stand for."""
    if isinstance(item, _Array):
        item = item.array
    if isinstance(item, np.ndarray) and item.dtype == object:
        flat = [_plain(entry) for entry in item.flat]
        made = np.empty(len(flat), object)
        for place, entry in enumerate(flat):
            made[place] = entry
        return made.reshape(item.shape)
    if isinstance(item, list | tuple):
        return [_plain(entry) for entry in item]
    if not isinstance(item, np.ndarray | np.generic | str | bytes | int | float):
        raise ValueError(f"it holds a {type(item).__name__}")
    return item
