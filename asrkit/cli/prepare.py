"""asrkit prepare: from a folder of recordings and transcripts to a recipe."""

from pathlib import Path

import click

from asrkit.learning.data.corpora import SHAPES
from asrkit.recognition.text.normalize import NORMALIZERS


@click.command("prepare")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    show_default="./<FOLDER>-recipe",
    help="Folder of the new recipe.",
)
@click.option("--as", "shape", type=click.Choice(SHAPES), show_default="detected", help="Layout of FOLDER.")
@click.option(
    "--dev",
    type=click.FloatRange(0, 50, min_open=True),
    default=10.0,
    show_default=True,
    help="Percent of the speech for the dev set, unless FOLDER has one.",
)
@click.option(
    "--test",
    type=click.FloatRange(0, 50),
    default=10.0,
    show_default=True,
    help="Percent of the speech for the test set, unless FOLDER has one; 0: none.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True, help="Seed of the random split."
)
@click.option(
    "--normalizer",
    type=click.Choice(list(NORMALIZERS)),
    show_default="english, or lower if the texts have letters other than A to Z",
    help="Text normalisation.",
)
@click.option(
    "--sample-rate",
    type=click.IntRange(1000),
    show_default="16000, or 8000 if most audio has less",
    help="Sample rate in Hz to train at.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(0.1, min_open=True),
    default=30.0,
    show_default=True,
    help="Exclude longer utterances.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing recipe.")
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
    """Survey FOLDER, of recordings and their transcripts, and write a recipe that is ready to train.

    Layouts of FOLDER: Kaldi data directories (wav.scp, text), JSONL manifests, LibriSpeech's *.trans.txt,
    CSV or TSV tables, a .txt next to each audio file. Sets called train, dev and test are kept; otherwise
    they are split at random, with no speaker in two sets. FOLDER itself is not changed.
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
