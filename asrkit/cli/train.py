"""asrkit train: plan a recipe's stages, print the plan, run it."""

import os
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path

import click

from asrkit.cli.options import setting
from asrkit.cli.process import keep_freed_memory
from asrkit.errors import UsageError

TRAINING = ("lm", "rescorer", "train")  # stages that may train a network


@click.command("train")
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--stage", default="", help="First stage to run, by number or name.")
@click.option("--stop-stage", default="", help="Last stage to run.")
@click.option("--skip-stages", default="", help="Stages to skip, separated by spaces or commas.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--force", is_flag=True, help="Run the chosen stages even if they are up to date.")
@click.option(
    "--data",
    "data_root",
    type=click.Path(path_type=Path),
    envvar="ASRKIT_DATA",
    show_envvar=True,
    help="Folder of corpora.",
)
@click.option(
    "--exp",
    type=click.Path(path_type=Path),
    default=Path("exp"),
    show_default=True,
    help="Folder of experiments.",
)
@click.option("--tag", default="default", show_default=True, help="Name of this experiment.")
@click.option(
    "--ngpu",
    type=click.IntRange(0),
    show_default="1 if available",
    help="GPUs to train on, one process each; 0: the CPU.",
)
@setting("seed", default=None, show_default="the recipe's")
def command(
    recipe: str,
    overrides: tuple[str, ...],
    stage: str,
    stop_stage: str,
    skip_stages: str,
    dry_run: bool,
    force: bool,
    data_root: Path | None,
    exp: Path,
    tag: str,
    ngpu: int | None,
    seed: int | None,
) -> None:
    """Run the stages of RECIPE, from the corpus to a scored and packed recogniser.

    RECIPE is a folder with recipe.yaml, or the name of a packaged recipe (see `asrkit recipes`). Override
    settings with KEY=VALUE, for example train.lr=5e-4; `asrkit config RECIPE` prints them all. Stages that
    are up to date are skipped; an interrupted stage resumes where it stopped.
    """
    from asrkit.config import load_config
    from asrkit.learning.recipe.library import find_recipe, fragments
    from asrkit.learning.recipe.plan import fingerprints, make_plan, run_plan
    from asrkit.learning.recipe.resolution import resolve
    from asrkit.learning.recipe.stages import STAGES, start
    from asrkit.learning.recipe.workspace import Workspace, alone
    from asrkit.progress import tell

    if ngpu:
        refuse_missing_gpus(ngpu)
    path = find_recipe(recipe)
    words = overrides if seed is None else (*overrides, f"seed={seed}")
    config = load_config(path, words, fragments(path))
    if not config.name:
        config.name = path.parent.resolve().name
    if Path(tag).name != tag or tag in ("", "data"):
        raise UsageError(
            f"--tag {tag!r} cannot be a folder's name", "use a plain word, for example --tag lr-1e-3"
        )
    workspace = Workspace(
        config,
        path.parent,
        exp / config.name,
        tag,
        data_root,
        device_for(ngpu),
        ngpu or 1,
        force,
        "asrkit " + shlex.join(sys.argv[1:]),
    )
    workspace = resolve(workspace)
    prints = fingerprints(STAGES, workspace)
    steps = make_plan(
        STAGES,
        workspace,
        prints,
        first=stage,
        last=stop_stage,
        skip=skip_stages.replace(",", " ").split(),
        force=force,
    )
    rank = int(os.environ.get("RANK", "0"))
    if "WORLD_SIZE" in os.environ:
        refuse_other_stages([s.stage.name for s in steps if s.action == "run"], force)
    if rank == 0:
        tell(f"recipe {config.name}, experiment {workspace.folder}")
        for step in steps:
            tell(f"  {step.stage.number:2d} {step.stage.name:<10} {step.action:<5} {step.why}")
    if dry_run:
        return
    # The worker processes of a training on several GPUs share the lock of their parent.
    with nullcontext() if "WORLD_SIZE" in os.environ else alone(workspace.folder):
        if rank == 0:
            start(workspace)
        if any(step.action == "run" and step.stage.name in TRAINING for step in steps):
            keep_freed_memory()
        run_plan(steps, workspace, prints, tell, record=rank == 0)


def device_for(ngpu: int | None) -> str:
    """The device that ``--ngpu`` chooses."""
    return "auto" if ngpu is None else "cuda" if ngpu else "cpu"


def refuse_missing_gpus(count: int) -> None:
    """Raise UsageError if fewer than `count` GPUs are visible."""
    import torch

    if torch.cuda.device_count() < count:
        raise UsageError(
            f"--ngpu {count}, but {torch.cuda.device_count()} CUDA devices available", "--ngpu 0 uses the CPU"
        )


def refuse_other_stages(to_run: list[str], force: bool) -> None:
    """Under torchrun every process runs this command, which only the train stage allows."""
    if force or to_run not in ([], ["train"]):
        raise UsageError(
            "torchrun can run only the train stage, without --force",
            "run the earlier stages first, then add --stage train --stop-stage train",
        )
