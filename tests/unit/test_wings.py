"""Recognition without torch: what imports it, and the verbs that do without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROMPTS

TRANSCRIPTS = PROMPTS.parent / "transcripts.tsv"

WITHOUT_TORCH = """
import sys
for name in ("torch", "lhotse"):
    sys.modules[name] = None
"""


def run(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)


def test_opening_a_recogniser_is_what_imports_torch(experiment: Path) -> None:
    code = """
import sys, asrkit, asrkit.recognition.aligner, asrkit.recognition.recognizer
from asrkit.recognition.decoding import attention, label_beam, rescorer
assert "torch" not in sys.modules and "asrkit.learning" not in sys.modules
asrkit.load(sys.argv[1])
assert "torch" in sys.modules and not [name for name in sys.modules if "learning.training" in name]
"""
    done = run(code, experiment)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["score", "pronounce", "lm"])
def test_verbs_that_need_no_torch(verb: str, tmp_path: Path) -> None:
    texts = [line.split("\t")[2] for line in TRANSCRIPTS.read_text(encoding="utf-8").splitlines()]
    (tmp_path / "text").write_text("".join(f"u{n} {text}\n" for n, text in enumerate(texts)))
    (tmp_path / "plain.txt").write_text("\n".join(texts) + "\n")
    words, expected = {
        "score": ((tmp_path / "text", tmp_path / "text"), "%WER 0.00"),
        "pronounce": (("hello",), "HH"),
        "lm": ((tmp_path / "plain.txt", "-o", tmp_path / "out.arpa", "--order", 2), ""),
    }[verb]
    done = run(WITHOUT_TORCH + "from asrkit.cli import main\nmain()", verb, *words)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout
