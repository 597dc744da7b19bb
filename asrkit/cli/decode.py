"""asrkit decode: audio files in, transcripts out."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import click

from asrkit.cli import complain
from asrkit.cli.options import recognizer_options
from asrkit.errors import AsrkitError, UsageError


@click.command("decode")
@click.argument("audio", nargs=-1, required=True)
@recognizer_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here instead of to stdout.")
@click.option(
    "-f",
    "--format",
    "form",
    default="txt",
    show_default=True,
    help="txt, json (words, times, confidences, n-best), trn or ctm.",
)
@click.option("--decoder", default="", help="ctc-greedy or ctc-beam.  [default: the model's]")
@click.option("--beam-size", type=click.IntRange(1), help="Hypotheses kept.  [default: the model's]")
@click.option("--nbest", type=click.IntRange(1), help="Hypotheses returned (json).  [default: the model's]")
def command(
    audio: tuple[str, ...],
    model: str,
    output: Path | None,
    form: str,
    decoder: str,
    beam_size: int | None,
    nbest: int | None,
    device: str,
    threads: int,
) -> None:
    """Print the transcript of each AUDIO file, in the order given.

    A file that cannot be read is named on stderr and does not stop the others; the exit code is then 1.
    With several files in txt form each line starts with the file's name and a tab.
    """
    from asrkit.decoding import require_decoder
    from asrkit.files import atomic_write
    from asrkit.progress import track
    from asrkit.recognizer import Recognizer, whole_file
    from asrkit.report.transcripts import find_writer

    write = find_writer(form)
    recognizer = Recognizer.load(model, device=device, threads=threads)
    settings = recognizer.settings
    settings = replace(
        settings,
        decoder=decoder or settings.decoder,
        nbest=nbest or settings.nbest,
        beam_size=max(beam_size or settings.beam_size, nbest or 1),
    )
    require_decoder(settings.decoder, recognizer.model.heads)
    if nbest and beam_size and nbest > beam_size:
        raise UsageError(
            f"--nbest {nbest} is more than --beam-size {beam_size}",
            "a beam cannot return more hypotheses than it keeps",
        )
    if nbest and nbest > 1 and settings.decoder == "ctc-greedy":
        raise UsageError("--nbest needs a beam", "add --decoder ctc-beam")
    recognizer.settings = settings
    failed = 0
    with atomic_write(output) if output else nullcontext(sys.stdout) as file:
        results = recognizer.transcribe_many(whole_file(path) for path in audio)
        for path, result in zip(audio, track(results, "decode", len(audio)), strict=True):
            if isinstance(result, AsrkitError):
                failed += 1
                complain(result)
                continue
            file.write((f"{path}\t" if form == "txt" and len(audio) > 1 else "") + write(result))
            file.flush()
    if failed:
        click.echo(f"{failed} of {len(audio)} files could not be decoded", err=True)
        sys.exit(1)
