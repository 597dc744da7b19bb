"""Audio in: right samples from good files, one clear line about bad ones."""

from __future__ import annotations

import io
import os
import struct
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from asrkit.errors import DataError
from asrkit.recognition.audio.reading import audio_info, read_audio, stream_audio, write_audio

ROOT = Path(__file__).parents[2]
SENTENCE = ROOT / "tests/audio/sense-0880.flac"
PROMPT = ROOT / "recipes/prompts/data/audio/hello-world.opus"
RATE = 16000


def noise(frames: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(frames) * 0.1).astype(np.float32)


def refusal(source: object, **options: float) -> DataError:
    with pytest.raises(DataError) as caught:
        read_audio(source, **options)  # type: ignore[arg-type]
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


# ---- what is read


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        ("wav", {"subtype": "PCM_16"}, 2**-15),
        ("wav", {"subtype": "PCM_24"}, 2**-22),
        ("wav", {"subtype": "FLOAT"}, 0),
        ("wav", {"subtype": "ULAW"}, 0.02),
        ("flac", {}, 2**-15),
        ("aiff", {}, 2**-15),
        ("au", {}, 2**-15),
        ("caf", {}, 2**-15),
        ("sph", {"format": "NIST"}, 2**-15),
        ("rf64", {"format": "RF64"}, 2**-15),
    ],
)
def test_formats_without_loss_give_the_samples(
    tmp_path: Path, suffix: str, options: dict[str, str], tolerance: float
) -> None:
    wave, path = noise(4001), tmp_path / f"a.{suffix}"
    soundfile.write(path, wave, RATE, **options)
    actual = read_audio(path)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, wave, rtol=0, atol=tolerance)
    assert audio_info(path).frames == 4001


@pytest.mark.parametrize(
    ("suffix", "subtype"), [("mp3", "MPEG_LAYER_III"), ("ogg", "VORBIS"), ("ogg", "OPUS")]
)
def test_lossy_formats_keep_the_speech(tmp_path: Path, suffix: str, subtype: str) -> None:
    wave, path = read_audio(SENTENCE), tmp_path / f"a.{suffix}"
    soundfile.write(path, wave, RATE, subtype=subtype)
    actual = read_audio(path)
    assert abs(len(actual) - len(wave)) <= 1
    assert np.corrcoef(actual[: len(wave)], wave[: len(actual)])[0, 1] > 0.95


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_other_rates_are_resampled_as_soxr_does(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(rate + 7), rate, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path), soxr.resample(noise(rate + 7), rate, RATE))


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = noise(1000), noise(1000, 1)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("gain", [-1.0, -0.95, -1.05])
def test_of_channels_that_cancel_the_loudest_is_taken(gain: float, tmp_path: Path) -> None:
    """As where one cable is wired the wrong way round; in one half of the recording only, in that half."""
    left = read_audio(SENTENCE)
    right = np.where(np.arange(len(left)) < 4096 * 4, gain * left, left)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    expected = np.where(np.arange(len(left)) < 4096 * 4, left if abs(gain) <= 1 else right, left)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), expected, atol=1e-6)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(start=st.integers(0, 47839), count=st.integers(1, 47840))
def test_a_part_is_that_part_of_the_whole(start: int, count: int) -> None:
    count = min(count, 47840 - start)
    whole = read_audio(SENTENCE)
    part = read_audio(SENTENCE, start=start / RATE, duration=count / RATE)
    np.testing.assert_array_equal(part, whole[start : start + count])


def test_a_part_may_end_a_little_late_but_not_much() -> None:
    assert len(read_audio(SENTENCE, start=2.5, duration=0.9)) == round(0.49 * RATE)
    assert "2.99 s long" in refusal(SENTENCE, start=2.5, duration=1.1).message
    refusal(SENTENCE, start=3.0)
    refusal(SENTENCE, start=-1.0)
    refusal(SENTENCE, duration=0.0)


def test_open_files_and_pipes_are_read_like_paths() -> None:
    with SENTENCE.open("rb") as file:
        np.testing.assert_array_equal(read_audio(file), read_audio(SENTENCE))
    into, out = os.pipe()
    with os.fdopen(into, "rb") as reader:
        with os.fdopen(out, "wb") as writer:
            writer.write(PROMPT.read_bytes())
        np.testing.assert_array_equal(read_audio(reader), read_audio(PROMPT))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_one_sample_is_enough(tmp_path: Path, rate: int, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.array([0.5], np.float32), rate)
    assert len(read_audio(path)) >= 1


# ---- streaming


@pytest.mark.parametrize("rate", [16000, 8000, 44100])
def test_stream_is_the_same_audio_in_blocks(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(3 * rate + 11), rate, subtype="FLOAT")
    blocks = list(stream_audio(path, RATE, 0.5))
    assert len(blocks) >= 6
    assert max(map(len, blocks)) < 0.6 * RATE
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(path))


def test_hours_stream_in_the_memory_of_a_block(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    hour = np.zeros(3600 * 8000, np.int16)
    with soundfile.SoundFile(path, "w", 8000, 1) as file:
        for _ in range(2):
            file.write(hour)
    del hour
    tracemalloc.start()
    seconds = sum(map(len, stream_audio(path, RATE, 5.0))) / RATE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds == pytest.approx(7200, abs=0.01)
    assert peak < 8e6  # two hours are 460 MB


# ---- what is refused


def test_missing_folder_empty_and_text(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.wav").message
    assert "is a folder" in refusal(tmp_path).message
    (tmp_path / "empty.wav").touch()
    assert "0 bytes" in refusal(tmp_path / "empty.wav").message
    (tmp_path / "text.wav").write_text("Some words, no sound. Ünd more.\n" * 50, encoding="utf-8")
    assert "is text" in refusal(tmp_path / "text.wav").message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(SENTENCE.read_bytes())
    (tmp_path / "a.wav").chmod(0)
    assert "no permission" in refusal(tmp_path / "a.wav").message


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfb\x90", b"\0" * 5000, b"\0\0\0\x18ftypM4A " + b"\0" * 90, b"RIFF\x24\0\0\0WAVEfmt \x10"],
)
def test_bytes_that_are_no_audio(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp3").write_bytes(content)
    (tmp_path / "a.raw").write_bytes(content)
    refusal(tmp_path / "a.mp3")
    refusal(tmp_path / "a.raw")
    refusal(io.BytesIO(content))


def test_zero_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(0), RATE)
    assert "no samples" in refusal(tmp_path / "a.wav").message


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "au", "w64", "sph", "mp3"])
def test_truncated_files_say_how_much_is_missing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(2 * RATE), RATE, format="NIST" if suffix == "sph" else None)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = refusal(path).message
    assert "samples (1." in message  # half of two seconds, and what a damaged frame takes with it
    with pytest.raises(DataError, match="truncated"):
        list(stream_audio(path, RATE, 0.1))


def test_a_wav_that_lacks_ten_bytes_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(RATE), RATE)
    path.write_bytes(path.read_bytes()[:-10])
    assert "5 of 16000 samples" in refusal(path).message
    with pytest.raises(DataError, match="5 of 16000 samples"):
        audio_info(path)


@pytest.mark.parametrize("cut", [10, 1000])
def test_truncated_ogg(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.opus"
    path.write_bytes(PROMPT.read_bytes()[:-cut])
    assert "Ogg page" in refusal(path).message


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_wav_from_a_pipe_does_not_know_its_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), RATE)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 4, size)
    struct.pack_into("<I", content, 40, size)
    path.write_bytes(content)
    assert len(read_audio(path)) == 1000


def test_wav_with_more_after_its_samples_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(1000), RATE)
    path.write_bytes(path.read_bytes() + b"LIST\x04\0\0\0abcd")
    assert len(read_audio(path)) == 1000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    wave = noise(3 * RATE)
    wave[20000] = value
    soundfile.write(tmp_path / "a.wav", wave, RATE, subtype="FLOAT")
    assert "sample 20000 (1.250 s)" in refusal(tmp_path / "a.wav").message


def test_odd_names_stay_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb\t😀.wav"
    assert r"a\nb\t" in refusal(path).message
    path.write_bytes(SENTENCE.read_bytes())
    assert len(read_audio(path)) == 47840


def shortened(path: Path) -> Path:
    """A SPHERE file whose header says that it is compressed with shorten."""
    header = b"NIST_1A\n   1024\nsample_coding -s26 pcm,embedded-shorten-v2.00\nsample_count -i 9\nend_head\n"
    path.write_bytes(header.ljust(1024) + b"ajkg\2" + bytes(50))
    return path


def test_shortened_sphere_names_sph2pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "sph2pipe" in refusal(shortened(tmp_path / "a.wv1")).message


def test_shortened_sphere_is_read_through_sph2pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin/sph2pipe"
    program.parent.mkdir()
    soundfile.write(tmp_path / "out.wav", noise(500), RATE)
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        f"assert sys.argv[1:-1] == ['-f', 'wav', '-p'], sys.argv\n"
        f"sys.stdout.buffer.write(pathlib.Path({str(tmp_path / 'out.wav')!r}).read_bytes())\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    np.testing.assert_allclose(read_audio(shortened(tmp_path / "a.wv1")), noise(500), atol=2**-15)


# ---- writing


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    wave = read_audio(SENTENCE)
    write_audio(tmp_path / f"a.{suffix}", wave, RATE)
    np.testing.assert_array_equal(read_audio(tmp_path / f"a.{suffix}"), wave)
    write_audio(tmp_path / f"b.{suffix}", iter(np.split(wave, 8)), RATE)
    np.testing.assert_array_equal(read_audio(tmp_path / f"b.{suffix}"), wave)


def test_loud_samples_are_clipped_not_wrapped(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.array([1.5, -1.5, 1.0], np.float32), RATE)
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav"), [1, -1, 1], atol=2**-15)


def test_writing_leaves_nothing_when_it_fails(tmp_path: Path) -> None:
    def broken() -> object:
        yield noise(100)
        raise DataError("the source breaks off", "copy it again")

    with pytest.raises(DataError):
        write_audio(tmp_path / "a.flac", broken(), RATE)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
