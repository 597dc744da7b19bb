"""Bundles: written the same each time, and refused whenever anything about them is wrong."""

from __future__ import annotations

import io
import json
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.config import Config, parse_config, to_yaml
from asrkit.errors import ModelError
from asrkit.recognition.bundle import Bundle, pack

PARTS = {
    "config.yaml": b"seed: 1\n",
    "model.safetensors": bytes(range(256)) * 8,
    "tokenizer/tokens.txt": "<blank>\n<unk>\né\n".encode(),
    "empty.txt": b"",
}


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Pack a zip again after `change` has changed its entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def edit_manifest(path: Path, **fields: object) -> None:
    def change(entries: dict[str, bytes]) -> None:
        entries["manifest.json"] = json.dumps(json.loads(entries["manifest.json"]) | fields).encode()

    rewrite(path, change)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return pack(PARTS, tmp_path / "a.asrkit", {"recipe": "prompts"})


def refused(path: Path, says: str) -> None:
    with pytest.raises(ModelError, match=says) as error:
        Bundle.open(path)
    assert error.value.hint


def test_what_was_packed_is_read(bundle: Path, tmp_path: Path) -> None:
    opened = Bundle.open(bundle)
    assert opened.names == sorted(PARTS) and opened.info == {"recipe": "prompts"}
    assert {name: opened.read(name) for name in opened.names} == PARTS
    folder = opened.extract(tmp_path / "folder")
    assert (folder / "tokenizer/tokens.txt").read_bytes() == PARTS["tokenizer/tokens.txt"]
    again = Bundle.open(folder)
    assert again.parts == opened.parts and again.read("config.yaml") == PARTS["config.yaml"]
    with pytest.raises(ModelError, match="no part weights"):
        opened.read("weights")


def test_sha256_is_that_of_the_standard(bundle: Path) -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # FIPS 180-4, empty message
    assert Bundle.open(bundle).parts["empty.txt"].sha256 == empty


def test_same_parts_give_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.yaml"
    file.write_bytes(PARTS["config.yaml"])
    time.sleep(0.01)
    shuffled = dict(reversed(PARTS.items())) | {"config.yaml": file}
    assert pack(shuffled, tmp_path / "b.asrkit", {"recipe": "prompts"}).read_bytes() == bundle.read_bytes()


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a/../x", "a\\x", "C:x", "a//x", "./x", ".x", "a/", "x\n", "m.pt", "a/m.PKL"]
)
def test_unsafe_names_are_neither_packed_nor_opened(name: str, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        pack({name: b"x"}, tmp_path / "b.asrkit", {})
    assert not (tmp_path / "b.asrkit").exists()
    rewrite(bundle, lambda entries: entries.update({name: b"x"}))
    refused(bundle, "unsafe name|pickle|damaged")


def test_the_manifest_cannot_be_a_part(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="manifest"):
        pack({"manifest.json": b"{}"}, tmp_path / "b.asrkit", {})


def test_changed_missing_and_extra_parts(bundle: Path, tmp_path: Path) -> None:
    good = bundle.read_bytes()
    for change, says in (
        (lambda entries: entries.update({"config.yaml": b"seed: 2\n"}), "config.yaml was changed"),
        (lambda entries: entries.update({"config.yaml": b"seed: 22\n"}), "config.yaml has another size"),
        (lambda entries: entries.pop("config.yaml"), "config.yaml is missing"),
        (lambda entries: entries.update({"extra.txt": b""}), "extra.txt is not in the manifest"),
        (lambda entries: entries.pop("manifest.json"), "a zip, but not an asrkit bundle"),
        (lambda entries: entries.update({"manifest.json": b"{"}), "not JSON"),
        (lambda entries: entries.update({"manifest.json": b"[" * 10**5}), "not JSON"),
        (lambda entries: entries.update({"manifest.json": b" " * (1 << 21)}), "too large"),
        (lambda entries: entries.update({"CONFIG.yaml": b"x"}), "twice"),
    ):
        bundle.write_bytes(good)
        rewrite(bundle, change)
        refused(bundle, says)


def test_the_same_in_a_folder(bundle: Path, tmp_path: Path) -> None:
    folder = Bundle.open(bundle).extract(tmp_path / "folder")
    opened = Bundle.open(folder)
    (folder / "config.yaml").write_bytes(b"seed: 2\n")
    refused(folder, "config.yaml was changed")
    with pytest.raises(ModelError, match="changed"):
        opened.read("config.yaml")
    (folder / "config.yaml").unlink()
    refused(folder, "config.yaml is missing")
    (folder / "config.yaml").symlink_to("/etc/hostname")
    refused(folder, "not a plain file")
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").write_bytes(PARTS["config.yaml"])
    (folder / ".hidden").write_bytes(b"")
    refused(folder, "unsafe name")
    refused(tmp_path, "no manifest.json")


@pytest.mark.parametrize(
    "manifest", ["[]", "null", "{}", '{"format": "other"}', '{"format": "asrkit-bundle"}']
)
def test_manifests_of_others(manifest: str, bundle: Path) -> None:
    rewrite(bundle, lambda entries: entries.update({"manifest.json": manifest.encode()}))
    refused(bundle, "not an asrkit bundle")


@pytest.mark.parametrize(
    "fields",
    [
        {"parts": {"config.yaml": 3}},
        {"parts": [1]},
        {"parts": {"x": {"size": 1}}},
        {"info": 3},
        {"format_version": "x"},
    ],
)
def test_malformed_manifests(fields: dict[str, object], bundle: Path) -> None:
    edit_manifest(bundle, **fields)
    refused(bundle, "not an asrkit bundle")


def test_newer_formats_name_their_writer(bundle: Path) -> None:
    edit_manifest(bundle, format_version=2, asrkit="9.1")
    refused(bundle, "format 2, written by asrkit 9.1")


def test_what_is_no_bundle_at_all(tmp_path: Path) -> None:
    other = tmp_path / "x.asrkit"
    refused(other, "cannot open")
    for content in (b"", b"PK", b"RIFF....WAVE", b"PK\x05\x06" + bytes(18)):
        other.write_bytes(content)
        refused(other, "not an asrkit bundle")


def test_links_compression_and_bombs(bundle: Path) -> None:
    good = bundle.read_bytes()
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    refused(bundle, "link is not a plain file")

    bundle.write_bytes(good)
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr("bomb", bytes(10**6), zipfile.ZIP_DEFLATED)
    refused(bundle, "bomb is compressed")

    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        entry = archive.getinfo("model.safetensors")
    at = good.rindex(entry.filename.encode()) - 46  # its central directory record, APPNOTE 4.3.12
    assert good[at : at + 4] == b"PK\x01\x02"
    huge = (3 << 30).to_bytes(4, "little")
    bundle.write_bytes(good[: at + 20] + huge + huge + good[at + 28 :])
    refused(bundle, "larger than the file")


def test_no_cut_bundle_opens(bundle: Path) -> None:
    good = bundle.read_bytes()
    for length in range(0, len(good), 37):
        bundle.write_bytes(good[:length])
        refused(bundle, "bundle|damaged|larger")


def test_a_changed_byte_is_noticed_or_changes_nothing(bundle: Path) -> None:
    good = bundle.read_bytes()

    @settings(derandomize=True, deadline=None, max_examples=300)
    @given(st.integers(0, len(good) - 1), st.integers(1, 255))
    def flip(place: int, change: int) -> None:
        bundle.write_bytes(good[:place] + bytes([good[place] ^ change]) + good[place + 1 :])
        try:
            opened = Bundle.open(bundle)
        except ModelError:
            return
        assert {name: opened.read(name) for name in opened.names} == PARTS

    flip()


def test_a_failed_pack_leaves_the_old_bundle(bundle: Path, tmp_path: Path) -> None:
    before = bundle.read_bytes()
    with pytest.raises(ModelError, match="cannot pack config"):
        pack({"config.yaml": tmp_path / "absent"}, bundle, {})
    assert bundle.read_bytes() == before and list(tmp_path.iterdir()) == [bundle]


def test_a_configuration_with_a_key_of_an_earlier_version_opens() -> None:
    written = to_yaml(Config()).replace("corpus:\n", "corpus:\n  submission: ''\n")
    assert parse_config(written, "config.yaml") == Config()
