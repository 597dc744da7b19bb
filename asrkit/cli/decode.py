"""asrkit decode: audio files in, transcripts out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asrkit import load
from asrkit.cli.messages import complain, one_line
from asrkit.cli.options import decode_options, recognizer_options
from asrkit.cli.process import return_freed_memory, without_blas, without_cycle_collection
from asrkit.errors import AsrkitError, DataError, UsageError
from asrkit.progress import tell

if TYPE_CHECKING:
    from asrkit.config import DecodeConfig
    from asrkit.recognition.recognizer import Recognizer
    from asrkit.recognition.transcript import Transcript


@click.command("decode")
@click.argument("audio", nargs=-1, required=True)
@recognizer_options
@click.option(
    "-o", "--output", help="Write to this file instead of stdout; to FOLDER/: one file per recording."
)
@click.option(
    "-f",
    "--format",
    "form",
    default="txt",
    show_default=True,
    help="txt, json (words, times, confidences, n-best), trn, ctm, srt or vtt (captions).",
)
@decode_options
@click.option(
    "--piece-seconds",
    type=click.FloatRange(1),
    show_default="30",
    help="Cut longer recordings at pauses into pieces of at most N seconds.",
)
@click.option(
    "--attention",
    type=click.Path(path_type=Path, file_okay=False),
    help="Draw the attention weights of each recording, as a picture in this folder.",
)
def command(
    audio: tuple[str, ...],
    model: str,
    output: str | None,
    form: str,
    piece_seconds: float | None,
    attention: Path | None,
    device: str,
    threads: int,
    **flags: Any,
) -> None:
    """Print the transcript of each AUDIO, in the order given.

    AUDIO is a file, a folder (all recordings below it), a quoted pattern, or - for audio on stdin. With
    several recordings, each line of txt output starts with the file's name and a tab. Files that cannot be
    read are reported on stderr and skipped; the exit code is then 1.
    """
    return_freed_memory()
    without_blas()
    from asrkit.files import atomic_write
    from asrkit.recognition.writers.transcripts import ONE_EACH, find_writer

    form = form.lower()
    write = find_writer(form)
    paths, failed = find_recordings(audio)
    count = len(paths) + failed
    if not paths:
        sys.exit(1)
    folder = output_folder(output)
    if form in ONE_EACH and folder is None and count > 1:
        raise UsageError(f"a file of {form} holds one recording, not {count}", "give a folder: -o FOLDER/")
    with without_cycle_collection():
        recognizer = load(model, device=device, threads=threads)
        from asrkit.recognition.batching import whole_file
    recognizer.settings = with_flags(recognizer, flags)
    recognizer.piece_seconds = piece_seconds or recognizer.piece_seconds
    if attention and "attention" not in recognizer.model.heads:
        raise UsageError("--attention needs a model with an attention head", "see asrkit info")
    names = distinct_names(paths)
    with (
        atomic_write(output) if output and folder is None else nullcontext() as file,
        seconds_bar(paths) as progress,
    ):
        results = recognizer.transcribe_many(map(whole_file, paths), progress)
        for path, name, result in zip(paths, names, results, strict=True):
            if isinstance(result, AsrkitError):
                failed += 1
                complain(result)
                continue
            if folder is None:
                start = f"{path}\t" if form == "txt" and count > 1 else ""
                print(start + write(result), end="", file=file, flush=True)
            else:
                target = folder / f"{name}.{form}"
                with atomic_write(target) as own:
                    own.write(write(result))
                if name != result.id:
                    tell(f"{one_line(path)}: written to {one_line(str(target))}")
            if attention:
                draw_map(recognizer, result, attention / f"{name}.png")
    if failed:
        click.echo(f"{failed} of {count} files could not be decoded", err=True)
        sys.exit(1)


def with_flags(recognizer: Recognizer, flags: Mapping[str, Any]) -> DecodeConfig:
    """The recogniser's settings, changed by the flags that are not None.

    Raises:
        UsageError: the model cannot use the decoder, or the decoder ignores a flag.
    """
    from asrkit.config.decoders import DECODERS, decoders_for, refuse_idle_weights, require_decoder

    heads, lm = recognizer.model.heads, recognizer.config.lm.kind
    chosen = {name: x for name, x in flags.items() if x not in (None, "")}
    settings = replace(recognizer.settings, **chosen)
    nbest, beam_size = chosen.get("nbest", 1), chosen.get("beam_size")
    decoder = require_decoder(settings.decoder, heads, lm)
    weights = frozenset[str]().union(*(d.weights for d in DECODERS.values()))
    refuse_idle_weights([name for name in chosen if name in weights], decoder.name, lm)
    if beam_size and nbest > beam_size:
        raise UsageError(
            f"--nbest {nbest} is more than --beam-size {beam_size}",
            "a beam cannot return more hypotheses than it keeps",
        )
    if nbest > 1 and not decoder.beam:
        beams = [name for name in decoders_for(heads, lm) if DECODERS[name].beam]
        raise UsageError("--nbest needs a beam", "add --decoder " + " or ".join(beams) if beams else "")
    return replace(settings, beam_size=max(settings.beam_size, nbest))


def find_recordings(words: Sequence[str]) -> tuple[list[str], int]:
    """The recordings that the arguments name, and how many arguments name none: these are reported."""
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
    """The folder for one file per recording; None: the output is one file or stdout.

    Raises:
        UsageError: the folder cannot be made.
    """
    if output is None or not (output.endswith("/") or Path(output).is_dir()):
        return None
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {output}: {error.strerror}", "see -o") from None
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
def seconds_bar(paths: Sequence[str]) -> Iterator[Callable[[float], object] | None]:
    """Advances a progress bar by seconds of audio; None when stderr is not a terminal."""
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
    """Draw the attention weights of each token of a transcript into `path`, unless it was cut into pieces."""
    if transcript.seconds > recognizer.piece_seconds:
        tell(f"{one_line(transcript.audio)}: decoded in pieces, so there is no picture of its attention")
        return
    from asrkit.learning.report.attention import draw_attention
    from asrkit.recognition.text.tokenizer import SOS_EOS

    draw_attention(
        recognizer.attention_map(transcript),
        [*(token.text for token in transcript.tokens), SOS_EOS],
        recognizer.frame_seconds,
        path,
        transcript.id,
    )
