"""Downloading and unpacking corpora: resumable, with checksums, and complete or absent."""

import http.client
import lzma
import os
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from asrkit import files
from asrkit.errors import DataError

BLOCK_BYTES = 1 << 20
ATTEMPTS = 5  # without a byte gained
BACK_OFF = 0.5  # seconds before the second attempt; doubles each time
TIMEOUT = 60.0  # seconds without data
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)  # status codes after which a retry may help
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, OSError, RuntimeError)

Progress = Callable[[int, int], None]


def download(url: str, path: Path | str, sha256: str = "", progress: Progress | None = None) -> None:
    """Download `url` to `path`, which appears only when it is complete and its checksum is right.

    Received data is kept in ``<path>.part``, from which an interrupted download resumes.

    Args:
        url: http, https or file.
        path: target; an existing file is kept if its checksum is right.
        sha256: expected checksum in hexadecimal, or several separated by spaces; empty: not checked.
        progress: called with the bytes received and the total (0: unknown).

    Raises:
        DataError: the server refuses, the network fails repeatedly, or the checksum is wrong.
    """
    path = Path(path)
    if path.exists():
        if sha256 and files.sha256(path) not in sha256.split():
            raise DataError(f"{path} is not the file expected: its checksum differs", "move it away")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    attempts, size = 0, -1
    while True:
        try:
            _fetch(url, part, progress)
            break
        except (http.client.HTTPException, OSError, ValueError) as error:
            reached = part.stat().st_size if part.exists() else 0
            attempts = 1 if reached > size >= 0 else attempts + 1
            size = reached
            if attempts >= ATTEMPTS or not _may_pass(error, url):
                kept = f"{reached} bytes are kept in {part}; run again to resume"
                hint = kept if reached else "check the address"
                raise DataError(f"cannot download {url}: {error}", hint) from None
        time.sleep(BACK_OFF * 2 ** (attempts - 1))
    if sha256 and (checksum := files.sha256(part)) not in sha256.split():
        part.unlink()
        raise DataError(
            f"{url} is not the file expected: SHA-256 {checksum[:12]}… instead of {sha256[:12]}…",
            "run again; if this persists, the source has changed: check it, then set corpus.sha256",
        )
    part.replace(path)


def download_folder(url: str, folder: Path | str, sha256: str = "", progress: Progress | None = None) -> None:
    """Download an archive and unpack the folder named like `folder`, which appears only when complete.

    Other content of the archive is put beside `folder`, unless it exists. An archive beside `folder`, or
    beside its parent, is used instead of a download, and kept. `folder` is at most one folder deep in it.

    Raises DataError as :func:`download` and :func:`extract` do, or if the archive has no such folder.
    """
    folder = Path(folder)
    home, name = folder.parent, url.rpartition("/")[2]
    unpacked = home / f".{folder.name}.unpacked"
    local = next((path for path in (home / name, home.parent / name) if path.is_file()), None)
    archive = local or home / name
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not os.access(home, os.W_OK):
            raise PermissionError("it is not writable")
    except OSError as error:
        raise DataError(
            f"{home} lacks {folder.name!r}, which cannot be written there: {error}",
            "set corpus.path to a writable folder",
        ) from None
    if not unpacked.exists():
        download(url, archive, sha256, progress)
        extract(archive, unpacked)
    folders = [unpacked, *sorted(path for path in unpacked.iterdir() if path.is_dir())]
    parent = next((path for path in folders if (path / folder.name).is_dir()), None)
    if parent is None:
        shutil.rmtree(unpacked)
        raise DataError(f"{archive} has no folder {folder.name!r}", "it is another archive: move it away")
    for path in sorted(parent.iterdir(), key=lambda path: path.name == folder.name):  # the folder last
        if not (home / path.name).exists():
            path.replace(home / path.name)
    shutil.rmtree(unpacked)
    if local is None:
        archive.unlink(missing_ok=True)


def extract(archive: Path | str, folder: Path | str) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip into `folder`, which appears only when complete, or is kept.

    Raises DataError if it is not such an archive, a damaged one, or one with an entry outside the folder.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        return
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        unpack = _untar if tarfile.is_tarfile(archive) else _unzip
        unpack(archive, temporary)
        temporary.replace(folder)
    except FileNotFoundError:
        raise DataError(f"no such archive: {archive}", "check the path") from None
    except tarfile.FilterError as error:
        raise _escape(archive, str(error)) from None
    except DAMAGE as error:
        raise DataError(f"cannot unpack {archive}: {error}", "download it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    """Append the rest of `url` to `part`, or download all of it when the server cannot send a range."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "asrkit"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{have}":
            return
        if error.code == 416:
            part.unlink()
        raise
    with response:
        start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if response.status != 206 or int(start) != have:
            have = 0
        length = int(response.headers.get("Content-Length") or 0)
        total = have + length if length else 0
        with part.open("ab" if have else "wb") as file:
            while block := response.read(BLOCK_BYTES):
                file.write(block)
                have += len(block)
                if progress is not None:
                    progress(have, total)
    if have < total:
        raise ConnectionError(f"the connection broke off after {have} of {total} bytes")


def _may_pass(error: Exception, url: str) -> bool:
    """Whether a retry may help."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in TRANSIENT or error.code == 416
    network = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError)
    return isinstance(error, network) and url.startswith("http")


def _untar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            _refuse_escape(archive, member.name)
            tar.extract(member, folder, filter="data")


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            _refuse_escape(archive, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16):
                raise _escape(archive, f"{member.filename!r} is a link")
            packed.extract(member, folder)


def _refuse_escape(archive: Path, name: str) -> None:
    entry = PurePosixPath(name.replace("\\", "/"))
    if entry.is_absolute() or ".." in entry.parts:
        raise _escape(archive, f"{name!r} lies outside")


def _escape(archive: Path, entry: str) -> DataError:
    return DataError(
        f"{archive} is not unpacked: an entry leads out of its folder: {entry}", "do not trust this archive"
    )
