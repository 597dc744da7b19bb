"""Downloads from a local server that breaks off or refuses ranges; damaged and lying archives."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from asrkit.errors import DataError
from asrkit.learning.data.download import download, download_folder, extract

CONTENT = np.random.default_rng(3).bytes(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any name; `cuts` says after how many bytes the next answers break off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts: list[int] = []
        self.ranges = True
        self.status = 200
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(CONTENT)
        self.wfile.write(CONTENT[start : start + cut])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("asrkit.learning.data.download.BACK_OFF", 0.01)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_download_that_breaks_off_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.cuts = [100_000, 50_000]
    seen: list[tuple[int, int]] = []
    download(server.url, tmp_path / "a/file.bin", DIGEST, lambda done, total: seen.append((done, total)))
    assert (tmp_path / "a/file.bin").read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]
    assert seen[-1] == (300_000, 300_000)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file.bin"]


def test_a_later_run_goes_on_too(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:7])
    download(server.url, tmp_path / "file.bin", DIGEST)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert server.asked == ["bytes=7-"]


def test_a_complete_part_is_only_renamed(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    download(server.url, tmp_path / "file.bin", DIGEST)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT + b"more")
    download(server.url, tmp_path / "file.bin", DIGEST)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_starts_again(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.cuts = [100_000]
    download(server.url, tmp_path / "file.bin", DIGEST)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the file expected"):
        download(server.url, tmp_path / "file.bin", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_a_file_already_there_is_kept_or_refused_but_not_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"mine")
    download(server.url, tmp_path / "file.bin")
    with pytest.raises(DataError, match="checksum"):
        download(server.url, tmp_path / "file.bin", DIGEST)
    assert (tmp_path / "file.bin").read_bytes() == b"mine"
    assert server.asked == []


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (503, 5)])
def test_refusals_are_repeated_only_where_that_may_help(
    server: Server, tmp_path: Path, status: int, requests: int
) -> None:
    server.status = status
    with pytest.raises(DataError, match=str(status)):
        download(server.url, tmp_path / "file.bin")
    assert len(server.asked) == requests


def test_a_network_that_stays_broken_keeps_what_came(server: Server, tmp_path: Path) -> None:
    server.cuts = [1000, 0, 0, 0, 0, 0, 0]
    with pytest.raises(DataError, match="broke off") as caught:
        download(server.url, tmp_path / "file.bin", DIGEST)
    assert "run again" in caught.value.hint
    assert (tmp_path / "file.bin.part").read_bytes() == CONTENT[:1000]
    assert not (tmp_path / "file.bin").exists()


def test_file_addresses_and_bad_ones(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    download((tmp_path / "source").as_uri(), tmp_path / "copy", DIGEST)
    assert (tmp_path / "copy").read_bytes() == CONTENT
    for url in ((tmp_path / "none").as_uri(), "no-address", "gopher://127.0.0.1/x"):
        with pytest.raises(DataError, match="cannot download"):
            download(url, tmp_path / "other")


# ---- archives


def tar_of(path: Path, *members: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for member in members:
            tar.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def entry(name: str, size: int = 5, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = (size if kind == tarfile.REGTYPE else 0), kind, link
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar(tmp_path: Path, mode: str) -> None:
    archive = tar_of(tmp_path / "a.tar", entry("an4/etc/list"), entry("an4/wav/a.sph", 9), mode=mode)
    extract(archive, tmp_path / "out")
    assert (tmp_path / "out/an4/wav/a.sph").read_bytes() == bytes(9)
    archive.unlink()
    extract(archive, tmp_path / "out")  # there already
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr("x/y.txt", "words")
    extract(tmp_path / "a.zip", tmp_path / "out")
    assert (tmp_path / "out/x/y.txt").read_text() == "words"


@pytest.mark.parametrize(
    "member",
    [
        entry("../outside"),
        entry("a/../../outside"),
        entry("/outside"),
        entry("link", kind=tarfile.SYMTYPE, link="../../outside"),
        entry("link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        entry("link", kind=tarfile.LNKTYPE, link="../outside"),
        entry("device", kind=tarfile.CHRTYPE),
    ],
)
def test_tar_entries_that_lead_outside_are_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    archive = tar_of(tmp_path / "a.tar.gz", entry("good"), member)
    with pytest.raises(DataError, match="leads out"):
        extract(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar.gz"]


@pytest.mark.parametrize("name", ["../outside", "/outside", "a\\..\\..\\outside", "link"])
def test_zip_entries_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        info = zipfile.ZipInfo(name)
        if name == "link":
            info.external_attr = 0o120777 << 16
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="leads out"):
        extract(tmp_path / "a.zip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


@pytest.mark.parametrize("keep", [0, 100, 60_000])
def test_damaged_archives_leave_nothing(tmp_path: Path, keep: int) -> None:
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as tar:
        info = entry("a.bin", len(CONTENT))
        tar.addfile(info, io.BytesIO(CONTENT))
    (tmp_path / "a.tar.gz").write_bytes((tmp_path / "whole.tar.gz").read_bytes()[:keep])
    with pytest.raises(DataError, match="cannot unpack"):
        extract(tmp_path / "a.tar.gz", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "whole.tar.gz"]


def test_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such archive"):
        extract(tmp_path / "none.tar.gz", tmp_path / "out")


# ---- one folder of an archive


def packed(path: Path, *names: str) -> Path:
    """An archive with a file in each of these folders, and a licence beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name in (*(f"corpus/{name}/a.bin" for name in names), "corpus/LICENSE"):
            info = tarfile.TarInfo(name)
            info.size = len(CONTENT)
            tar.addfile(info, io.BytesIO(CONTENT))
    return path


def test_a_folder_is_put_in_its_place_and_the_archive_taken_away(tmp_path: Path) -> None:
    archive = packed(tmp_path / "server/part.tar.gz", "part")
    home = tmp_path / "data/corpus"
    download_folder(archive.as_uri(), home / "part")
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*")) == [
        "LICENSE",
        "part",
        "part/a.bin",
    ]
    assert (home / "part/a.bin").read_bytes() == CONTENT
    (home / "LICENSE").write_text("mine")
    download_folder(packed(tmp_path / "server/two.tar.gz", "two").as_uri(), home / "two")
    assert (home / "LICENSE").read_text() == "mine" and (home / "two/a.bin").exists()


@pytest.mark.parametrize("place", ["data", "data/corpus"])
def test_an_archive_at_hand_is_used_and_kept(tmp_path: Path, place: str) -> None:
    archive = packed(tmp_path / place / "part.tar.gz", "part")
    download_folder("http://127.0.0.1:9/part.tar.gz", tmp_path / "data/corpus/part")
    assert (tmp_path / "data/corpus/part/a.bin").read_bytes() == CONTENT
    assert archive.exists()


def test_what_was_unpacked_before_a_kill_is_put_in_its_place(tmp_path: Path) -> None:
    (tmp_path / ".part.unpacked/corpus/part").mkdir(parents=True)
    (tmp_path / ".part.unpacked/corpus/part/a.bin").write_bytes(b"whole")
    download_folder("http://127.0.0.1:9/part.tar.gz", tmp_path / "part")
    assert (tmp_path / "part/a.bin").read_bytes() == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_another_archive_changes_nothing(tmp_path: Path) -> None:
    url = packed(tmp_path / "server/part.tar.gz", "other").as_uri()
    with pytest.raises(DataError, match="no folder 'part'"):
        download_folder(url, tmp_path / "data/part")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["part.tar.gz"]
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written there") as caught:
        download_folder(url, tmp_path / "file/part")
    assert "corpus.path" in caught.value.hint
