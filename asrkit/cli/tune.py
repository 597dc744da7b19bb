"""asrkit tune: the decoding weights that make the fewest errors on an experiment's dev sets."""

from dataclasses import replace
from pathlib import Path

import click

from asrkit.cli.options import device_options, setting
from asrkit.errors import DataError, UsageError


@click.command("tune")
@click.argument("experiment", type=click.Path(path_type=Path))
@click.argument("grid", nargs=-1, metavar="NAME=VALUE,VALUE…")
@setting("decode.decoder", default="", show_default="the experiment's")
@click.option(
    "--unit",
    default="",
    show_default="the experiment's first",
    help="Unit of the errors: word, char or phone.",
)
@device_options
def command(
    experiment: Path, grid: tuple[str, ...], decoder: str, unit: str, device: str, threads: int
) -> None:
    """Try every combination of weights on the dev sets of EXPERIMENT, a folder below exp/, and keep the best.

    For example: asrkit tune exp/an4/default lm_weight=0.3,0.6,0.9 word_bonus=0,1. The default grid is the
    recipe's decode.tune. The chosen weights are written to tuned.json and used in all later decoding.
    """
    from asrkit.config.decoders import refuse_idle_weights, require_decoder
    from asrkit.learning.data.manifest import read_manifest
    from asrkit.learning.recipe.tune import tune_weights
    from asrkit.recognition.recognizer import Recognizer

    dev = experiment / "check" / "dev.jsonl.gz"
    if not dev.exists():
        raise DataError(f"{experiment} has no dev sets: {dev} is missing", "give a folder that train made")
    recognizer = Recognizer.load(experiment, device=device, threads=threads)
    config = recognizer.config
    values = dict(_parse(word) for word in grid) or config.decode.tune
    if not values:
        raise UsageError("nothing to tune", "give weights and values, for example lm_weight=0.3,0.6")
    recognizer.settings = replace(config.decode, decoder=decoder or config.decode.decoder)
    require_decoder(recognizer.settings.decoder, recognizer.model.heads, config.lm.kind)
    refuse_idle_weights(values, recognizer.settings.decoder, config.lm.kind)
    tune_weights(
        recognizer, read_manifest(dev), values, unit or config.score.units[0], experiment / "tuned.json"
    )


def _parse(word: str) -> tuple[str, list[float]]:
    name, _, values = word.partition("=")
    try:
        return name.replace("-", "_"), [float(value) for value in values.split(",")]
    except ValueError as error:
        raise UsageError(f"not a weight with its values: {word!r}", "write lm_weight=0.3,0.6") from error
