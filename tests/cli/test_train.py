"""asrkit train: the whole path on the embedded corpus, and every flag."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TINY, Run
from safetensors.torch import load_file

from asrkit.learning.recipe.workspace import alone

RECIPE = ROOT / "recipes" / "prompts"


def test_one_command_goes_from_audio_to_a_packed_recogniser(experiment: Path) -> None:
    for name in (
        "config.yaml",
        "env.json",
        "train.log",
        "metrics.jsonl",
        "plots/loss.png",
        "plots/lr.png",
        "plots/dev.png",
        "checkpoints/averaged/model.safetensors",
        "RESULTS.md",
        "prompts.asrkit",
        "decode/ctc-greedy/test/hyp.trn",
        "decode/ctc-beam/test/score_wer/report.txt",
    ):
        assert (experiment / name).stat().st_size > 0, name
    results = (experiment / "RESULTS.md").read_text()
    for fact in ("asrkit train", "seed: 1", "english", "commit", "95 %", "ctc-beam", "sha256"):
        assert fact in results
    steps = [json.loads(line)["step"] for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert steps[-1] == 12


def test_nothing_is_done_twice(experiment: Path, asrkit: Run) -> None:
    before = {p: p.stat().st_mtime_ns for p in experiment.rglob("*.safetensors")}
    done = asrkit("train", RECIPE, "--exp", experiment.parents[1], *TINY)
    assert done.code == 0
    assert done.err.count("up to date") == 10
    assert "  run " not in done.err
    assert before == {p: p.stat().st_mtime_ns for p in experiment.rglob("*.safetensors")}


def test_only_one_process_works_in_an_experiment(experiment: Path, asrkit: Run) -> None:
    words = ("train", RECIPE, "--exp", experiment.parents[1], *TINY)
    with alone(experiment):
        done = asrkit(*words)
        assert done.code == 1 and f"another asrkit process is using {experiment}" in done.err
        assert asrkit(*words, "--dry-run").code == 0
    assert asrkit(*words).code == 0


def test_dry_run_names_what_a_change_means(experiment: Path, asrkit: Run) -> None:
    done = asrkit("train", RECIPE, "--exp", experiment.parents[1], "--dry-run", *TINY, "score.bootstrap=10")
    lines = {line.split()[1]: line for line in done.err.splitlines() if line[:4].strip().isdigit()}
    assert "up to date" in lines["decode"]
    assert "run" in lines["score"]
    assert "changed: score.bootstrap" in lines["score"]
    assert "score.bootstrap" not in (experiment / "stages/12-score.json").read_text() or (
        json.loads((experiment / "stages/12-score.json").read_text())["config"]["score.bootstrap"] == 1000
    )


def test_stages_can_be_chosen(experiment: Path, asrkit: Run) -> None:
    base = ["train", RECIPE, "--exp", experiment.parents[1], "--dry-run", "--force", *TINY]

    def running(*flags: str) -> list[str]:
        plan = [line.split() for line in asrkit(*base, *flags).err.splitlines() if line.startswith("  ")]
        return [name for _, name, action, *_ in plan if action == "run"]

    assert running("--stage", "11", "--stop-stage", "score") == ["decode", "score"]
    assert running("--stage", "train", "--stop_stage", "12", "--skip_stages", "9,decode") == [
        "train",
        "score",
    ]
    assert "prepare" in running()


def test_tag_and_seed_make_another_experiment_on_the_same_data(experiment: Path, asrkit: Run) -> None:
    exp = experiment.parents[1]
    done = asrkit(
        "train",
        RECIPE,
        "--exp",
        exp,
        *TINY,
        "--tag",
        "two",
        "--seed",
        2,
        "--stop-stage",
        "average",
        "--ngpu",
        0,
    )
    assert done.code == 0, done.err
    assert "prepare    done  up to date" in done.err
    other = experiment.parent / "two"
    assert "seed: 2" in (other / "config.yaml").read_text()
    weights = "checkpoints/averaged/model.safetensors"
    assert (other / weights).read_bytes() != (experiment / weights).read_bytes()


def test_training_starts_from_another_model(experiment: Path, asrkit: Run) -> None:
    """With a learning rate of zero what comes out is what it started from."""
    base = ["train", RECIPE, "--exp", experiment.parents[1], *TINY, "train.lr=0", "--stop-stage", "average"]
    done = asrkit(*base, "--tag", "three", "model.init=default")
    assert done.code == 0, done.err
    assert "starts from" in done.err and " 0 parameters are new" in done.err
    weights = "checkpoints/averaged/model.safetensors"
    before, after = (load_file(path / weights) for path in (experiment, experiment.parent / "three"))
    assert all(torch.equal(before[name], after[name]) for name in before)
    dry = asrkit(*base, "--tag", "three", "--dry-run").err
    assert "train      run" in dry and "check      done" in dry, "another start is another training"

    bundle = experiment / "prompts.asrkit"
    done = asrkit(*base, "--tag", "four", f"model.init={bundle}", "text.tokenizer=bpe", "text.vocab_size=40")
    assert done.code == 0, done.err
    actual = load_file(experiment.parent / "four" / weights)
    assert torch.equal(
        actual["encoder.lstms.0.ahead.weight_hh_l0"], before["encoder.lstms.0.ahead.weight_hh_l0"]
    )
    assert actual["ctc.weight"].shape != before["ctc.weight"].shape
    done = asrkit(*base, "--tag", "five", f"model.init={bundle}", "model.pyramid.hidden=16")
    assert done.code == 1 and "has another encoder" in done.err and "asrkit info" in done.err
    assert asrkit(*base, "--tag", "five", "model.init=nothing").code == 1


def test_gpus_that_are_not_there_are_refused_at_once(tmp_path: Path, asrkit: Run) -> None:
    done = asrkit("train", "prompts", "--exp", tmp_path, "--ngpu", 99)
    assert done.code == 2 and "--ngpu 0" in done.err
    assert not list(tmp_path.iterdir())


def test_a_training_is_never_overwritten_unasked(experiment: Path, asrkit: Run) -> None:
    words = ["train", RECIPE, "--exp", experiment.parents[1], *TINY, "train.lr=1e-4"]
    refused = asrkit(*words)
    assert refused.code == 2
    assert "other settings" in refused.err
    assert "--tag" in refused.err
    assert (experiment / "checkpoints/averaged/model.safetensors").exists()


def test_force_trains_again_and_gives_the_same_weights(experiment: Path, asrkit: Run) -> None:
    weights = experiment / "checkpoints/averaged/model.safetensors"
    before, changed = weights.read_bytes(), weights.stat().st_mtime_ns
    done = asrkit(
        "train",
        RECIPE,
        "--exp",
        experiment.parents[1],
        *TINY,
        "--force",
        "--stage",
        "train",
        "--stop-stage",
        "average",
        "--ngpu",
        0,
    )
    assert done.code == 0, done.err
    assert weights.stat().st_mtime_ns > changed
    assert weights.read_bytes() == before


def test_data_may_be_given_by_flag_or_environment(
    tmp_path: Path, asrkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["train", "an4", "--exp", tmp_path, "--dry-run"]
    assert asrkit(*words, "--data", tmp_path).code == 0
    (tmp_path / "an4_sphere.tar.gz").write_bytes(b"not really")
    actual = asrkit(*words, "--data", tmp_path).err
    assert "download   done" in actual
    monkeypatch.setenv("ASRKIT_DATA", str(tmp_path))
    assert "download   done" in asrkit(*words).err
    monkeypatch.delenv("ASRKIT_DATA")
    assert "download   run" in asrkit(*words).err


def test_a_tag_cannot_leave_the_experiments_folder(tmp_path: Path, asrkit: Run) -> None:
    for tag in ("../x", "a/b", "data", ""):
        assert asrkit("train", "prompts", "--exp", tmp_path, "--tag", tag).code == 2


WRONG = {
    "train.lrr=1": "train.lr",
    "train.lr=fast": "float",
    "model.pyramid.hidden=-4": "1",
    "features.high_hz=9000": "8000",
    "decode.decoder=ctc-bean": "ctc-beam",
    "decode.nbest=20": "beam",
    "model=las2": "las",
    "model.heads=[attention]": "ctc",
    "train.precision=bf17": "bf16",
    "corpus.name=prompt": "prompts",
    "text.tokenizer=chars": "char",
}


def test_wrong_settings_are_refused_at_once() -> None:
    """Each within two seconds, as a process of its own; run in pairs to save time."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    for word, hint in WRONG.items():
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "asrkit", "train", "prompts", word, "--exp", "/nonexistent"],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 2, word
        lines = done.stderr.splitlines()
        assert len(lines) == 2, done.stderr
        assert lines[0].startswith("error: ")
        assert lines[1].startswith("hint: ")
        assert hint in done.stderr
        assert time.monotonic() - start < 10, "no torch is needed to refuse a setting"
        assert "torch" not in done.stderr


def test_recipe_and_stage_mistakes_name_the_nearest(asrkit: Run) -> None:
    for words, hint in (
        (("train", "promps"), "prompts"),
        (("train", "prompts", "--stage", "trian"), "train"),
        (("trian", "prompts"), "No such command"),
        (("trian", "prompts"), "did you mean 'train'?"),
        (("train", "prompts", "--ngpus", 1), "--ngpu"),
    ):
        done = asrkit(*words)
        assert done.code == 2
        assert hint in done.err
        assert "Traceback" not in done.err


def test_run_sh_is_the_same_door() -> None:
    script = ROOT / "recipes/prompts/run.sh"
    assert len(script.read_text().splitlines()) < 40
    done = subprocess.run(
        [str(script), "--stage", "3", "--stop_stage", "3", "--dry_run", "--exp", "/nonexistent/exp"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHON": sys.executable},
    )
    assert "recipe prompts" in done.stderr or "needs the outputs" in done.stderr


def test_memory_is_kept_for_stages_that_train(
    asrkit: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bool] = []
    monkeypatch.setattr("asrkit.cli.train.keep_freed_memory", lambda: kept.append(True))
    words = ("train", RECIPE, "--exp", tmp_path, *TINY, "train.max_steps=1")
    assert asrkit(*words, "--stop-stage", "tokenizer").code == 0 and not kept
    assert asrkit(*words, "--stop-stage", "train").code == 0 and kept == [True]
