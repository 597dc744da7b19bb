"""asrkit prepare: every shape of a folder of one's own, made of real recordings, and what may be wrong."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import PROMPTS, SENTENCES, Run
from families import PYRAMID, QUICK

from asrkit.config import load_config
from asrkit.learning.recipe.library import fragments
from asrkit.prepare.split import existing_parts, hold_out
from asrkit.prepare.survey import Options, choose_normalizer, survey_folder
from asrkit.recognition.audio.utterance import Utterance

SPEAKERS = ("ann", "bob", "cem", "dai", "eva")
LINES = (PROMPTS.parent / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
TEXTS = {line.split("\t")[0]: line.split("\t")[2] for line in LINES}
SHORT = sorted(TEXTS, key=lambda name: (PROMPTS / f"{name}.opus").stat().st_size)[:10]
SPOKEN = {name: SPEAKERS[index % len(SPEAKERS)] for index, name in enumerate(SHORT)}  # as if by five people


def put(name: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(PROMPTS / f"{name}.opus", path)
    return path


def write(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


# ---- the shapes, each of the same ten recordings


def kaldi(folder: Path) -> None:
    data = folder / "data"
    write(data / "wav.scp", (f"{n} {put(n, folder / 'wav' / f'{n}.opus')}" for n in SHORT))
    write(data / "text", (f"{n} {TEXTS[n]}" for n in SHORT))
    write(data / "utt2spk", (f"{n} {SPOKEN[n]}" for n in SHORT))


def jsonl(folder: Path) -> None:
    keys = ("audio_filepath", "audio", "wav")
    entries = [
        {keys[i % 3]: f"wav/{n}.opus", ("text", "txt")[i % 2]: TEXTS[n], "speaker": SPOKEN[n]}
        for i, n in enumerate(SHORT)
    ]
    for name in SHORT:
        put(name, folder / "wav" / f"{name}.opus")
    write(folder / "mine.json", map(json.dumps, entries))


def librispeech(folder: Path) -> None:
    for name in SHORT:
        chapter = folder / SPOKEN[name] / "1"
        key = f"{SPOKEN[name]}-1-{name}"
        put(name, chapter / f"{key}.opus")
        with (chapter / f"{SPOKEN[name]}-1.trans.txt").open("a") as file:
            file.write(f"{key} {TEXTS[name].upper()}\n")


def common_voice(folder: Path) -> None:
    for name in SHORT:
        put(name, folder / "clips" / f"{name}.opus")
    rows = (f'{SPOKEN[n]}\t{n}.opus\t"{TEXTS[n]}"\t2' for n in SHORT)
    write(folder / "validated.tsv", ["client_id\tpath\tsentence\tup_votes", *rows])
    write(folder / "invalidated.tsv", [f"client_id\tpath\tsentence\nx\t{SHORT[0]}.opus\twrong"])


def comma_table(folder: Path) -> None:
    folder.mkdir()
    with (folder / "list.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["ID", "wav", "spk_id", "wrd"])
        table.writerows([n, put(n, folder / "a" / f"{n}.opus"), SPOKEN[n], f"{TEXTS[n]}, so"] for n in SHORT)


def ljspeech(folder: Path) -> None:
    for name in SHORT:
        put(name, folder / "wavs" / f"{name}.opus")
    write(folder / "metadata.csv", (f"{n}|{TEXTS[n]} 1|{TEXTS[n]}" for n in SHORT))


def folders(folder: Path) -> None:
    for name in SHORT:
        path = put(name, folder / "audio" / SPOKEN[name] / "monday" / f"{name}.opus")
        path.with_suffix(".txt").write_text(TEXTS[name] + "\n")


SHAPES: dict[str, tuple[str, Callable[[Path], None], bool]] = {
    "kaldi": ("kaldi", kaldi, True),
    "jsonl": ("jsonl", jsonl, True),
    "librispeech": ("librispeech", librispeech, True),
    "common-voice": ("table", common_voice, True),
    "comma-table": ("table", comma_table, True),
    "ljspeech": ("table", ljspeech, False),
    "folder": ("folder", folders, True),
}


def manifests(recipe: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted((recipe / "data").glob("*.jsonl"))
    }


def left_out(recipe: Path) -> dict[str, str]:
    lines = (recipe / "left-out.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["id"]: entry["kind"] for entry in map(json.loads, lines)}


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_becomes_a_recipe(name: str, tmp_path: Path, asrkit: Run) -> None:
    shape, build, spoken = SHAPES[name]
    build(tmp_path / "mine")
    before = state(tmp_path / "mine")
    done = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "recipe", "--test", 20)
    assert done.code == 0, done.err
    assert f"is read as {shape}" in done.err
    assert "nothing was skipped" in done.err or name == "common-voice"
    assert done.err.splitlines()[-1] == f"  asrkit train {tmp_path / 'recipe'}"
    assert state(tmp_path / "mine") == before

    sets = manifests(tmp_path / "recipe")
    assert list(sets) == ["dev", "test", "train"]
    entries = [entry for actual in sets.values() for entry in actual]
    transcripts = {
        Path(e["audio_filepath"]).stem.split("-1-")[-1]: e["text"].lower().strip('"').replace(", so", "")
        for e in entries
    }
    assert transcripts == {n: TEXTS[n] for n in SHORT}
    assert len({e["id"] for e in entries}) == len(entries) == len(SHORT)
    for entry in entries:
        assert entry["duration"] == pytest.approx(soundfile.info(entry["audio_filepath"]).duration)
    people = {part: {e.get("speaker", "") for e in actual} for part, actual in sets.items()}
    if spoken:
        assert people["train"] | people["dev"] | people["test"] == set(SPEAKERS)
        assert sum(map(len, people.values())) == len(SPEAKERS), "a speaker is in two parts"
        assert "drawn by speaker" in done.err and "no speaker is in two parts" in done.err
    else:
        assert "drawn by recording" in done.err and "unknown" in done.err

    recipe = tmp_path / "recipe" / "recipe.yaml"
    config = load_config(recipe, (), fragments(recipe))
    assert (config.corpus.name, config.corpus.train, config.corpus.test) == ("jsonl", ["train"], ["test"])
    assert (config.model.encoder, config.text.normalizer) == ("pyramid", "english")
    assert "read as" in (tmp_path / "recipe" / "report.txt").read_text()
    planned = asrkit("train", tmp_path / "recipe", "--exp", tmp_path / "exp", "--dry-run")
    assert planned.code == 0 and "download   done" in planned.err


def test_a_shape_can_be_forced(tmp_path: Path, asrkit: Run) -> None:
    ljspeech(tmp_path / "mine")
    for name in SHORT:
        (tmp_path / "mine/wavs" / f"{name}.txt").write_text(TEXTS[name])
    output = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "a").err
    assert "read as table; --as folder fits too" in output
    output = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "b", "--as", "folder").err
    assert "read as folder\n" in output and "unknown" in output, "wavs is no speaker"
    refused = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "c", "--as", "kaldi")
    assert refused.code == 1 and "wav.scp" in refused.err and not (tmp_path / "c").exists()


# ---- parts


def test_parts_that_are_there_are_kept(tmp_path: Path, asrkit: Run) -> None:
    common_voice(tmp_path / "mine")
    header, *rows = (tmp_path / "mine/validated.tsv").read_text().splitlines()
    for part, chosen in {"train": rows[:6], "dev": rows[5:7], "test": rows[7:]}.items():
        write(tmp_path / f"mine/{part}.tsv", [header, *chosen])
    done = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "recipe")
    sets = manifests(tmp_path / "recipe")
    assert {part: len(actual) for part, actual in sets.items()} == {"train": 5, "dev": 2, "test": 3}
    assert left_out(tmp_path / "recipe") == {"train.tsv:7": "doubled"}, (
        "audio of the dev part is not trained on"
    )
    assert "drawn" not in done.err
    assert "validated: not used, 10 utterances" in done.err
    assert "speakers in more than one part: " in done.err


def test_missing_parts_are_drawn_from_the_training(tmp_path: Path) -> None:
    for name in SHORT:
        part = "train_a" if name in SHORT[:4] else "train_b" if name in SHORT[:8] else "eval92"
        path = put(name, tmp_path / "mine" / part / SPOKEN[name] / "x.opus")  # the same names everywhere
        path.rename(path.with_name(f"{len(list(path.parent.iterdir()))}.opus"))
        (path.parent / f"{len(list(path.parent.iterdir()))}.txt").write_text(TEXTS[name])
    actual = survey_folder(tmp_path / "mine", Options())
    assert actual.roles == {"train": ["train_a", "train_b"], "dev": ["dev"], "test": ["eval92"]}
    assert len(actual.sets["eval92"]) == 2 and actual.drawn == ["dev"]
    held_out = {u.speaker for u in actual.sets["dev"]}
    assert held_out and not held_out & {u.speaker for u in actual.utterances("train")}
    assert len({u.id for u in actual.utterances()}) == len(actual.utterances()) == len(SHORT)


@pytest.mark.parametrize(
    ("subsets", "parts", "aside"),
    [
        (
            ["train", "dev", "test", "other"],
            {"train": ["train"], "dev": ["dev"], "test": ["test"]},
            ["other"],
        ),
        (["train_dev", "train"], {"train": ["train"], "dev": ["train_dev"], "test": []}, []),
        (["dev-clean-2", "train-clean-5", "train-3spk"], {"train": ["train-clean-5", "train-3spk"]}, []),
        (["a/validation", "a/eval", "b"], {"train": ["b"], "dev": ["a/validation"], "test": ["a/eval"]}, []),
        (["ann", "val", "bob"], {"train": ["ann", "val", "bob"]}, []),
        (["validated"], {"train": ["validated"]}, []),
        (["dev", "test"], {"train": ["dev", "test"]}, []),
    ],
)
def test_names_tell_parts(subsets: list[str], parts: dict[str, list[str]], aside: list[str]) -> None:
    actual, others = existing_parts(subsets)
    assert {part: actual.get(part, []) for part in parts} == parts
    assert others == aside
    assert sorted([*others, *(s for names in actual.values() for s in names)]) == sorted(subsets)


def people(count: int, seed: int = 0) -> list[Utterance]:
    """Some hours of speech by `count` people who say more or less."""
    random = np.random.default_rng(seed)
    return [
        Utterance(
            f"{person}-{n}", f"/x/{person}-{n}.wav", 0.0, float(random.uniform(2, 9)), "a", f"p{person}"
        )
        for person in range(count)
        for n in range(random.integers(5, 60))
    ]


@pytest.mark.parametrize("count", [3, 4, 7, 30, 200])
def test_held_out_parts_share_no_speaker_and_are_of_the_size_asked_for(count: int) -> None:
    utterances = people(count)
    parts, by = hold_out(utterances, {"test": 10, "dev": 5}, 1, Path("/x"))
    again, _ = hold_out(utterances[::-1], {"test": 10, "dev": 5}, 1, Path("/x"))
    other, _ = hold_out(utterances, {"test": 10, "dev": 5}, 2, Path("/x"))
    assert by == "speaker"
    assert {part: set(actual) for part, actual in parts.items()} == {p: set(f) for p, f in again.items()}
    gone = {u.id for actual in parts.values() for u in actual}
    left = [u for u in utterances if u.id not in gone]
    speakers = [{u.speaker for u in actual} for actual in (parts["dev"], parts["test"], left)]
    assert all(speakers) and sum(map(len, speakers)) == count
    if count >= 30:
        assert parts != other
        total = sum(u.duration for u in utterances)
        shares = {part: 100 * sum(u.duration for u in actual) / total for part, actual in parts.items()}
        assert 8 < shares["test"] < 10.6 and 3 < shares["dev"] < 5.3, shares


def test_without_enough_speakers_recordings_are_kept_whole(tmp_path: Path) -> None:
    parts_of_files = [Utterance(f"u{n}", f"/x/{n // 5}.wav", n % 5, 1.0, "a", "p") for n in range(100)]
    parts, by = hold_out(parts_of_files, {"test": 10, "dev": 10}, 1, Path("/x"))
    assert by == "recording"
    owners = defaultdict(set)
    for part, actual in parts.items():
        for utterance in actual:
            owners[utterance.audio].add(part)
        assert len(actual) == 10
    assert all(len(actual) == 1 for actual in owners.values())


def test_preparing_twice_gives_the_same_bytes_and_another_seed_other_parts(
    tmp_path: Path, asrkit: Run
) -> None:
    folders(tmp_path / "mine")
    made = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2), ("d", 3)):
        words = ("prepare", tmp_path / "mine", "-o", tmp_path / name, "--seed", seed, "--test", 20)
        assert asrkit(*words).code == 0
        made.append((tmp_path / name / "data/test.jsonl").read_bytes())
    assert made[0] == made[1]
    assert len(set(made)) > 1


# ---- what cannot be used


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Three good recordings, and one of each kind that is not."""
    folder = tmp_path / "mine"
    for name in SHORT[:3]:
        put(name, folder / f"{name}.opus").with_suffix(".txt").write_text(TEXTS[name])
    put(SHORT[3], folder / "empty-text.opus").with_suffix(".txt").write_text(" \n")
    put(SHORT[3], folder / "only-stops.opus").with_suffix(".txt").write_text("... !\n")
    put(SHORT[3], folder / "silent.opus")
    put(SHORT[3], folder / "latin.opus").with_suffix(".txt").write_bytes("Grüße".encode("latin-1"))
    (folder / "unheard.txt").write_text("text alone")
    (folder / "cut.opus").write_bytes((PROMPTS / f"{SHORT[4]}.opus").read_bytes()[:-60])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "page.mp3").write_text("<html>not found</html>")
    (folder / "half.flac").write_bytes((SENTENCES / "sense-0880.flac").read_bytes()[:20000])
    soundfile.write(folder / "click.wav", np.zeros(160), 16000)
    shutil.copy(SENTENCES / "sense-0870.flac", folder / "long.flac")  # 7.1 s
    for name in ("cut", "half", "empty", "page", "click", "long"):
        (folder / f"{name}.txt").write_text("some words")
    return folder


def test_bad_recordings_are_named_and_stop_nothing(damaged: Path, tmp_path: Path, asrkit: Run) -> None:
    before = state(damaged)
    done = asrkit("prepare", damaged, "-o", tmp_path / "recipe", "--max-seconds", 7)
    assert done.code == 0, done.err
    assert state(damaged) == before
    assert left_out(tmp_path / "recipe") == {
        "empty-text": "no text",
        "only-stops": "no text",
        "silent": "no text",
        "latin": "no text",
        "unheard": "no audio",
        "cut": "unreadable",
        "half": "unreadable",
        "empty": "unreadable",
        "page": "unreadable",
        "click": "too short",
        "long": "too long",
    }
    report = (tmp_path / "recipe/report.txt").read_text()
    assert report.splitlines() == done.err.splitlines()[:-2]
    for fact in (
        "skipped: 11",
        "no text: 4 (",
        "unreadable: 4 (cut, empty, half, …)",
        "OGG/OPUS 3",
        "16000 Hz 3",
    ):
        assert fact in report
    words = sum(len(TEXTS[name].split()) for name in SHORT[:3])
    assert report.split("all ")[1].split()[::3][:2] == ["3", str(words)]
    assert sum(map(len, manifests(tmp_path / "recipe").values())) == 3


def test_lists_that_name_what_is_not_there(tmp_path: Path, asrkit: Run) -> None:
    kaldi(tmp_path / "mine")
    data = tmp_path / "mine/data"
    put(SHORT[0], tmp_path / "mine/wav/stray.opus")
    with (data / "wav.scp").open("a") as file:
        file.write("gone /nowhere/gone.wav\npiped cat x.wav |\nunwritten wav/stray2.opus\n")
    with (data / "text").open("a") as file:
        file.write("gone words\npiped words\nunheard words\n")
    done = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "recipe")
    assert done.code == 0
    assert left_out(tmp_path / "recipe") == {
        "gone": "no audio",
        "piped": "no audio",
        "unheard": "no audio",
        "unwritten": "no text",
        "wav/stray.opus": "no text",
    }


def test_names_of_files_that_are_not_utf8(tmp_path: Path, asrkit: Run) -> None:
    folders(tmp_path / "mine")
    bad = Path(os.fsdecode(os.fsencode(tmp_path / "mine/audio/ann/monday") + b"/gr\xfc\xdfe.opus"))
    put(SHORT[0], bad).with_suffix(".txt").write_text("gruss")
    done = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "recipe")
    assert done.code == 0, done.err
    assert list(left_out(tmp_path / "recipe").values()) == ["unreadable"]
    assert (
        "unreadable: 1 (audio-ann-monday-gr\\udcfc\\udcdfe)" in (tmp_path / "recipe/report.txt").read_text()
    )


def test_nothing_is_overwritten_or_put_into_the_folder(tmp_path: Path, asrkit: Run) -> None:
    ljspeech(tmp_path / "mine")
    words = ("prepare", tmp_path / "mine", "-o", tmp_path / "recipe")
    assert asrkit(*words).code == 0
    (tmp_path / "recipe/recipe.yaml").write_text("mine: now\n")
    refused = asrkit(*words)
    assert refused.code == 2 and "--force" in refused.err
    assert (tmp_path / "recipe/recipe.yaml").read_text() == "mine: now\n"
    assert asrkit(*words, "--force").code == 0
    assert "corpus:" in (tmp_path / "recipe/recipe.yaml").read_text()
    (tmp_path / "file").touch()
    for place in ("mine/recipe", "mine", "file"):
        assert asrkit(*words[:3], tmp_path / place, "--force").code == 2


def test_folders_that_hold_nothing_say_what_would_do(tmp_path: Path, asrkit: Run) -> None:
    def output(folder: str, *flags: object) -> str:
        done = asrkit("prepare", tmp_path / folder, "-o", tmp_path / "recipe", *flags)
        assert done.code in (1, 2) and len(done.err.splitlines()) == 2, done.err
        assert not (tmp_path / "recipe").exists()
        return done.err

    assert "does not exist" in output("none")
    (tmp_path / "empty").mkdir()
    assert "no audio files" in output("empty") and "flac" in output("empty") and "wav.scp" in output("empty")
    write(tmp_path / "packed/corpus.tar.gz", ["x"])
    assert "unpack" in output("packed")
    put(SHORT[0], tmp_path / "silent/a.opus")
    assert "1 audio files" in output("silent") and "a .txt of the same name" in output("silent")
    assert "is a file" in output("silent/a.opus")
    write(tmp_path / "silent/a.txt", ["words"])
    assert "1 recordings cannot make 3 parts" in output("silent")
    write(tmp_path / "silent/a.txt", ["..."])
    assert "no text: 1" in output("silent")
    assert "too little to train" in output("silent", "--dev", 50, "--test", 50)


# ---- texts and rates


def test_letters_of_other_languages_are_kept(tmp_path: Path, asrkit: Run) -> None:
    texts = ["Grüße aus Köln", "Das Öl und die Äpfel", "über die Straße", "schöne Füße"]
    for name, text in zip(SHORT, texts, strict=False):
        put(name, tmp_path / "mine" / f"{name}.opus").with_suffix(".txt").write_text(text, encoding="utf-8")
    done = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "a")
    assert "normaliser lower" in done.err and "ü 3" in done.err and "excluded from training" not in done.err
    actual = [entry["text"] for entries in manifests(tmp_path / "a").values() for entry in entries]
    assert sorted(actual) == sorted(texts)
    assert "normalizer: lower" in (tmp_path / "a/recipe.yaml").read_text()

    done = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "b", "--normalizer", "english")
    assert "4 utterances (0.00 h) will be excluded from training" in done.err
    assert "Ü 3" in done.err.split("outside the alphabet of english")[1] and "--normalizer lower" in done.err


def test_texts_without_blanks_are_scored_in_characters(tmp_path: Path, asrkit: Run) -> None:
    for name in SHORT[:4]:
        put(name, tmp_path / "mine" / f"{name}.opus").with_suffix(".txt").write_text(
            "甚至出现交易几乎停滞的情况一二线城市"
        )
    write(tmp_path / "mine" / f"{SHORT[3]}.txt", ["但因为聚集了过多公共资源所以房价高"])
    assert asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "recipe").code == 0
    recipe = (tmp_path / "recipe/recipe.yaml").read_text()
    assert "units: [char]" in recipe and "normalizer: lower" in recipe


def test_what_counts_as_english() -> None:
    assert choose_normalizer(["it's 3 o'clock " * 80, "naïve as it may seem"]) == "english"
    assert choose_normalizer(["вот так"]) == choose_normalizer(["deux élèves"]) == "lower"


def test_the_rate_is_that_of_most_audio(tmp_path: Path, asrkit: Run) -> None:
    for index, path in enumerate(sorted(SENTENCES.glob("*.flac"))):
        wave, rate = soundfile.read(path)
        if index:
            wave, rate = wave[::2], 8000
        (tmp_path / "mine").mkdir(exist_ok=True)
        soundfile.write(
            tmp_path / "mine" / f"{index}.wav", np.stack([wave, wave], 1) if index == 1 else wave, rate
        )
        (tmp_path / "mine" / f"{index}.txt").write_text("words")
    done = asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "a")
    assert "8000 Hz 4, 16000 Hz 1; trained at 8000 Hz" in done.err and "mono 4, stereo 1" in done.err
    for flags, rate in (((), 8000), (("--sample-rate", 16000), 16000)):
        asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "a", "--force", *flags)
        recipe = tmp_path / "a/recipe.yaml"
        assert load_config(recipe, (), fragments(recipe)).features.sample_rate == rate


# ---- and on to training


def test_a_prepared_folder_is_trained(tmp_path: Path, asrkit: Run) -> None:
    lines = sorted(LINES, key=lambda line: (PROMPTS / f"{line.split()[0]}.opus").stat().st_size)
    names = [line.split("\t")[0] for line in lines][:30]
    for index, name in enumerate(names):
        path = put(name, tmp_path / "mine" / SPEAKERS[index % 5] / f"{name}.opus")
        path.with_suffix(".txt").write_text(TEXTS[name])
    assert asrkit("prepare", tmp_path / "mine", "-o", tmp_path / "recipe").code == 0
    done = asrkit("train", tmp_path / "recipe", "--exp", tmp_path / "exp", *QUICK, *PYRAMID)
    assert done.code == 0, done.err
    results = (tmp_path / "exp/recipe/default/RESULTS.md").read_text()
    assert "test" in results and (tmp_path / "exp/recipe/default/recipe.asrkit").exists()

    script = tmp_path / "recipe" / "run.sh"
    command = [str(script), "--dry_run", "--exp", str(tmp_path / "exp"), *QUICK, *PYRAMID]
    environment = os.environ | {"PYTHON": sys.executable}
    again = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert again.stderr.count("up to date") == 10
