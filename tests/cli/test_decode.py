"""asrkit decode: every kind of model and format, and files that are not what they should be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import PROMPTS, SENTENCES, Run, at_terminal

GOOD = SENTENCES / "sense-0870.flac"


def test_bundle_experiment_and_checkpoint_give_the_same_text(experiment: Path, asrkit: Run) -> None:
    averaged = experiment / "checkpoints/averaged"
    texts = {
        asrkit("decode", "--model", model, GOOD).out
        for model in (experiment, averaged, averaged / "model.safetensors", experiment / "prompts.asrkit")
    }
    assert len(texts) == 1
    assert texts.pop().endswith("\n")


def test_model_may_come_from_the_environment_or_the_package(
    experiment: Path, asrkit: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from asrkit.recognition import pretrained

    monkeypatch.setattr(pretrained, "ENGLISH", tmp_path / "none.asrkit")
    done = asrkit("decode", GOOD)
    assert done.code == 2 and "--model" in done.err
    monkeypatch.setattr(pretrained, "ENGLISH", experiment / "prompts.asrkit")
    assert asrkit("decode", GOOD).code == 0
    monkeypatch.setattr(pretrained, "ENGLISH", tmp_path / "none.asrkit")
    monkeypatch.setenv("ASRKIT_MODEL", str(experiment))
    assert asrkit("decode", GOOD).code == 0


def test_formats(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    words = ("decode", "--model", experiment, PROMPTS / "activated.opus", GOOD)
    plain = asrkit(*words).out.splitlines()
    assert [line.split("\t")[0] for line in plain] == [str(words[3]), str(GOOD)]
    records = [json.loads(line) for line in asrkit(*words, "-f", "json").out.splitlines()]
    assert [r["id"] for r in records] == ["activated", "sense-0870"]
    for record, line in zip(records, plain, strict=True):
        assert record["text"] == line.split("\t")[1]
        assert " ".join(w["text"] for w in record["words"]) == record["text"]
        times = [t for w in record["words"] for t in (w["start"], w["end"])]
        assert times == sorted(times) and all(0 <= t <= record["seconds"] + 0.05 for t in times)
        assert 0 <= record["confidence"] <= 1
    assert "(sense-0870)" in asrkit(*words, "-f", "trn").out
    ctm = asrkit(*words, "-f", "ctm").out.splitlines()
    assert len(ctm) == sum(len(r["words"]) for r in records)
    wrong = asrkit(*words, "-f", "jsonn")
    assert wrong.code == 2 and "'json'" in wrong.err
    assert asrkit(*words, "-o", tmp_path / "out.txt").out == ""
    assert (tmp_path / "out.txt").read_text().splitlines() == plain


def test_decoder_options(experiment: Path, asrkit: Run) -> None:
    words = ("decode", "--model", experiment, GOOD, "-f", "json")
    greedy = json.loads(asrkit(*words, "--decoder", "ctc-greedy").out)
    beam = json.loads(
        asrkit(*words, "--decoder", "ctc_beam".replace("_", "-"), "--beam_size", 8, "--nbest", 4).out
    )
    wide = json.loads(asrkit(*words, "--decoder", "ctc-beam", "--beam-size", 30, "--nbest", 30).out)
    assert len(greedy["nbest"]) == 1 and len(beam["nbest"]) == 4 and len(wide["nbest"]) == 30
    assert wide["nbest"][0]["score"] >= beam["nbest"][0]["score"] - 1e-4
    for flags, hint in (
        (("--decoder", "ctc-bean"), "ctc-beam"),
        (("--nbest", 5), "ctc-beam"),
        (("--decoder", "ctc-beam", "--nbest", 9, "--beam-size", 3), "beam"),
    ):
        done = asrkit(*words, *flags)
        assert done.code == 2 and hint in done.err
    assert asrkit(*words, "--device", "cpu", "--threads", 1).code == 0
    assert asrkit(*words, "--device", "quantum").code == 2


def test_every_key_of_decoding_is_a_flag_as_the_schema_describes_it(asrkit: Run) -> None:
    from asrkit.cli.decode import command
    from asrkit.config import DecodeConfig, keys

    flags = {option.name: option for option in command.params}
    shown = "".join(asrkit("decode", "--help").out.split())
    for name, field in keys(DecodeConfig).items():
        if name not in ("also", "tune"):
            assert "".join(field.metadata["help"].split())[1:] in shown, name
            for bound, attribute in (("low", "min"), ("high", "max")):
                limit = field.metadata[bound]
                assert limit is None or getattr(flags[name].type, attribute) == limit, name
    assert "0<=x<=8" in shown and "ctc-lexicon" in shown and "[default:(themodel's)" in shown


def test_flags_that_the_decoder_ignores_are_refused(experiment: Path, asrkit: Run) -> None:
    for flag in ("--beam-size", "--lm-weight", "--word-bonus", "--min-frames", "--rescorer-nbest"):
        done = asrkit("decode", "--model", experiment, GOOD, "--decoder", "ctc-greedy", flag, 5)
        assert done.code == 2 and flag[2:].replace("-", "_") in done.err, flag
    assert asrkit("decode", "--model", experiment, GOOD, "--batch-seconds", 5, "--shifts", 1).code == 0


def test_models_that_are_none(asrkit: Run, tmp_path: Path, experiment: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.asrkit").write_text("hello")
    content = (experiment / "prompts.asrkit").read_bytes()
    (tmp_path / "short.asrkit").write_bytes(content[: len(content) // 2])
    for name in ("empty", "text.asrkit", "short.asrkit", "absent"):
        done = asrkit("decode", "--model", tmp_path / name, GOOD)
        assert done.code == 1, name
        assert [line.split(":")[0] for line in done.err.splitlines()] == ["error", "hint"], done.err


def bad_files(folder: Path) -> list[Path]:
    """Thirty files that cannot be decoded, each in its own way."""
    good, rate = soundfile.read(GOOD, dtype="float32")
    made: list[Path] = []

    def add(name: str, content: bytes | None = None) -> Path:
        path = folder / name
        if content is not None:
            path.write_bytes(content)
        made.append(path)
        return path

    def sound(
        name: str, samples: np.ndarray, subtype: str | None = None, rate: int = rate, form: str | None = None
    ) -> bytes:
        path = folder / f"whole-{name}"
        soundfile.write(path, samples, rate, subtype=subtype, format=form)
        content = path.read_bytes()
        path.unlink()
        return content

    for ending in ("wav", "flac", "mp3", "ogg", "opus", "sph"):
        add(f"empty.{ending}", b"")
    for ending in ("wav", "flac", "mp3", "ogg"):
        add(f"text.{ending}", b"this is only text, and a lot of it\n" * 40)
    wav, flac = sound("a.wav", good), sound("a.flac", good)
    add("half.wav", wav[: len(wav) // 2])
    add("half.flac", flac[: len(flac) // 2])
    add("header.wav", wav[:44])
    add("header.flac", flac[:42])
    add("ten-bytes.wav", wav[:10])
    add("noise.wav", bytes(range(256)) * 20)
    add("noise.flac", b"fLaC" + bytes(range(256)) * 20)
    add("three-bytes.mp3", b"ID3")
    add("no-samples.wav", sound("b.wav", good[:0]))
    add("no-samples.flac", sound("b.flac", good[:0], form="FLAC"))
    nan = good.copy()
    nan[100] = np.nan
    add("nan.wav", sound("c.wav", nan, "FLOAT"))
    nan[100] = np.inf
    add("infinite.wav", sound("d.wav", nan, "FLOAT"))
    header = b"NIST_1A\n   1024\nsample_rate -i 16000\nchannel_count -i 1\nsample_n_bytes -i 2\n"
    header += b"sample_count -i 9000\n"
    header += b"sample_byte_format -s2 01\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    add("shorten.sph", header.ljust(1024) + b"ajkg" + bytes(4000))
    add("header-only.sph", header[:300])
    add("a folder.wav").mkdir()
    add("missing.wav")
    add("two\nlines \N{SNOWMAN}.wav", b"")
    add("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(100))
    add("archive.zip", b"PK\x03\x04" + bytes(100))
    add("pickle.wav", b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    return made


def test_bad_files_are_named_and_stop_nothing(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    bad = bad_files(tmp_path)
    assert len(bad) == 30
    expected = asrkit("decode", "--model", experiment, GOOD).out
    done = asrkit("decode", "--model", experiment, *bad[:15], GOOD, *bad[15:])
    assert done.code == 1
    assert done.out == f"{GOOD}\t{expected}"
    lines = done.err.splitlines()
    assert len([line for line in lines if line.startswith("error: ")]) == 30
    assert all(line.startswith(("error: ", "hint: ")) for line in lines[:-1])
    assert lines[-1] == "30 of 31 files could not be decoded"
    for path in bad:
        name = path.name.encode("unicode_escape").decode().replace("\\u2603", "\N{SNOWMAN}")
        assert any(name in line for line in lines), name
    assert any("sph2pipe" in line for line in lines) or shutil.which("sph2pipe")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of one name, a third one, and things that are not recordings."""
    talks = tmp_path / "talks"
    for name in ("b/one.opus", "a/one.opus", "two.OPUS", ".hidden.opus"):
        (talks / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROMPTS / "activated.opus", talks / name)
    (talks / "notes.txt").write_text("no audio")
    (tmp_path / "empty").mkdir()
    return talks


def test_folders_and_patterns(
    experiment: Path, asrkit: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(*words: object) -> list[str]:
        done = asrkit("decode", "--model", experiment, *words)
        assert done.code == 0, done.err
        return [line.split("\t")[0] for line in done.out.splitlines()]

    monkeypatch.chdir(folder)
    everything = ["talks/a/one.opus", "talks/b/one.opus", "talks/two.OPUS"]
    assert names(folder) == [str(folder.parent / name) for name in everything]
    assert names("b", "a/one.opus") == ["b/one.opus", "a/one.opus"]
    assert names("*/*.opus") == ["a/one.opus", "b/one.opus"]
    assert names("**/o*", "[t]wo.*") == ["a/one.opus", "b/one.opus", "two.OPUS"]
    shutil.copy("two.OPUS", "x[1].opus")
    assert names("x[1].opus", "two.OPUS") == ["x[1].opus", "two.OPUS"]


def test_what_matches_nothing_stops_nothing(experiment: Path, asrkit: Run, folder: Path) -> None:
    done = asrkit("decode", "--model", experiment, folder / "*.mp3", folder / "two.OPUS", folder / "../empty")
    assert done.code == 1 and done.out.startswith(str(folder / "two.OPUS"))
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 2 and "*.mp3" in errors[0] and "without audio" in errors[1]
    assert done.err.splitlines()[-1] == "2 of 3 files could not be decoded"
    assert asrkit("decode", "--model", experiment, folder / "*.mp3").code == 1


@pytest.mark.parametrize("piped", [False, True])
def test_audio_from_stdin(experiment: Path, asrkit: Run, piped: bool) -> None:
    expected = asrkit("decode", "--model", experiment, GOOD).out
    kept = os.dup(0)
    feeder = subprocess.Popen(["cat", GOOD], stdout=subprocess.PIPE) if piped else None
    with GOOD.open("rb") as file:
        os.dup2((feeder.stdout if feeder and feeder.stdout else file).fileno(), 0)
    try:
        done = asrkit("decode", "--model", experiment, "-")
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        if feeder:
            feeder.communicate()
    assert done.code == 0 and done.out == expected


def test_a_folder_gets_a_file_for_each_recording(
    experiment: Path, asrkit: Run, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    done = asrkit("decode", "--model", experiment, folder, "-o", f"{out}/")
    assert done.code == 0 and done.out == ""
    assert sorted(path.name for path in out.iterdir()) == ["one-2.txt", "one.txt", "two.txt"]
    assert "b/one.opus: written to" in done.err and "one-2.txt" in done.err
    assert (out / "one.txt").read_text() == asrkit("decode", "--model", experiment, folder / "two.OPUS").out
    assert asrkit("decode", "--model", experiment, GOOD, "-f", "json", "-o", out).code == 0
    assert json.loads((out / "sense-0870.json").read_text())["id"] == "sense-0870"
    (tmp_path / "file").touch()
    assert asrkit("decode", "--model", experiment, GOOD, "-o", f"{tmp_path / 'file'}/").code == 2


def test_names_of_files_never_meet() -> None:
    from asrkit.cli.decode import distinct_names

    paths = ["a/x.wav", "b/X.flac", "c/x.mp3", "x-2.wav", "x-4.wav", "d/x-2.wav"]
    names = distinct_names(paths)
    assert names[0] == "x" and names[3] == "x-2" and names[4] == "x-4"
    assert len({name.lower() for name in names}) == len(paths)


def test_captions(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    words = ("decode", "--model", experiment, "-f")
    srt = asrkit(*words, "srt", GOOD).out.splitlines()
    assert srt[0] == "1" and " --> " in srt[1] and srt[1].startswith("00:00:0")
    assert asrkit(*words, "vtt", GOOD).out.startswith("WEBVTT\n\n00:00:0")
    several = asrkit(*words, "srt", GOOD, PROMPTS / "activated.opus")
    assert several.code == 2 and "FOLDER/" in several.err
    assert asrkit(*words, "vtt", GOOD, PROMPTS / "activated.opus", "-o", f"{tmp_path}/").code == 0
    assert (tmp_path / "activated.vtt").read_text().startswith("WEBVTT\n")


def test_long_recordings_are_decoded_in_pieces(experiment: Path, asrkit: Run) -> None:
    words = ("decode", "--model", experiment, GOOD, "-f", "json")
    whole, pieces = (json.loads(asrkit(*words, *more).out) for more in ((), ("--piece-seconds", 3)))
    assert whole["nbest"] and not pieces["nbest"]
    assert pieces["seconds"] == whole["seconds"] == 7.1
    assert pieces["words"][-1]["end"] > 3
    assert asrkit(*words, "--piece-seconds", 0).code == 2
    assert (
        asrkit(*words, "--piece-seconds", 3, "--threads", 2).out
        == asrkit(*words, "--piece-seconds", 3, "--threads", 1).out
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission_are_named(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    path = tmp_path / "secret.wav"
    shutil.copy(GOOD, path)
    path.chmod(0)
    assert "secret.wav" in asrkit("decode", "--model", experiment, path).err


@pytest.mark.parametrize(
    ("rate", "channels", "subtype", "ending"),
    [
        (8000, 1, "PCM_U8", "wav"),
        (96000, 1, "PCM_24", "wav"),
        (44100, 6, "PCM_16", "wav"),
        (48000, 2, "VORBIS", "ogg"),
        (11025, 1, "FLOAT", "wav"),
        (16000, 1, "ULAW", "wav"),
        (22050, 2, "MPEG_LAYER_III", "mp3"),
    ],
)
def test_unusual_but_good_files_are_decoded(
    experiment: Path, asrkit: Run, tmp_path: Path, rate: int, channels: int, subtype: str, ending: str
) -> None:
    import soxr

    samples, own = soundfile.read(GOOD, dtype="float32")
    path = tmp_path / f"odd name.{ending}"
    wave = soxr.resample(samples, own, rate)
    soundfile.write(path, np.repeat(wave[:, None], channels, 1), rate, subtype=subtype)
    done = asrkit("decode", "--model", experiment, path)
    assert done.code == 0, done.err


@pytest.mark.parametrize("samples", [1, 100, 399, 400, 1000])
def test_very_short_audio_gives_a_transcript(
    experiment: Path, asrkit: Run, tmp_path: Path, samples: int
) -> None:
    soundfile.write(tmp_path / "short.wav", np.full(samples, 0.1, np.float32), 16000)
    assert asrkit("decode", "--model", experiment, tmp_path / "short.wav").code == 0


def test_only_transcripts_go_to_stdout(experiment: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asrkit", "decode", "--model", str(experiment), str(GOOD)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_a_transcript_on_screen_is_not_cut_into_lines(experiment: Path) -> None:
    decode = [sys.executable, "-m", "asrkit", "decode", "--model", str(experiment), str(GOOD), "-f", "json"]
    [line] = subprocess.run(decode, capture_output=True, text=True, check=True).stdout.splitlines()
    shown = at_terminal(*decode, columns=30)
    assert line in shown and "s of audio" in shown
