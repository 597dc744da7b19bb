"""asrkit config, recipes, info, score, doctor and the front door."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SENTENCES, Run


def test_help_is_instant_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['asrkit', '--help']\nfrom asrkit.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'numpy', 'lhotse', 'omegaconf') if m in sys.modules])"
    )
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")
    assert "train" in done.stdout and "decode" in done.stdout
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [(["--version"], 0, "asrkit"), (["config", "an5"], 2, ""), (["info", "none.asrkit"], 1, "")],
)
def test_a_process_ends_as_its_command_did(words: list[str], code: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asrkit", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == code and said in done.stdout
    assert len(done.stderr.splitlines()) == (2 if code else 0), done.stderr
    program = (
        f"import atexit, sys; sys.argv = {['asrkit', *words]}; sys.stdout = open('/dev/full', 'w')\n"
        "atexit.register(print, 'farewell', file=sys.stderr)\n"
        "from asrkit.cli import program; program()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == (code or 1)
    assert "farewell" in done.stderr and len(done.stderr.splitlines()) == 3, done.stderr
    assert "No space left" in done.stderr or code


def test_version(asrkit: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import asrkit as package
    from asrkit import version

    assert package.__version__ in asrkit("--version").out
    monkeypatch.setattr(version, "SOURCE", tmp_path)
    assert asrkit("--version").out == f"asrkit {package.__version__}\n"
    for words in (["init"], ["commit", "--allow-empty", "-m", "first"]):
        name = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *name, *words], cwd=tmp_path, check=True, capture_output=True)
    assert re.fullmatch(
        rf"asrkit {re.escape(package.__version__)} \([0-9a-f]{{7,}}\)\n", asrkit("--version").out
    )


def test_a_host_program_keeps_its_process_as_it_was(experiment: Path) -> None:
    code = """
import atexit, gc, sys
import asrkit
from asrkit.recognition.recognizer import Recognizer
import numba, torch, lhotse
hidden = {name for name, module in sys.modules.items() if module is None}
handlers = atexit._ncallbacks()
print(asrkit.load(sys.argv[1]).transcribe(sys.argv[2]).text)
asrkit.score({"a": "one two"}, {"a": "one"})
assert gc.isenabled() and gc.get_freeze_count() == 0
assert atexit._ncallbacks() == handlers, atexit._ncallbacks() - handlers
assert {name for name, module in sys.modules.items() if module is None} == hidden
assert not [name for name in sys.modules if name.startswith("asrkit.cli")]
"""
    words = [sys.executable, "-c", code, str(experiment), str(SENTENCES / "sense-0870.flac")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_config_shows_explains_and_compares(asrkit: Run) -> None:
    assert "batch_seconds: 90" in asrkit("config", "an4").out
    assert "seed" not in asrkit("config", "an4", "--diff").out
    assert "train.lr: 0.001 -> 0.25" in asrkit("config", "an4", "train.lr=0.25", "--diff").out
    output = asrkit("config", "an4", "--explain", "train.schedule").out
    assert "learning rate schedule" in output and "onecycle" in output
    assert "train.clip" in asrkit("config", "an4", "--explain", "train").out
    wrong = asrkit("config", "an4", "--explain", "train.shedule")
    assert wrong.code == 2 and "train.schedule" in wrong.err


def test_recipes_lists_and_copies(asrkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = asrkit("recipes").out
    assert "an4" in listed and "prompts" in listed
    monkeypatch.chdir(tmp_path)
    assert asrkit("recipes", "prompts", "mine").code == 0
    assert (tmp_path / "mine/recipe.yaml").exists()
    assert asrkit("train", "mine", "--dry-run").code == 0
    assert asrkit("recipes", "prompts", "mine").code == 2


def test_info_describes_a_model(asrkit: Run, experiment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from asrkit.recognition import pretrained

    output = asrkit("info", experiment / "prompts.asrkit").out
    assert "pyramid" in output and "40 ms" in output and "english" in output
    assert asrkit("info", experiment / "decode").code == 1
    monkeypatch.setattr(pretrained, "ENGLISH", experiment / "prompts.asrkit")
    assert asrkit("info").out == output


def test_score_prints_kaldi_lines_and_writes_reports(asrkit: Run, tmp_path: Path) -> None:
    (tmp_path / "ref.trn").write_text("A B C (s1-u1)\nD E (s2-u2)\n")
    (tmp_path / "hyp.trn").write_text("A X C (s1-u1)\nD (s2-u2)\n")
    files = (tmp_path / "ref.trn", tmp_path / "hyp.trn")
    done = asrkit("score", *files, "-o", tmp_path / "out")
    assert "%WER 40.00 [ 2 / 5, 0 ins, 1 del, 1 sub ]" in done.out
    assert "%CER" in done.out and "95 %" in done.out
    assert (tmp_path / "out/score_wer/report.txt").exists() or (
        tmp_path / "out/score_word/report.txt"
    ).exists()
    assert "%CER" not in asrkit("score", *files, "--unit", "word").out
    assert "%PER 40.00" in asrkit("score", *files, "--unit", "phone").out
    folded = asrkit("score", *files, "--unit", "phone39")
    assert folded.code == 1 and "is no phone of TIMIT or CMUdict" in folded.err
    assert "95 %" not in asrkit("score", *files, "--bootstrap", 0).out
    assert "CONFUSION PAIRS" in asrkit("score", *files, "--report").out
    assert "%WER 28.57 [ 2 / 7" in asrkit("score", *files, "--form", "plain", "--unit", "word").out
    missing = asrkit("score", tmp_path / "no.trn", files[1])
    assert missing.code == 1 and "no.trn" in missing.err and "hint:" in missing.err


def test_doctor_never_fails_and_names_effects(asrkit: Run) -> None:
    done = asrkit("doctor")
    assert done.code == 0
    for name in ("torch", "device", "bf16", "torchaudio", "cmudict", "sph2pipe"):
        assert name in done.out


def test_without_a_verb_help_is_shown(asrkit: Run) -> None:
    done = asrkit()
    assert done.code == 0 and not done.err
    assert done.out == asrkit("--help").out and "decode" in done.out


def test_transcribe_is_decode_and_formats_have_no_case(asrkit: Run) -> None:
    sound = SENTENCES / "sense-0880.flac"
    decoded = asrkit("decode", sound, "-f", "srt")
    assert decoded.code == 0 and "-->" in decoded.out
    assert asrkit("transcribe", sound, "-f", "SRT").out == decoded.out


def test_a_model_that_does_not_exist_is_called_so(asrkit: Run) -> None:
    done = asrkit("decode", "--model", "nowhere", SENTENCES / "sense-0880.flac")
    assert done.code == 1 and "error: the model nowhere does not exist" in done.err
