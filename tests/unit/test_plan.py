"""Stages: what is up to date, what runs and why."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT

from asrkit.config import Config, load_config
from asrkit.errors import UsageError
from asrkit.learning.recipe import stages
from asrkit.learning.recipe.layout import file_state
from asrkit.learning.recipe.plan import Stage, fingerprints, make_plan, run_plan
from asrkit.learning.recipe.resolution import resolve
from asrkit.learning.recipe.workspace import Workspace

done: list[str] = []


def stage(number: int, name: str, uses: tuple[str, ...], after: tuple[str, ...] = ()) -> Stage:
    def run(workspace: Workspace, prints: dict[str, str]) -> None:
        done.append(name)
        (workspace.folder / f"{name}.out").write_text(prints[name])

    return Stage(number, name, name, uses, lambda _: after, run, lambda w, p: [w.folder / f"{name}.out"])


STAGES = (
    stage(0, "prepare", ("corpus", "-corpus.url")),
    stage(1, "features", ("features",), ("prepare",)),
    stage(2, "train", ("train.lr",), ("features",)),
    stage(4, "score", ("score",), ("train",)),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    done.clear()
    made = Workspace(Config(), tmp_path, tmp_path, "x")
    made.folder.mkdir()
    return made


def go(workspace: Workspace, **options: object) -> list[str]:
    prints = fingerprints(STAGES, workspace)
    done.clear()
    run_plan(make_plan(STAGES, workspace, prints, **options), workspace, prints, lambda text: None)  # type: ignore[arg-type]
    return list(done)


def test_everything_runs_once(workspace: Workspace) -> None:
    assert go(workspace) == ["prepare", "features", "train", "score"]
    assert go(workspace) == []


def test_a_change_runs_its_stage_and_what_builds_on_it(workspace: Workspace) -> None:
    go(workspace)
    workspace.config.train.lr = 0.5
    prints = fingerprints(STAGES, workspace)
    steps = make_plan(STAGES, workspace, prints)
    assert [s.action for s in steps] == ["done", "done", "run", "run"]
    assert steps[2].why == "changed: train.lr"
    assert go(workspace) == ["train", "score"]


def test_keys_taken_out_change_nothing(workspace: Workspace) -> None:
    go(workspace)
    workspace.config.corpus.url = "elsewhere"
    assert go(workspace) == []


def test_a_missing_output_runs_its_stage_again(workspace: Workspace) -> None:
    go(workspace)
    (workspace.folder / "features.out").unlink()
    assert go(workspace) == ["features", "train", "score"]


def test_a_stage_that_failed_is_not_recorded(workspace: Workspace) -> None:
    def fail(workspace: Workspace, prints: dict[str, str]) -> None:
        raise RuntimeError("killed")

    prints = fingerprints(STAGES, workspace)
    broken = [replace(s, run=fail) if s.name == "train" else s for s in STAGES]
    with pytest.raises(RuntimeError):
        run_plan(make_plan(broken, workspace, prints), workspace, prints, lambda text: None)
    assert go(workspace) == ["train", "score"]


def test_stages_are_chosen_by_number_or_name(workspace: Workspace) -> None:
    go(workspace)
    assert go(workspace, first="features", last="2", force=True) == ["features", "train"]
    assert go(workspace, skip=["0", "train", "score"], force=True) == ["features"]


def test_skipping_what_is_needed_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match=r"needs the outputs of features.*--stage features"):
        go(workspace, first="train")


@pytest.mark.parametrize(("word", "hint"), [("trian", "did you mean 'train'"), ("3", "4 score")])
def test_unknown_stages_are_refused(workspace: Workspace, word: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        go(workspace, first=word)


def test_stages_of_recipes_are_in_order_and_build_on_earlier_ones() -> None:
    from asrkit.learning.recipe.stages import STAGES as REAL

    everything = Config()
    everything.model.heads = ["frame", "attention"]
    everything.model.decoder_from_lm = True
    everything.lm.kind = "lstm"
    everything.lm.rescorer.kind = "lstm"
    everything.decode = replace(everything.decode, tune={"lm_weight": [1.0]})
    for config in (Config(), everything):
        names: list[str] = []
        for item in REAL:
            assert set(item.after(config)) <= set(names)
            names.append(item.name)
    assert [bool(s.idle(Config())) for s in REAL if s.idle(Config()) or s.idle(everything)] == [True] * 4
    assert not any(s.idle(everything) for s in REAL)
    assert [s.number for s in REAL] == sorted({s.number for s in REAL})


def test_state_of_outside_data_is_its_content_not_its_date(tmp_path: Path) -> None:
    """A corpus copied or mounted again must not make a training's checkpoints strangers."""
    large = tmp_path / "large.bin"
    data = bytearray(np.random.default_rng(0).bytes(12 << 20))
    large.write_bytes(data)
    before = file_state(large)
    os.utime(large, (1, 1))
    assert file_state(large) == before
    for place in (0, 7 << 20, len(data) - 1):
        changed = bytearray(data)
        changed[place] ^= 1
        large.write_bytes(changed)
        assert file_state(large) != before
    large.write_bytes(data + b"0")
    assert file_state(large) != before

    folder = tmp_path / "folder"
    (folder / "within").mkdir(parents=True)
    (folder / "a.txt").write_text("one")
    names = file_state(folder)
    os.utime(folder, (1, 1))
    assert file_state(folder) == names
    (folder / "a.txt").write_text("three")
    assert file_state(folder) != names
    assert file_state(tmp_path / "absent") == str(tmp_path / "absent")


def variants(recipe: Path) -> list[tuple[str, ...]]:
    """A recipe as it is, and with each of its variants (``size=small`` …)."""
    return [(), *((f"{path.parent.name}={path.stem}",) for path in sorted(recipe.glob("*/*.yaml")))]


PRESETS = sorted(path.stem for path in (ROOT / "conf/model").glob("*.yaml"))
RECIPES = sorted(path.parent for path in (ROOT / "recipes").glob("*/recipe.yaml"))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("recipe", "words"), [(r, words) for r in RECIPES for words in variants(r)], ids=lambda x: str(x)[-20:]
)
def test_every_preset_fits_every_recipe(
    recipe: Path, words: tuple[str, ...], preset: str, tmp_path: Path
) -> None:
    config = load_config(recipe / "recipe.yaml", (*words, f"model={preset}"), ROOT / "conf")
    expected = yaml.safe_load((ROOT / "conf/model" / f"{preset}.yaml").read_text())
    assert config.model.heads == expected["heads"]
    if config.features.kind != "given":  # whose size the data tells
        workspace = resolve(Workspace(config, recipe, tmp_path / "exp", "default"))
        steps = make_plan(stages.STAGES, workspace, fingerprints(stages.STAGES, workspace))
        assert next(step.action for step in steps if step.stage.name == "train") == "run"


def test_another_preset_drops_what_the_recipe_sets_for_its_own() -> None:
    recipe = ROOT / "recipes/librispeech/recipe.yaml"
    own = load_config(recipe, (), ROOT / "conf").decode
    assert own.beam_size == 500 and "lm_weight" in own.tune
    las = load_config(recipe, ("lm=lstm", "decode=joint", "model=las"), ROOT / "conf")
    assert (las.decode.beam_size, las.decode.tune) == (10, {}) and las.train.epochs == 20
    assert load_config(recipe, ("size=100h", "model=las"), ROOT / "conf").model.encoder == "pyramid"
    assert load_config(recipe, ("model=pyramid-ctc",), ROOT / "conf").decode == own
