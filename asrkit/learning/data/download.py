"""Fetching and unpacking corpora: resumable, checksummed, and complete or absent."""

from __future__ import annotations

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
from typing import Any

from asrkit import files
from asrkit.errors import DataError

BLOCK_BYTES = 1 << 20
ATTEMPTS = 5  # without a byte gained
BACK_OFF = 0.5  # seconds before the second attempt, doubled each time
TIMEOUT = 60.0  # seconds of silence
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may be better later

Progress = Callable[[int, int], None]


def download(url: str, path: Path | str, sha256: str = "", progress: Progress | None = None) -> None:
    """Fetch `url` into `path`, which appears only when it is complete and its checksum is right.

    What has arrived is kept in ``<path>.part``; an interrupted download goes on from there.

    Args:
        url: http, https or file.
        path: where to; a file already there is kept when its checksum is right.
        sha256: expected checksum in hexadecimal, several if separated by blanks; empty: unchecked.
        progress: called with the bytes so far and in all (0 when unknown).

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
                kept = (
                    f"{reached} bytes are kept in {part}; run again to go on"
                    if reached
                    else "check the address"
                )
                raise DataError(f"cannot download {url}: {error}", kept) from None
        time.sleep(BACK_OFF * 2 ** (attempts - 1))
    if sha256 and (found := files.sha256(part)) not in sha256.split():
        part.unlink()
        raise DataError(
            f"{url} is not the file expected: SHA-256 {found[:12]}… instead of {sha256[:12]}…",
            "run again; if it stays so the source has changed: look at it, then set corpus.sha256",
        )
    part.replace(path)


def download_folder(url: str, folder: Path | str, sha256: str = "", progress: Progress | None = None) -> None:
    """Fetch an archive and put the folder in it that has the name of `folder` there, whole or not at all.

    What the archive holds beside that folder is put beside `folder`, unless such a thing is there. An archive
    that lies beside `folder`, or beside the folder it is in, is taken in place of the download, and kept.

    Args:
        url, sha256, progress: as for :func:`download`.
        folder: where to; at most one folder deep in the archive.

    Raises:
        DataError: as :func:`download` and :func:`extract` do, or the archive has no such folder.
    """
    folder = Path(folder)
    home, name = folder.parent, url.rpartition("/")[2]
    unpacked = home / f".{folder.name}.unpacked"
    there = next((path for path in (home / name, home.parent / name) if path.is_file()), None)
    archive = there or home / name
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not os.access(home, os.W_OK):
            raise PermissionError("it cannot be written to")
    except OSError as error:
        raise DataError(
            f"{home} lacks {folder.name!r}, which cannot be put there: {error}",
            "set corpus.path to a folder that you may write to",
        ) from None
    if not unpacked.exists():
        download(url, archive, sha256, progress)
        extract(archive, unpacked)
    places = [unpacked, *sorted(path for path in unpacked.iterdir() if path.is_dir())]
    found = next((place for place in places if (place / folder.name).is_dir()), None)
    if found is None:
        shutil.rmtree(unpacked)
        raise DataError(f"{archive} has no folder {folder.name!r}", "it is another archive: move it away")
    for path in sorted(found.iterdir(), key=lambda path: path.name == folder.name):  # the folder last
        if not (home / path.name).exists():
            path.replace(home / path.name)
    shutil.rmtree(unpacked)
    if there is None:
        archive.unlink(missing_ok=True)


def extract(archive: Path | str, folder: Path | str) -> None:
    """Unpack a tar (plain, gz, bz2, xz) or zip into `folder`, which appears only when complete.

    A folder already there is left as it is.

    Raises:
        DataError: not such an archive, a damaged one, or one with an entry that would land outside.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists():
        return
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        if tarfile.is_tarfile(archive):
            _untar(archive, temporary)
        else:
            _unzip(archive, temporary)
        temporary.replace(folder)
    except FileNotFoundError:
        raise DataError(f"no such archive: {archive}", "check the path") from None
    except tarfile.FilterError as error:
        raise _escape(archive, str(error)) from None
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        OSError,
        RuntimeError,
    ) as error:
        raise DataError(f"cannot unpack {archive}: {error}", "download it again") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    """Append to `part` what is missing of `url`, or all of it when the server cannot send a range."""
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
        if _range_start(response) != have:
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


def _range_start(response: Any) -> int:
    """Where the part of the file that a server sends begins."""
    if response.status != 206:
        return 0
    return int(response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0])


def _may_pass(error: Exception, url: str) -> bool:
    """Whether trying again may help."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code in AGAIN or error.code == 416
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
        f"{archive} is not unpacked, for an entry leads out of its folder: {entry}",
        "do not trust this archive",
    )
