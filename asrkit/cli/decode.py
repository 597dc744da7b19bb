"""asrkit decode: audio files in, transcripts out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit import load
from asrkit.cli.messages import complain, one_line
from asrkit.cli.options import recognizer_options
from asrkit.cli.process import give_memory_back, without_blas, without_looking_for_cycles
from asrkit.errors import AsrkitError, DataError, UsageError

if TYPE_CHECKING:
    from asrkit.recognition.recognizer import Recognizer
    from asrkit.recognition.transcript import Transcript


@click.command("decode")
@click.argument("audio", nargs=-1, required=True)
@recognizer_options
@click.option(
    "-o", "--output", help="Write here instead of to stdout; FOLDER/ gets a file for each recording."
)
@click.option(
    "-f",
    "--format",
    "form",
    default="txt",
    show_default=True,
    help="txt, json (words, times, confidences, n-best), trn, ctm, or captions: srt, vtt.",
)
@click.option("--decoder", default="", help="See `asrkit info`.  [default: the model's]")
@click.option("--beam-size", type=click.IntRange(1), help="Hypotheses kept.  [default: the model's]")
@click.option(
    "--beam-threshold",
    type=click.FloatRange(1),
    help="Hypotheses so much less likely, in nats, are dropped (ctc-lexicon).  [default: the model's]",
)
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
    "--ctc-prior-weight", type=click.FloatRange(0), help="Share of the CTC priors taken off (ctc-lexicon)."
)
@click.option(
    "--rescorer-share",
    type=click.FloatRange(0, 1),
    help="Share of the language model's weight that goes to that of the second pass (ctc-lexicon).",
)
@click.option(
    "--rescorer-nbest",
    type=click.IntRange(1),
    help="Hypotheses that the second pass orders anew (ctc-lexicon).  [default: the model's]",
)
@click.option(
    "--shifts",
    type=click.IntRange(0, 8),
    help="Hear it also up to so many feature frames earlier and later, and decode the mean.",
)
@click.option(
    "--piece-seconds",
    type=click.FloatRange(1),
    help="Longer recordings are cut at pauses into pieces of at most this length.  [default: 30]",
)
@click.option(
    "--attention",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw where an attention model looked, a picture a file, into this folder.",
)
def command(
    audio: tuple[str, ...],
    model: str,
    output: str | None,
    form: str,
    decoder: str,
    beam_size: int | None,
    beam_threshold: float | None,
    nbest: int | None,
    ctc_weight: float | None,
    lm_weight: float | None,
    length_bonus: float | None,
    word_bonus: float | None,
    ctc_prior_weight: float | None,
    rescorer_share: float | None,
    rescorer_nbest: int | None,
    shifts: int | None,
    piece_seconds: float | None,
    attention: Path | None,
    device: str,
    threads: int,
) -> None:
    """Print the transcript of each AUDIO, in the order given.

    AUDIO is a file, a folder (all recordings below it), a pattern in quotes, or - for a file's content on
    stdin. What cannot be read is named on stderr and does not stop the others; the exit code is then 1. With
    several recordings in txt form each line starts with the file's name and a tab.
    """
    give_memory_back()
    without_blas()
    from asrkit.config import with_weights
    from asrkit.files import atomic_write
    from asrkit.progress import tell
    from asrkit.recognition.writers.transcripts import ONE_EACH, find_writer

    write = find_writer(form)
    paths, failed = find_recordings(audio)
    count = len(paths) + failed
    if not paths:
        sys.exit(1)
    folder = output_folder(output)
    if form in ONE_EACH and folder is None and count > 1:
        raise UsageError(f"a file of {form} holds one recording, not {count}", "give a folder: -o FOLDER/")
    with without_looking_for_cycles():
        recognizer = load(model, device=device, threads=threads)
        from asrkit.config.decoders import DECODERS, decoders_for, refuse_idle_weights, require_decoder
        from asrkit.recognition.batching import whole_file
    settings = recognizer.settings
    settings = replace(
        settings,
        decoder=decoder or settings.decoder,
        nbest=nbest or settings.nbest,
        beam_size=max(beam_size or settings.beam_size, nbest or 1),
        shifts=settings.shifts if shifts is None else shifts,
    )
    given = {
        "beam_threshold": beam_threshold,
        "ctc_weight": ctc_weight,
        "lm_weight": lm_weight,
        "length_bonus": length_bonus,
        "word_bonus": word_bonus,
        "ctc_prior_weight": ctc_prior_weight,
        "rescorer_share": rescorer_share,
        "rescorer_nbest": rescorer_nbest,
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
    recognizer.piece_seconds = piece_seconds or recognizer.piece_seconds
    names = distinct_names(paths)
    with (
        atomic_write(output) if output and folder is None else nullcontext() as file,
        seconds_heard(paths) as heard,
    ):
        results = recognizer.transcribe_many(map(whole_file, paths), heard)
        for path, name, result in zip(paths, names, results, strict=True):
            if isinstance(result, AsrkitError):
                failed += 1
                complain(result)
                continue
            if folder is None:
                start = f"{path}\t" if form == "txt" and count > 1 else ""
                print(start + write(result), end="", file=file, flush=True)
            else:
                with atomic_write(folder / f"{name}.{form}") as own:
                    own.write(write(result))
                if name != result.id:
                    tell(f"{one_line(path)}: written to {one_line(str(folder / f'{name}.{form}'))}")
            if attention and result.seconds > recognizer.piece_seconds:
                tell(f"{one_line(path)}: decoded in pieces, so there is no picture of its attention")
            elif attention:
                draw_map(recognizer, result, attention / f"{name}.png")
    if failed:
        click.echo(f"{failed} of {count} files could not be decoded", err=True)
        sys.exit(1)


def find_recordings(words: Sequence[str]) -> tuple[list[str], int]:
    """The files that the words mean, and how many words mean none, each of which is named on stderr."""
    from asrkit.recognition.audio.recordings import recordings

    paths: list[str] = []
    failed = 0
    for word in words:
        try:
            paths.extend(recordings(word))
        except DataError as error:
            failed += 1
            complain(error)
    return paths, failed


def output_folder(output: str | None) -> Path | None:
    """The folder that gets a file for each recording; None where the output is one file or stdout.

    Raises:
        UsageError: no folder can be made there.
    """
    if output is None or not (output.endswith("/") or Path(output).is_dir()):
        return None
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{output} is no folder and cannot become one: {error.strerror}", "see -o") from None
    return Path(output)


def distinct_names(paths: Sequence[str]) -> list[str]:
    """The files' names without endings; of those called the same, all but the first get a number."""
    stems = [Path(path).stem for path in paths]
    taken = {stem.casefold() for stem in stems}
    used: set[str] = set()
    names = []
    for stem in stems:
        name, number = stem, 1
        while name.casefold() in used or (number > 1 and name.casefold() in taken):
            number += 1
            name = f"{stem}-{number}"
        used.add(name.casefold())
        names.append(name)
    return names


@contextmanager
def seconds_heard(paths: Sequence[str]) -> Iterator[Callable[[float], object] | None]:
    """What moves a bar by seconds of audio; None when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from asrkit.recognition.audio.reading import audio_info

    total = 0.0
    for path in paths:
        with suppress(AsrkitError):
            total += audio_info(path).duration if Path(path).is_file() else 0.0  # a pipe is read only once
    done = TextColumn("{task.completed:.0f} s of audio")
    columns = ("decode", BarColumn(), done, TimeRemainingColumn())
    on_screen = sys.stdout.isatty()  # transcripts then come above the bar
    with Progress(
        *columns, console=Console(stderr=True, soft_wrap=True), transient=True, redirect_stdout=on_screen
    ) as bar:
        task = bar.add_task("decode", total=total or None)
        yield lambda seconds: bar.advance(task, seconds)


def draw_map(recognizer: Recognizer, transcript: Transcript, path: Path) -> None:
    """Draw where the attention head looks for each token of a transcript, into `path`."""
    from asrkit.learning.report.attention import draw_attention
    from asrkit.recognition.text.tokenizer import SOS_EOS

    draw_attention(
        recognizer.attention_map(transcript),
        [*(token.text for token in transcript.tokens), SOS_EOS],
        recognizer.frame_seconds,
        path,
        transcript.id,
    )
