"""Stages: which are up to date, which run and why; and running them.

A stage's fingerprint is a hash of its part of the configuration, of the stages it builds on and of the
source data. It is recorded when the stage has ended; a stage whose record does not match runs again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asrkit.config import Config, keys, unused_shapes, value
from asrkit.errors import UsageError, nearest
from asrkit.files import write_json
from asrkit.learning.recipe.workspace import Workspace


@dataclass(frozen=True)
class Stage:
    """One step of a recipe.

    Attributes:
        number, name: either selects it on the command line.
        help: one line for the plan.
        uses: configuration keys or sections that its result depends on; ``-key`` excludes one.
        after: names of the stages it builds on, for this configuration.
        run: does the work; called as ``run(workspace, prints)`` with the fingerprints of all stages.
        outputs: paths that must exist for the stage to count as done.
        source: other things its result depends on (the state of outside files), as plain data.
        addressed: its outputs' paths contain the fingerprint, so it is done if they exist.
        idle: why this configuration does not need it; empty: it does.
    """

    number: int
    name: str
    help: str
    uses: tuple[str, ...]
    after: Callable[[Config], tuple[str, ...]]
    run: Callable[[Workspace, dict[str, str]], None]
    outputs: Callable[[Workspace, dict[str, str]], list[Path]]
    source: Callable[[Workspace], Any] = lambda _: None
    addressed: bool = False
    idle: Callable[[Config], str] = lambda _: ""


@dataclass(frozen=True)
class Step:
    """What will happen to one stage, and why."""

    stage: Stage
    action: str  # "run", "done", "skip" or "idle"
    why: str


def config_slice(config: Config, uses: Sequence[str]) -> dict[str, Any]:
    """The configuration values under these keys and sections, except those marked with a minus.

    The shapes of encoders and decoders that the model does not have are excluded.
    """
    return {
        key: value(config, key)
        for key in keys(Config)
        if not any(_within(key, use[1:]) for use in uses if use.startswith("-"))
        and any(_within(key, use) for use in uses)
        and not any(_within(key, f"model.{shape}") for shape in unused_shapes(config.model))
    }


def _within(key: str, use: str) -> bool:
    return key == use or key.startswith(use + ".")


def fingerprints(stages: Sequence[Stage], workspace: Workspace) -> dict[str, str]:
    """Stage name -> hexadecimal fingerprint."""
    prints: dict[str, str] = {}
    for stage in stages:
        content = [
            stage.name,
            config_slice(workspace.config, stage.uses),
            None if stage.idle(workspace.config) else stage.source(workspace),
            [prints[name] for name in stage.after(workspace.config)],
        ]
        prints[stage.name] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return prints


def make_plan(
    stages: Sequence[Stage],
    workspace: Workspace,
    prints: dict[str, str],
    *,
    first: str = "",
    last: str = "",
    skip: Sequence[str] = (),
    force: bool = False,
) -> list[Step]:
    """Decide for every stage whether it runs.

    Args:
        first, last: run only from and to these (number or name).
        skip: stages to skip.
        force: run the chosen stages even when they are up to date.

    Raises:
        UsageError: an unknown stage, or a skipped one that a later one needs.
    """
    begin = find_stage(stages, first).number if first else stages[0].number
    end = find_stage(stages, last).number if last else stages[-1].number
    skipped = {find_stage(stages, word).name for word in skip}
    steps: list[Step] = []
    running: set[str] = set()
    for stage in stages:
        stale = staleness(stage, workspace, prints)
        after = stage.after(workspace.config)
        if idle := stage.idle(workspace.config):
            steps.append(Step(stage, "idle", idle))
        elif not begin <= stage.number <= end or stage.name in skipped:
            steps.append(Step(stage, "skip", "not selected" + (f", but {stale}" if stale else "")))
        elif force or stale or running & set(after):
            because = [name for name in after if name in running]
            why = stale or ("forced" if force else f"{because[0]} runs again")
            steps.append(Step(stage, "run", why))
            if force or not stage.addressed:  # else it reproduces the same outputs
                running.add(stage.name)
        else:
            steps.append(Step(stage, "done", "up to date"))
    _refuse_gaps(steps, workspace, prints)
    return steps


def _refuse_gaps(steps: list[Step], workspace: Workspace, prints: dict[str, str]) -> None:
    missing = {
        s.stage.name
        for s in steps
        if s.action == "skip" and not all(p.exists() for p in s.stage.outputs(workspace, prints))
    }
    for step in steps:
        needed = missing & set(step.stage.after(workspace.config))
        if step.action == "run" and needed:
            name = sorted(needed)[0]
            raise UsageError(
                f"stage {step.stage.name} needs the outputs of {name}, which are missing",
                f"start earlier: --stage {name}",
            )


def staleness(stage: Stage, workspace: Workspace, prints: dict[str, str]) -> str:
    """Why a stage is not up to date; empty when it is."""
    missing = [str(p) for p in stage.outputs(workspace, prints) if not p.exists()]
    if stage.addressed and not missing:
        return ""
    try:
        record = json.loads(record_path(stage, workspace).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "not run yet"
    if record.get("fingerprint") != prints[stage.name]:
        new, old = config_slice(workspace.config, stage.uses), record.get("config", {})
        changed = sorted(key for key in new if new[key] != old.get(key))
        return f"changed: {', '.join(changed)}" if changed else "an earlier stage changed"
    return f"missing: {missing[0]}" if missing else ""


def run_plan(
    steps: Sequence[Step],
    workspace: Workspace,
    prints: dict[str, str],
    say: Callable[[str], None],
    record: bool = True,
) -> None:
    """Run the steps to run, in order, and record each when it has ended.

    Of several processes only one reports and has ``record=True``.
    """
    for step in steps:
        if step.action != "run":
            continue
        if not record:
            step.stage.run(workspace, prints)
            continue
        say(f"stage {step.stage.number} {step.stage.name}: {step.stage.help}")
        start = time.monotonic()
        record_path(step.stage, workspace).unlink(missing_ok=True)
        step.stage.run(workspace, prints)
        write_json(
            record_path(step.stage, workspace),
            {
                "stage": step.stage.name,
                "fingerprint": prints[step.stage.name],
                "seconds": round(time.monotonic() - start, 1),
                "config": config_slice(workspace.config, step.stage.uses),
            },
        )


def record_path(stage: Stage, workspace: Workspace) -> Path:
    """The record of a stage's last run."""
    return workspace.folder / "stages" / f"{stage.number:02d}-{stage.name}.json"


def find_stage(stages: Sequence[Stage], word: str) -> Stage:
    """A stage by number or name. Raises UsageError."""
    for stage in stages:
        if word in (stage.name, str(stage.number)):
            return stage
    names = [s.name for s in stages]
    raise UsageError(
        f"no stage {word!r}",
        nearest(word, names)
        if not word.isdigit()
        else "stages: " + ", ".join(f"{s.number} {s.name}" for s in stages),
    )
