"""asrkit align: texts from everywhere, every format, and files that cannot be aligned."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import PROMPTS, SENTENCES, Run

from asrkit.errors import UsageError
from asrkit.recognition.transcript import Word
from asrkit.recognition.writers.alignments import Alignment, find_writer, to_textgrid

GOOD = SENTENCES / "sense-0880.flac"
WORDS = "he was not an ill disposed young man"


def read_textgrid(content: str) -> dict[str, list[tuple[float, float, str]]]:
    """Tiers of a TextGrid as Praat reads them: quoted strings and free-standing numbers count."""
    tokens = re.findall(r'"(?:[^"]|"")*"|<exists>|(?<![^\s])-?\d+(?:\.\d+)?(?![^\s])', content)
    values = iter(t[1:-1].replace('""', '"') if t[0] == '"' else t for t in tokens)
    assert [next(values), next(values)] == ["ooTextFile", "TextGrid"]
    start, end, exists, size = (next(values) for _ in range(4))
    assert exists == "<exists>"
    tiers = {}
    for _ in range(int(size)):
        kind, name, first, last, count = (next(values) for _ in range(5))
        assert (kind, first, last) == ("IntervalTier", start, end)
        intervals = [(float(next(values)), float(next(values)), next(values)) for _ in range(int(count))]
        edges = [float(start), *(edge for begin, stop, _ in intervals for edge in (begin, stop)), float(end)]
        assert edges[::2] == edges[1::2], "a gap, or an overlap"
        assert all(begin < stop for begin, stop, _ in intervals)
        tiers[name] = intervals
    assert next(values, None) is None
    return tiers


def test_formats(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    words = ("align", "--model", experiment, GOOD, "--text", WORDS)
    done = asrkit(*words, "-f", "json")
    assert done.code == 0 and done.err == ""
    record = json.loads(done.out)
    assert record["text"] == WORDS.upper() and record["id"] == "sense-0880"
    assert [word["text"] for word in record["words"]] == WORDS.upper().split()
    assert "".join(token["text"] for token in record["tokens"]) == WORDS.upper().replace(" ", "")
    seconds = soundfile.info(GOOD).duration
    for part in ("words", "tokens"):
        times = [time for item in record[part] for time in (item["start"], item["end"])]
        assert times == sorted(times) and times[0] >= 0 and times[-1] <= seconds + 0.001
        assert all(item["start"] < item["end"] and 0 <= item["confidence"] <= 1 for item in record[part])
    assert record["words"][0]["end"] == record["tokens"][1]["end"]

    rows = [line.split() for line in asrkit(*words).out.splitlines()]
    assert [(row[0], row[4]) for row in rows] == [("sense-0880", word) for word in WORDS.upper().split()]
    starts = [word["start"] for word in record["words"]]
    assert [float(row[2]) for row in rows] == pytest.approx(starts)

    tiers = read_textgrid(asrkit(*words, "-f", "textgrid").out)
    assert list(tiers) == ["words", "tokens"]
    for part, tier in tiers.items():
        spoken = [interval for interval in tier if interval[2]]
        assert spoken == [(w["start"], w["end"], w["text"]) for w in record[part]]

    wrong = asrkit(*words, "-f", "textgird")
    assert wrong.code == 2 and "'textgrid'" in wrong.err
    assert asrkit(*words, "-o", tmp_path / "a.ctm").out == ""
    assert (tmp_path / "a.ctm").read_text() == asrkit(*words).out


def test_text_from_files(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    audio = [SENTENCES / f"sense-{number}.flac" for number in ("0880", "0930")]
    other = "he might even have been made amiable himself"
    forms = {
        "a.trn": f"{other} (sense-0930)\n{WORDS} (sense-0880)\n",
        "text": f"sense-0930 {other}\nsense-0880 {WORDS}\n",
        "plain.txt": f"{WORDS}\n{other}\n",
    }
    outs = []
    for name, content in forms.items():
        (tmp_path / name).write_text(content)
        done = asrkit("align", "--model", experiment, *audio, "--text-file", tmp_path / name)
        assert done.code == 0, done.err
        outs.append(done.out)
    for path, text in zip(audio, (WORDS, other), strict=True):
        shutil.copy(path, tmp_path)
        (tmp_path / path.with_suffix(".txt").name).write_text(f"\ufeff{text.capitalize()},\n")
    copies = [tmp_path / path.name for path in audio]
    outs.append(asrkit("align", "--model", experiment, *copies).out)
    assert len(set(outs)) == 1
    assert [line.split()[4] for line in outs[0].splitlines()] == [
        *WORDS.upper().split(),
        *other.upper().split(),
    ]

    shutil.copy(GOOD, tmp_path / "alone.flac")
    (tmp_path / "wordlike").write_text(f"another line\nalone {WORDS}\n")
    alone = asrkit(
        "align", "--model", experiment, tmp_path / "alone.flac", "--text-file", tmp_path / "wordlike"
    )
    assert alone.code == 0 and outs[0].replace("sense-0880", "alone").startswith(alone.out)
    assert len(alone.out.splitlines()) == len(WORDS.split())

    grids = ("align", "--model", experiment, *copies, "-f", "textgrid")
    assert asrkit(*grids).code == 2
    assert asrkit(*grids, "-o", copies[0]).code == 2
    assert asrkit(*grids, "-o", tmp_path / "grids").code == 0
    assert sorted(path.name for path in (tmp_path / "grids").iterdir()) == [
        "sense-0880.TextGrid",
        "sense-0930.TextGrid",
    ]
    again = asrkit("align", "--model", experiment, *copies, "-f", "json", "-o", tmp_path / "grids")
    assert again.code == 0
    assert json.loads((tmp_path / "grids/sense-0930.json").read_text())["text"] == other.upper()


def test_texts_that_do_not_fit(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    align = ("align", "--model", experiment)
    (tmp_path / "three.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "a.trn").write_text("one (x)\n")
    for words, code, message in (
        ((GOOD, GOOD, "--text", "x"), 2, "--text-file"),
        ((GOOD, "--text", "x", "--text-file", tmp_path / "a.trn"), 2, "both"),
        ((GOOD, "--text-file", tmp_path / "three.txt"), 1, "3 lines for 1 files"),
        ((GOOD, "--text-file", tmp_path / "absent"), 1, "absent"),
        ((GOOD, "--text-file", tmp_path / "a.trn"), 1, "no text for sense-0880"),
        ((GOOD, GOOD, "--text-file", tmp_path / "a.trn"), 2, "sense-0880"),
        ((GOOD,), 1, "sense-0880.txt"),
        ((GOOD, "--text", " ,. "), 1, "no words"),
        ((PROMPTS / "digits-0.opus", "--text", "a very long text " * 20), 1, "digits-0.opus: no path"),
    ):
        done = asrkit(*align, *words)
        assert done.code == code and message in done.err and done.out == "", (words, done)
        assert [line.split(":")[0] for line in done.err.splitlines()[:2]] == ["error", "hint"]


def test_bad_files_are_named_and_stop_nothing(experiment: Path, asrkit: Run, tmp_path: Path) -> None:
    names = ["empty.wav", "text.flac", "missing.wav", "two\nlines.wav", "latin.wav", "short.wav"]
    good, rate = soundfile.read(GOOD, dtype="float32")
    for name in names:
        (tmp_path / name).with_suffix(".txt").write_bytes(b"one two")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "two\nlines.wav").write_bytes(b"")
    (tmp_path / "text.flac").write_bytes(b"only text\n" * 40)
    soundfile.write(tmp_path / "latin.wav", good, rate)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    soundfile.write(tmp_path / "short.wav", np.zeros(100, np.float32), rate)
    soundfile.write(tmp_path / "good.wav", good, rate)
    (tmp_path / "good.txt").write_text(WORDS)
    bad = [tmp_path / name for name in names]
    expected = asrkit("align", "--model", experiment, tmp_path / "good.wav")
    done = asrkit("align", "--model", experiment, *bad[:3], tmp_path / "good.wav", *bad[3:])
    assert done.code == 1 and done.out == expected.out and len(done.out.splitlines()) == 8
    lines = done.err.splitlines()
    assert len([line for line in lines if line.startswith("error: ")]) == 6
    assert lines[-1] == "6 of 7 files could not be aligned"
    for name in ("empty.wav", "text.flac", "missing.wav", "two\\nlines.wav", "latin.txt", "short.wav"):
        assert any(name in line for line in lines), name


def test_what_the_model_cannot_express_is_named(experiment: Path, asrkit: Run) -> None:
    done = asrkit("align", "--model", experiment, GOOD, "--text", f"{WORDS} 42", "-f", "json")
    assert done.code == 0 and done.err.endswith("times are guesses: 4, 2\n")
    assert json.loads(done.out)["words"][-1]["text"] == "42"


def test_textgrid_of_any_text() -> None:
    words = [Word('say "hi"', 0.0, 0.5, 1.0), Word("", 0.5, 0.7, 1.0), Word("ö", 1000.123, 1234.567, 1.0)]
    alignment = Alignment("a", "a.wav", 1234.567, "", 1.0, words, [Word("AH", 3.0, 3.0, 1.0)], [], "phone")
    tiers = read_textgrid(to_textgrid(alignment))
    assert tiers["words"][0] == (0.0, 0.5, 'say "hi"') and tiers["words"][-1] == (1000.123, 1234.567, "ö")
    assert tiers["phones"] == [(0.0, 1234.567, "")]
    with pytest.raises(UsageError, match="unknown format"):
        find_writer("srt")
