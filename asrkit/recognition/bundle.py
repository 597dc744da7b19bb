"""Bundles: a trained recogniser as one file, or as a folder of the same parts.

A ``.asrkit`` file is a zip whose entries are stored uncompressed, so that its size bounds what it unpacks to
and the same parts always give the same bytes. ``manifest.json`` lists every part with its size and SHA-256.
Nothing in a bundle is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from asrkit.errors import ModelError
from asrkit.files import atomic_write

FORMAT, FORMAT_VERSION = "asrkit-bundle", 1
MANIFEST = "manifest.json"
MAX_MANIFEST = 1 << 20  # bytes
PICKLES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"})
SAFE_NAME = re.compile(r"\w[\w.+-]*(/\w[\w.+-]*)*", re.ASCII)
BROKEN_ZIP = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OverflowError)
HINT = "get the bundle again, or pack it again"


class Part(NamedTuple):
    """An entry of the manifest: a part's size in bytes and its hexadecimal SHA-256."""

    size: int
    sha256: str


def pack(parts: Mapping[str, Path | bytes], out: Path | str, info: Mapping[str, Any]) -> Path:
    """Write a bundle. The same parts and info give the same bytes.

    Args:
        parts: name in the bundle (``tokenizer/tokens.txt``) -> file or content.
        out: the ``.asrkit`` file to write.
        info: where it comes from, as plain data for JSON.

    Returns:
        `out`.

    Raises:
        ModelError: a name that no bundle may hold, or a file that cannot be read.
    """
    listed: dict[str, dict[str, Any]] = {}
    with atomic_write(out, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(parts):
            _check_name(name, Path(out))
            if name == MANIFEST:
                raise ModelError(f"cannot pack a part called {MANIFEST}", "it is written by asrkit")
            source = parts[name]
            try:
                content = source if isinstance(source, bytes) else source.read_bytes()
            except OSError as error:
                raise ModelError(f"cannot pack {name}: {error}", "train the model first") from error
            listed[name] = _describe(content)._asdict()
            archive.writestr(_entry(name), content)
        manifest = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "asrkit": asrkit_version(),
            "info": dict(info),
            "parts": listed,
        }
        archive.writestr(_entry(MANIFEST), json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    return Path(out)


class Bundle:
    """An open bundle; parts are checked before they are returned. Made by :meth:`open`.

    Attributes:
        path: the file or folder.
        asrkit: version of asrkit that packed it.
        info: its origin, as passed to :func:`pack`.
        parts: name -> size and checksum.
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.path = path
        try:
            if manifest["format"] != FORMAT:
                raise ValueError("another format")
            version, self.asrkit = int(manifest["format_version"]), str(manifest["asrkit"])
            if version > FORMAT_VERSION:
                raise ModelError(
                    f"{path} has bundle format {version}, written by asrkit {self.asrkit}; "
                    f"this asrkit reads up to {FORMAT_VERSION}",
                    "pip install --upgrade asrkit",
                )
            self.info: dict[str, Any] = dict(manifest["info"])
            self.parts = {str(name): Part(**part) for name, part in manifest["parts"].items()}
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(f"{path} is not an asrkit bundle: unrecognised {MANIFEST}", HINT) from error

    @classmethod
    def open(cls, path: Path | str, *, contents: bool = True) -> Bundle:
        """Check the manifest, the names, the sizes and the checksums of a bundle, and only then return it.

        Args:
            path: a ``.asrkit`` file, or a folder of the same parts.
            contents: check the checksums of all parts now, not only of each part when it is read.

        Raises:
            ModelError: not a bundle, damaged, changed, unsafe, or of a newer format.
        """
        path = Path(path)
        try:
            sizes = _list_folder(path) if path.is_dir() else _list_zip(path)
            if sizes.pop(MANIFEST) > MAX_MANIFEST:
                raise ModelError(f"{path}: {MANIFEST} is too large", HINT)
            bundle = cls(path, json.loads(_read(path, MANIFEST)))
        except (ValueError, RecursionError) as error:
            raise ModelError(f"{path} is not an asrkit bundle: {MANIFEST} is not JSON", HINT) from error
        except OSError as error:
            raise ModelError(
                f"cannot open {path}: {error.strerror or error}", "give a bundle's path"
            ) from error
        for name in sorted(sizes.keys() ^ bundle.parts):
            wrong = "is missing" if name in bundle.parts else "is not in the manifest"
            raise ModelError(f"{path}: part {name} {wrong}", HINT)
        for name, size in sizes.items():
            if size != bundle.parts[name].size:
                raise ModelError(f"{path}: part {name} has another size than in the manifest", HINT)
            if contents:
                bundle.read(name)
        return bundle

    @property
    def names(self) -> list[str]:
        """Names of the parts, sorted."""
        return sorted(self.parts)

    def read(self, name: str) -> bytes:
        """The content of a part.

        Raises:
            ModelError: the part does not exist, or its content is not what was packed.
        """
        if name not in self.parts:
            raise ModelError(f"{self.path} has no part {name}", "it has: " + ", ".join(self.names))
        content = _read(self.path, name)
        if _describe(content) != self.parts[name]:
            raise ModelError(f"{self.path}: part {name} was changed: its checksum differs", HINT)
        return content

    def extract(self, folder: Path | str) -> Path:
        """Write all parts, and last the manifest, into `folder`, which then is the same bundle."""
        for name in [*self.names, MANIFEST]:
            content = _read(self.path, MANIFEST) if name == MANIFEST else self.read(name)
            part = Path(folder) / name
            part.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
        return Path(folder)


def asrkit_version() -> str:
    """The installed version of asrkit; ``unknown`` when it runs without being installed."""
    try:
        return metadata.version("asrkit")
    except metadata.PackageNotFoundError:
        return "unknown"


def _describe(content: bytes) -> Part:
    return Part(len(content), hashlib.sha256(content).hexdigest())


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.create_system, entry.external_attr = 3, (stat.S_IFREG | 0o644) << 16
    return entry


def _check_name(name: str, path: Path) -> None:
    if not SAFE_NAME.fullmatch(name):
        raise ModelError(f"{path}: unsafe name of a part: {name!r}", "use letters, digits, . _ + and -")
    if PurePosixPath(name).suffix.lower() in PICKLES:
        raise ModelError(f"{path}: {name} may hold a pickle, which can run code", "bundles hold safetensors")


def _list_folder(path: Path) -> dict[str, int]:
    if not (path / MANIFEST).is_file():
        raise ModelError(f"{path} is not an asrkit bundle: it has no {MANIFEST}", "give a .asrkit file")
    sizes = {}
    for part in path.rglob("*"):
        name = part.relative_to(path).as_posix()
        if part.is_symlink() or not (part.is_dir() or part.is_file()):
            raise ModelError(f"{path}: {name} is not a plain file", "a bundle holds no links")
        if part.is_file():
            _check_name(name, path)
            sizes[name] = part.stat().st_size
    return sizes


def _list_zip(path: Path) -> dict[str, int]:
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            raise ModelError(f"{path} is not an asrkit bundle", "give a .asrkit file")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except BROKEN_ZIP as error:
        raise ModelError(f"{path} is cut short or damaged", HINT) from error
    if MANIFEST not in (entry.filename for entry in entries):
        raise ModelError(
            f"{path} is a zip, but not an asrkit bundle: it has no {MANIFEST}", "give a .asrkit file"
        )
    for entry in entries:
        _check_name(entry.filename, path)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise ModelError(f"{path}: {entry.filename} is not a plain file", "a bundle holds no links")
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise ModelError(
                f"{path}: {entry.filename} is compressed or encrypted", "unpack it and give the folder"
            )
    sizes = {entry.filename: entry.file_size for entry in entries}
    if len({name.lower() for name in sizes}) < len(entries):
        raise ModelError(f"{path}: a part occurs twice", HINT)
    if sum(sizes.values()) > path.stat().st_size:
        raise ModelError(f"{path}: its parts claim to be larger than the file", HINT)
    return sizes


def _read(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            return (path / name).read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (*BROKEN_ZIP, KeyError, OSError) as error:
        raise ModelError(f"{path}: cannot read {name}: {error}", HINT) from error
