"""Reading and writing audio: any libsndfile format and any rate, as mono float32 at the rate asked for."""

import codecs
import io
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import numpy as np
import soundfile
import soxr

from asrkit.errors import DataError
from asrkit.files import atomic_write
from asrkit.recognition.audio.container import (
    HEAD_BYTES,
    ends_within_page,
    frames_missing,
    is_shortened,
    sphere_numbers,
)

Source: TypeAlias = str | os.PathLike[str] | BinaryIO

BLOCK_FRAMES = 4096
OVERSHOOT_SECONDS = 0.5  # a segment may end this far beyond its file, as in Kaldi's extract-segments
TAR_PART = re.compile(r"(.+\.tar):(\d+)\+(\d+)")
COPY = "copy, download or record it again"
CANCELLED = 0.01  # power of the mean of channels, relative to the loudest: they are out of phase
MP3_SLACK = 2 * 1152  # MP3 headers count in MPEG frames and may count the encoder's padding


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What the header of an audio file says.

    `format` is libsndfile's, such as ``WAV/PCM_16``, or ``NIST/SHORTEN`` of what only sph2pipe reads.
    """

    sample_rate: int
    channels: int
    frames: int
    format: str

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.sample_rate


def audio_info(source: Source) -> AudioInfo:
    """Read the header of `source`. Raises DataError as :func:`read_audio` does."""
    if info := _shortened_info(source):
        return info
    with _opened(source) as sound:
        return AudioInfo(sound.samplerate, sound.channels, sound.frames, f"{sound.format}/{sound.subtype}")


def read_audio(
    source: Source, sample_rate: int = 16000, start: float = 0.0, duration: float | None = None
) -> np.ndarray:
    """Samples f32[N] of `source`, channels averaged, resampled to `sample_rate` (soxr HQ).

    Args:
        source: path or binary file.
        sample_rate: Hz.
        start: seconds to skip.
        duration: seconds to read; None: to the end.

    Raises:
        DataError: the file is missing, empty, truncated, not audio, or holds NaN, or the part asked for
            lies outside it.
    """
    with _opened(source) as sound:
        first, count = _span(sound, source, start, duration)
        wave = np.concatenate(list(_blocks(sound, source, first, count, BLOCK_FRAMES)))
        rate = sound.samplerate
    return _resampled(wave, rate, sample_rate)


def stream_audio(
    source: Source, sample_rate: int = 16000, block_seconds: float = 10.0
) -> Iterator[np.ndarray]:
    """Blocks f32[N] that together are what :func:`read_audio` gives, about `block_seconds` each.

    Memory is that of one block, independent of the length of the file. Raises DataError likewise.
    """
    with _opened(source) as sound:
        size = max(1, round(block_seconds * sound.samplerate))
        blocks = _blocks(sound, source, 0, sound.frames, size)
        if sound.samplerate == sample_rate:
            yield from blocks
            return
        resampler = soxr.ResampleStream(sound.samplerate, sample_rate, 1, dtype="float32")
        count = 0
        for block in blocks:
            part = resampler.resample_chunk(block)
            count += len(part)
            if len(part):
                yield part
        part = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(part) or not count:
            yield part if len(part) else block[:1]


def as_wave(samples: np.ndarray, rate: int, sample_rate: int = 16000) -> np.ndarray:
    """Samples f32[N] as :func:`read_audio` would give them of a file that holds `samples`.

    Args:
        samples: [N] or [N, channels]; floating point in −1..1, or signed integers of the whole range.
        rate: theirs, in Hz.
        sample_rate: Hz.

    Raises:
        DataError: they are none of these, none at all, or NaN or infinite.
    """
    samples = np.asarray(samples)
    if (
        samples.dtype.kind not in "fi"
        or samples.ndim not in (1, 2)
        or samples.shape[-1] > max(len(samples), 1)
    ):
        shape = "x".join(map(str, samples.shape))
        raise DataError(f"not samples: {samples.dtype} {shape}", "give [N] or [N, channels], float or int16")
    if not samples.size or not rate > 0:
        raise DataError(f"{len(samples)} samples at {rate} Hz", "give samples, and their rate in Hz")
    wave = samples.astype(np.float32)
    if samples.dtype.kind == "i":
        wave /= -float(np.iinfo(samples.dtype).min)
    wave = wave if wave.ndim == 1 else mono(wave)
    if not np.isfinite(wave).all():
        raise DataError(f"sample {int(np.argmin(np.isfinite(wave)))} is NaN or infinite", "see its source")
    return _resampled(np.ascontiguousarray(wave), rate, sample_rate)


def mono(samples: np.ndarray) -> np.ndarray:
    """One channel f32[N] of samples f32[N, channels]: their mean, or the loudest channel if they cancel."""
    if samples.shape[1] == 1:
        return samples[:, 0]
    mean: np.ndarray = samples.mean(axis=1)
    power = np.square(samples).mean(axis=0)
    loudest = int(power.argmax())
    return samples[:, loudest] if np.square(mean).mean() < CANCELLED * power[loudest] else mean


def write_audio(path: Path | str, samples: np.ndarray | Iterable[np.ndarray], sample_rate: int) -> None:
    """Write f32[N], whole or in blocks, as 16-bit FLAC or WAV (by the suffix of `path`), atomically.

    What was read from a 16-bit file is written back bit for bit; values beyond −1..1 are clipped.
    """
    blocks = [samples] if isinstance(samples, np.ndarray) else samples
    kind = Path(path).suffix[1:].upper()
    with (
        atomic_write(path, "wb") as file,
        soundfile.SoundFile(file, "w", sample_rate, 1, "PCM_16", format=kind) as sound,
    ):
        for block in blocks:
            sound.write(np.clip(np.rint(block * 32768.0), -32768, 32767).astype(np.int16))


def tar_part(path: Path, offset: int, size: int) -> str:
    """A name for `size` bytes from `offset` of a tar file, which all functions here read like a file."""
    return f"{path}:{offset}+{size}"


def shown(source: Source) -> str:
    """A name for messages, quoted and on one line."""
    if isinstance(source, str | os.PathLike):
        return repr(os.fspath(source))
    name = getattr(source, "name", None)
    return repr(name) if isinstance(name, str) else "the audio stream"


def _resampled(wave: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    if rate == sample_rate:
        return wave
    resampled = soxr.resample(wave, rate, sample_rate)
    return resampled if len(resampled) else wave[:1]


@contextmanager
def _opened(source: Source) -> Iterator[soundfile.SoundFile]:
    with _binary(source) as file:
        head = file.read(HEAD_BYTES)
        if not head:
            raise DataError(f"{shown(source)} is empty (0 bytes)", COPY)
        if head.startswith(b"OggS") and ends_within_page(file):
            raise DataError(f"{shown(source)} is truncated: it ends within an Ogg page", COPY)
        if is_shortened(head):
            file = _sph2pipe(source)
        file.seek(0)
        try:
            sound = soundfile.SoundFile(file)
        except (soundfile.LibsndfileError, TypeError) as error:
            raise _not_audio(source, head, error) from None
        with sound:
            if missing := frames_missing(sound, head):
                raise _truncated(source, sound, sound.frames, sound.frames + missing)
            if sound.frames == 0:
                raise DataError(f"{shown(source)} has a header and no samples", COPY)
            yield sound


@contextmanager
def _binary(source: Source) -> Iterator[BinaryIO]:
    """A seekable binary file; one opened here is closed here. What comes through a pipe is kept on disk."""
    if not isinstance(source, str | os.PathLike):
        if source.seekable():
            yield source
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(source, copy)
            copy.seek(0)
            yield copy
        return
    path, part = Path(source), TAR_PART.fullmatch(os.fspath(source))
    try:
        if part and not path.exists():
            with Path(part[1]).open("rb") as tar:
                tar.seek(int(part[2]))
                file: BinaryIO = io.BytesIO(tar.read(int(part[3])))
        else:
            file = path.open("rb")
    except FileNotFoundError:
        raise DataError(f"no such file: {shown(source)}", "check the path") from None
    except IsADirectoryError:
        raise DataError(f"{shown(source)} is a folder, not an audio file", "name the files in it") from None
    except PermissionError:
        raise DataError(f"no permission to read {shown(source)}", "check who may read it: ls -l") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot open {shown(source)}: {error}", "check the path") from None
    with file, nullcontext(file) if file.seekable() else _binary(file) as seekable:
        yield seekable


def _shortened_info(source: Source) -> AudioInfo | None:
    """The header of a SPHERE file compressed with shorten, without expanding it; None: it is another file."""
    if not isinstance(source, str | os.PathLike):
        return None
    with _binary(source) as file:
        head = file.read(HEAD_BYTES)
    if not is_shortened(head):
        return None
    numbers = sphere_numbers(head)
    if missing := {"sample_rate", "channel_count", "sample_count"} - numbers.keys():
        raise DataError(f"{shown(source)} is damaged: its header lacks {', '.join(sorted(missing))}", COPY)
    rate, channels, frames = (numbers[key] for key in ("sample_rate", "channel_count", "sample_count"))
    return AudioInfo(rate, channels, frames, "NIST/SHORTEN")


def _sph2pipe(source: Source) -> BinaryIO:
    """A shorten-compressed SPHERE file as WAV, by way of the program sph2pipe."""
    program = shutil.which("sph2pipe")
    if program is None or not isinstance(source, str | os.PathLike):
        raise DataError(
            f"{shown(source)} is a SPHERE file compressed with shorten, which needs sph2pipe",
            "install sph2pipe and put it on PATH, or convert the file: sph2pipe -f wav FILE FILE.wav",
        )
    done = subprocess.run(
        [program, "-f", "wav", "-p", Path(source).absolute()], capture_output=True, check=False
    )
    if done.returncode != 0 or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise DataError(f"sph2pipe cannot read {shown(source)}: {reason}", COPY)
    return io.BytesIO(done.stdout)


def _not_audio(source: Source, head: bytes, error: Exception) -> DataError:
    """What to say of a file that libsndfile does not open; TypeError is its answer to a headerless .raw."""
    if isinstance(error, soundfile.LibsndfileError) and "alformed" in error.error_string:
        return DataError(f"{shown(source)} is damaged: its header is malformed", COPY)
    try:
        written = codecs.getincrementaldecoder("utf-8")().decode(head)
        kind = "text" if "".join(written.split()).isprintable() else "unknown data"
    except UnicodeDecodeError:
        kind = "unknown data"
    return DataError(
        f"{shown(source)} is {kind}, not audio in a known format",
        "convert it first, for example: ffmpeg -i FILE FILE.wav",
    )


def _span(
    sound: soundfile.SoundFile, source: Source, start: float, duration: float | None
) -> tuple[int, int]:
    """First frame and number of frames of a part of the file."""
    rate = sound.samplerate
    first = round(start * rate)
    left = sound.frames - first
    count = left if duration is None else round(duration * rate)
    if first < 0 or min(left, count) <= 0 or count - left > OVERSHOOT_SECONDS * rate:
        part = f"{start:g} s to " + ("the end" if duration is None else f"{start + duration:g} s")
        raise DataError(
            f"{shown(source)} is {sound.frames / rate:.2f} s long and has no part from {part}",
            "check the times in the manifest",
        )
    return first, min(left, count)


def _blocks(
    sound: soundfile.SoundFile, source: Source, first: int, count: int, size: int
) -> Iterator[np.ndarray]:
    """Mono blocks f32[≤ size] of frames `first` to `first + count`."""
    done = 0
    try:
        if first:
            sound.seek(first)
        while done < count:
            block = sound.read(min(size, count - done), dtype="float32", always_2d=True)
            if not len(block):
                break
            wave = mono(block)
            if not np.isfinite(wave).all():
                where = first + done + int(np.argmin(np.isfinite(wave)))
                raise DataError(
                    f"{shown(source)} holds NaN or infinity at sample {where} "
                    f"({where / sound.samplerate:.3f} s)",
                    "write the file again from its source",
                )
            yield wave
            done += len(block)
    except soundfile.LibsndfileError:
        raise _truncated(source, sound, first + done, sound.frames) from None
    if not done or done < count - (MP3_SLACK if sound.format == "MP3" else 0):
        raise _truncated(source, sound, first + done, sound.frames)


def _truncated(source: Source, sound: soundfile.SoundFile, there: int, promised: int) -> DataError:
    missing = promised - there
    return DataError(
        f"{shown(source)} is truncated or damaged: {missing} of {promised} samples "
        f"({missing / sound.samplerate:.2f} s) cannot be read",
        COPY,
    )
