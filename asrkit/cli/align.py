"""asrkit align: forced alignment, the times of the words of a known text."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asrkit.cli.messages import complain, one_line
from asrkit.cli.options import recognizer_options
from asrkit.errors import AsrkitError, DataError, UsageError

if TYPE_CHECKING:
    from asrkit.recognition.recognizer import Recognizer
    from asrkit.recognition.writers.alignments import Alignment


@click.command("align")
@click.argument("audio", nargs=-1, required=True)
@recognizer_options
@click.option("--text", help="Transcript of the one AUDIO file.")
@click.option(
    "--text-file",
    type=click.Path(path_type=Path),
    help="Transcripts: trn or Kaldi's text, by file name without extension; or one line per file, in order.",
)
@click.option(
    "-f",
    "--format",
    "form",
    default="ctm",
    show_default=True,
    help="ctm (words), json or textgrid (words and tokens).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write to this file instead of stdout; to a folder: one file per AUDIO.",
)
def command(
    audio: tuple[str, ...],
    model: str,
    text: str | None,
    text_file: Path | None,
    form: str,
    output: Path | None,
    device: str,
    threads: int,
) -> None:
    """Forced alignment: print the start and end time of each word of each AUDIO file's transcript.

    Without --text and --text-file, the transcript is the .txt file next to the recording. Files that cannot
    be aligned are reported on stderr and skipped; the exit code is then 1.
    """
    from asrkit.files import atomic_write
    from asrkit.progress import track
    from asrkit.recognition.recognizer import Recognizer
    from asrkit.recognition.writers.alignments import ENDINGS, find_writer

    write = find_writer(form)
    one_each = output is not None and (output.is_dir() or (form == "textgrid" and len(audio) > 1))
    if one_each and output and output.is_file():
        raise UsageError(f"{output} is a file", "TextGrids of several recordings need a folder")
    if one_each:
        _distinct([Path(path).stem for path in audio], "the folder would get one file for both")
    elif form == "textgrid" and len(audio) > 1:
        raise UsageError("a TextGrid holds one recording", "give a folder: -o FOLDER")
    texts = _texts(audio, text, text_file)
    recognizer = Recognizer.load(model, device=device, threads=threads)
    if not recognizer.model.heads & {"ctc", "frame"}:
        raise UsageError(f"{model} has no CTC or frame head to align with", "train with ctc in model.heads")
    failed = 0
    with atomic_write(output) if output and not one_each else nullcontext(sys.stdout) as file:
        for path, transcript in track(zip(audio, texts, strict=True), "align", len(audio)):
            try:
                if isinstance(transcript, AsrkitError):
                    raise transcript
                content = write(align_file(recognizer, path, transcript))
            except AsrkitError as error:
                failed += 1
                complain(error)
                continue
            if output and one_each:
                with atomic_write(output / (Path(path).stem + ENDINGS[form])) as own:
                    own.write(content)
            else:
                file.write(content)
                file.flush()
    if failed:
        click.echo(f"{failed} of {len(audio)} files could not be aligned", err=True)
        sys.exit(1)


def align_file(recognizer: Recognizer, audio: str, text: str) -> Alignment:
    """Align the text of one audio file; words the model cannot spell are reported on stderr.

    Raises:
        DataError: unreadable audio, no words in the text, or too many for the audio; the file is named.
    """
    from asrkit.recognition.aligner import align_wave
    from asrkit.recognition.batching import whole_file
    from asrkit.recognition.features.signal import read_signal
    from asrkit.recognition.text.normalize import normalize
    from asrkit.recognition.writers.alignments import make_alignment

    config, tokenizer = recognizer.config, recognizer.tokenizer
    wave = read_signal(config.features, whole_file(audio))
    text = normalize(text, config.text.normalizer)
    if not text:
        raise DataError(f"{audio}: its transcript has no words", "give the words spoken")
    if unknown := tokenizer.unknown(text):
        names = one_line(", ".join(unknown))
        click.echo(f"{one_line(audio)}: unknown to the model, times are guesses: {names}", err=True)
    try:
        aligned = align_wave(recognizer, wave, text)
    except DataError as error:
        raise DataError(f"{audio}: {error.message}", error.hint) from error
    seconds, frame_seconds = len(wave) / config.features.signal_rate, recognizer.acoustics.feature_seconds
    return make_alignment(Path(audio).stem, audio, seconds, aligned, tokenizer, frame_seconds)


def _texts(audio: Sequence[str], text: str | None, text_file: Path | None) -> list[str | AsrkitError]:
    """The text of each audio file, or why it has none."""
    if text is not None and text_file is not None:
        raise UsageError("both --text and --text-file given", "give one of them")
    if text is not None:
        if len(audio) > 1:
            raise UsageError(f"--text is the text of one file, not of {len(audio)}", "give --text-file")
        return [text]
    return [*map(_text_beside, audio)] if text_file is None else _texts_in(text_file, audio)


def _texts_in(path: Path, audio: Sequence[str]) -> list[str | AsrkitError]:
    from asrkit.recognition.scoring.formats import read_transcripts

    names = [Path(file).stem for file in audio]
    texts = read_transcripts(path)
    if texts.keys() == {str(number) for number in range(1, len(texts) + 1)} and not texts.keys() & {*names}:
        if not {*names} <= {text.split(maxsplit=1)[0] for text in texts.values() if text}:
            if len(texts) != len(audio):
                raise DataError(
                    f"{path} has {len(texts)} lines for {len(audio)} files",
                    "give one line per file, in order",
                )
            return [*texts.values()]
        texts = read_transcripts(path, "text")  # its ids look like words
    _distinct(names, "the ids of their texts")
    missing = "lines are `id text` or `text (id)`; the id is the file name without extension"
    return [
        texts[name] if name in texts else DataError(f"{path} has no text for {name}", missing)
        for name in names
    ]


def _text_beside(audio: str) -> str | AsrkitError:
    path = Path(audio).with_suffix(".txt")
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        hint = "put the text next to the recording, or give --text or --text-file"
        return DataError(f"cannot read {path}, the text of {audio}: {error.strerror}", hint)
    except UnicodeDecodeError:
        return DataError(f"{path} is not UTF-8 text", "convert it, for example with iconv")


def _distinct(names: Sequence[str], why: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"{count} files are called {name}: {why}", "align them one after the other")
