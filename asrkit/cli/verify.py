"""asrkit verify: compare the fast code with the NumPy reference, on a model and audio."""

import sys
from pathlib import Path

import click

from asrkit.cli.messages import complain
from asrkit.cli.options import recognizer_options
from asrkit.errors import ModelError, UsageError

SECONDS = 6.0


@click.command("verify")
@click.argument("audio", nargs=-1)
@recognizer_options
def command(audio: tuple[str, ...], model: str, device: str, threads: int) -> None:
    """Compare the fast code with the NumPy reference on a model and the first seconds of each AUDIO file.

    The default AUDIO is a few packaged recordings. Prints the largest difference of each comparison and its
    tolerance; the exit code is 1 if any is exceeded.
    """
    from asrkit.learning.recipe.library import root
    from asrkit.recognition.audio.reading import stream_audio
    from asrkit.recognition.features.signal import read_features
    from asrkit.recognition.recognizer import Recognizer
    from asrkit.verify import verify

    recognizer = Recognizer.load(model, device=device, threads=threads)
    features = recognizer.config.features
    rate = features.signal_rate
    if features.kind == "given":
        if not audio:
            raise UsageError(f"{model} takes features, no audio", "name files of features (.npy)")
        waves = {path: read_features(path, features.dim)[: int(SECONDS * rate)] for path in audio}
    else:
        paths = [*map(Path, audio)] or sorted((root() / "recipes/prompts/data/audio").glob("*.opus"))[::120]
        names = [str(path) if audio else path.stem for path in paths]
        blocks = (next(stream_audio(path, features.sample_rate, SECONDS)) for path in paths)
        waves = dict(zip(names, blocks, strict=True))
    seconds = sum(map(len, waves.values())) / rate
    click.echo(f"{model}, {len(waves)} recordings, {seconds:.1f} s\n")
    click.echo(f"{'':42}difference   allowed")
    wrong = []
    for check in verify(recognizer, waves):
        verdict = "agrees" if check.agrees else "DIFFERS"
        click.echo(f"{check.name:42}{check.difference:10.1e}{check.tolerance:10.0e}   {verdict}")
        wrong += [] if check.agrees else [check]
    for check in wrong:
        complain(
            ModelError(
                f"{check.name}: largest difference {check.difference:.3g}: {check.detail}",
                "a damaged model or a bug in asrkit; docs/reference.md says which code was compared",
            )
        )
    if wrong:
        sys.exit(1)
