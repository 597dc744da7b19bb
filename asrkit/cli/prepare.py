"""asrkit prepare: from a folder of recordings and transcripts to a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from asrkit.learning.data.corpora import SHAPES
from asrkit.recognition.text.normalize import NORMALIZERS


@click.command("prepare")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The new recipe.  [default: ./<FOLDER>-recipe]"
)
@click.option(
    "--as",
    "shape",
    type=click.Choice(SHAPES),
    help="How the folder is laid out.  [default: the first of these that fits]",
)
@click.option(
    "--dev",
    type=click.FloatRange(0, 50, min_open=True),
    default=10.0,
    show_default=True,
    help="Percent of the speech to stop and tune on, when there is no such part.",
)
@click.option(
    "--test",
    type=click.FloatRange(0, 50),
    default=10.0,
    show_default=True,
    help="Percent of the speech to test on, when there is no such part; 0: none.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Another one draws other parts."
)
@click.option(
    "--normalizer",
    type=click.Choice(list(NORMALIZERS)),
    help="What becomes of the texts.  [default: english, or lower for other letters than A to Z]",
)
@click.option(
    "--sample-rate",
    type=click.IntRange(1000),
    help="Hz to train at.  [default: 16000, or 8000 when most audio has less]",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(0.1, min_open=True),
    default=30.0,
    show_default=True,
    help="Longer utterances are left out.",
)
@click.option("--force", is_flag=True, help="Write though the recipe is there already.")
def command(
    folder: Path,
    output: Path | None,
    shape: str | None,
    dev: float,
    test: float,
    seed: int,
    normalizer: str | None,
    sample_rate: int | None,
    max_seconds: float,
    force: bool,
) -> None:
    """Look at FOLDER, of recordings and their transcripts, and write a recipe that is ready to train.

    FOLDER may be laid out in any of the common ways: Kaldi data directories (wav.scp, text), JSONL manifests,
    LibriSpeech's *.trans.txt, CSV or TSV tables, a .txt beside each audio file. Parts called train, dev and
    test are kept; otherwise they are drawn so that no speaker is in two. Nothing in FOLDER is changed.
    """
    from asrkit.prepare.recipe import prepare_recipe
    from asrkit.prepare.report import next_step, report
    from asrkit.prepare.survey import Options
    from asrkit.progress import tell

    recipe = output or Path(f"{folder.resolve().name}-recipe")
    options = Options(shape or "", dev, test, seed, normalizer or "", sample_rate or 0, max_seconds)
    survey = prepare_recipe(folder, recipe, options, force)
    for line in report(survey):
        tell(line)
    tell(f"written to {recipe}; next:")
    tell(f"  {next_step(recipe)}")
