"""asrkit info: facts and settings of a model."""

import json
from pathlib import Path

import click


@click.command("info")
@click.argument("model", type=click.Path(path_type=Path), required=False)
def command(model: Path | None) -> None:
    """Describe MODEL, a .asrkit bundle, an experiment folder or a checkpoint; by default the packaged one."""
    from asrkit.config import difference
    from asrkit.recognition.pretrained import packaged_model
    from asrkit.recognition.recognizer import Recognizer

    recognizer = Recognizer.load(model or packaged_model(), device="cpu")
    config = recognizer.config
    parameters = recognizer.acoustics.parameters
    facts = {
        "recipe": config.name,
        "encoder": config.model.encoder,
        "heads": ", ".join(sorted(recognizer.model.heads)),
        "parameters": f"{parameters:,}",
        "tokens": f"{len(recognizer.tokenizer.tokens)} ({recognizer.tokenizer.kind})",
        "features": f"{config.features.kind}, {recognizer.acoustics.feature_dim} a frame"
        + (f", audio at {config.features.sample_rate} Hz" if config.features.kind != "given" else ""),
        "output frame": f"{1000 * recognizer.frame_seconds:g} ms",
        "normalizer": config.text.normalizer,
        "decoder": config.decode.decoder,
    }
    for name, fact in facts.items():
        click.echo(f"{name:<13}{fact}")
    click.echo("\nsettings that differ from the defaults:")
    for key, (_, current) in difference(config).items():
        click.echo(f"  {key}: {json.dumps(current)}")
