"""asrkit decode: audio files in, transcripts out."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli import complain
from asrkit.cli.options import recognizer_options
from asrkit.errors import AsrkitError, UsageError

if TYPE_CHECKING:
    from asrkit.recognizer import Recognizer
    from asrkit.transcript import Transcript


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
@click.option("--decoder", default="", help="See `asrkit info`.  [default: the model's]")
@click.option("--beam-size", type=click.IntRange(1), help="Hypotheses kept.  [default: the model's]")
@click.option("--nbest", type=click.IntRange(1), help="Hypotheses returned (json).  [default: the model's]")
@click.option(
    "--ctc-weight", type=click.FloatRange(0, 1), help="CTC beside attention (joint, lexicon-rescoring)."
)
@click.option("--lm-weight", type=click.FloatRange(0), help="Weight of the language model.")
@click.option(
    "--length-bonus", type=click.FloatRange(0), help="Added for each token (attention-beam, joint)."
)
@click.option("--word-bonus", type=float, help="Added for each word (ctc-lexicon).")
@click.option(
    "--attention",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw where an attention model looked, a picture a file, into this folder.",
)
def command(
    audio: tuple[str, ...],
    model: str,
    output: Path | None,
    form: str,
    decoder: str,
    beam_size: int | None,
    nbest: int | None,
    ctc_weight: float | None,
    lm_weight: float | None,
    length_bonus: float | None,
    word_bonus: float | None,
    attention: Path | None,
    device: str,
    threads: int,
) -> None:
    """Print the transcript of each AUDIO file, in the order given.

    A file that cannot be read is named on stderr and does not stop the others; the exit code is then 1.
    With several files in txt form each line starts with the file's name and a tab.
    """
    from asrkit.config import with_weights
    from asrkit.decoding import DECODERS, decoders_for, refuse_idle_weights, require_decoder
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
    given = {
        "ctc_weight": ctc_weight,
        "lm_weight": lm_weight,
        "length_bonus": length_bonus,
        "word_bonus": word_bonus,
    }
    settings = with_weights(settings, {name: x for name, x in given.items() if x is not None})
    search = require_decoder(settings.decoder, recognizer.model.heads, recognizer.config.lm.kind)
    chosen = [name for name, x in {**given, "beam_size": beam_size}.items() if x is not None]
    refuse_idle_weights(chosen, settings.decoder, recognizer.config.lm.kind)
    if attention and "attention" not in recognizer.model.heads:
        raise UsageError("--attention needs a model with an attention head", "see asrkit info")
    if nbest and beam_size and nbest > beam_size:
        raise UsageError(
            f"--nbest {nbest} is more than --beam-size {beam_size}",
            "a beam cannot return more hypotheses than it keeps",
        )
    if nbest and nbest > 1 and not search.beam:
        beams = [
            name
            for name in decoders_for(recognizer.model.heads, recognizer.config.lm.kind)
            if DECODERS[name].beam
        ]
        raise UsageError("--nbest needs a beam", "add --decoder " + " or ".join(beams) if beams else "")
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
            if attention:
                draw_map(recognizer, result, attention)
    if failed:
        click.echo(f"{failed} of {len(audio)} files could not be decoded", err=True)
        sys.exit(1)


def draw_map(recognizer: Recognizer, transcript: Transcript, folder: Path) -> None:
    """Draw where the attention head looks for each token of a transcript, into ``<folder>/<id>.png``."""
    from asrkit.report.attention import draw_attention
    from asrkit.text.tokenizer import SOS_EOS

    draw_attention(
        recognizer.attention_map(transcript),
        [*(token.text for token in transcript.tokens), SOS_EOS],
        recognizer.frame_seconds,
        folder / f"{transcript.id}.png",
        transcript.id,
    )
