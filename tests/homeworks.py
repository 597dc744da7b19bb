"""Trees in the layouts of CMU 11-785's homeworks, made from recordings of recipes/prompts."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from conftest import PROMPTS

from asrkit.config import FeatureConfig
from asrkit.learning.features.frontend import Frontend
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.text.lexicon import Lexicon
from asrkit.recognition.text.normalize import normalize

COUNTS = {"train": 30, "dev": 3, "test": 3}
LATER = {"train": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}


class Prompts:
    """Features, words and phones of the shortest prompts whose words CMUdict has."""

    def __init__(self, dim: int) -> None:
        self.frontend = Frontend(FeatureConfig(kind="mel", mel_bins=dim))
        self.lexicon = Lexicon.cmudict(stress=False)
        lines = (PROMPTS.parent / "transcripts.tsv").read_text().splitlines()
        rows = [(id, normalize(text, "english")) for id, _, text in (line.split("\t")[:3] for line in lines)]
        known = [row for row in rows if all(map(self.lexicon.pronounce, row[1].split())) and row[1]]
        known.sort(key=lambda row: (PROMPTS / f"{row[0]}.opus").stat().st_size)
        self.rows = known[: sum(COUNTS.values())]

    def subset(self, name: str) -> list[tuple[str, np.ndarray, str, list[str]]]:
        """Id as of LibriSpeech, features [T, F], text and phones, silence between words included."""
        first = sum(
            count for other, count in COUNTS.items() if list(COUNTS).index(other) < list(COUNTS).index(name)
        )
        actual = []
        for number, (id, text) in enumerate(self.rows[first : first + COUNTS[name]]):
            wave = torch.from_numpy(read_audio(str(PROMPTS / f"{id}.opus"), 16000))[None]
            feats = self.frontend(wave, torch.tensor([wave.shape[1]]))[0][0].numpy()
            phones = ["[SIL]"]
            for word in text.split():
                phones += [*self.lexicon.pronounce(word)[0], "[SIL]"]
            actual.append((f"{19 + number % 2}-198-{number:04d}", feats, text, phones))
        return sorted(actual, key=lambda row: row[0])


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)


def per_frame(phones: list[str], frames: int) -> list[str]:
    """Each phone in an equal share of the frames."""
    return [phones[place * len(phones) // frames] for place in range(frames)]


def objects(items: list[np.ndarray]) -> np.ndarray:
    array = np.empty(len(items), object)
    for place, item in enumerate(items):
        array[place] = item
    return array


def hw1p2(root: Path, dim: int = 28) -> None:
    """A phone for each frame, wrapped (2022 and later)."""
    for name in COUNTS:
        for id, feats, _, phones in Prompts(dim).subset(name):
            save(root / LATER[name] / "mfcc" / f"{id}.npy", feats)
            if name != "test":
                labels = np.array(["[SOS]", *per_frame(phones, len(feats)), "[EOS]"])
                save(root / LATER[name] / "transcript" / f"{id}.npy", labels)


def hw3p2(root: Path, dim: int = 27) -> None:
    """Phones in their order (2022 and later), below a folder of the term's name, with a sample submission."""
    data = root / "11-785-s24-hw3p2"
    for name in COUNTS:
        for id, feats, _, phones in Prompts(dim).subset(name):
            save(data / LATER[name] / "mfcc" / f"{id}.npy", feats)
            if name != "test":
                save(data / LATER[name] / "transcript" / f"{id}.npy", np.array(["[SOS]", *phones, "[EOS]"]))
    with (data / LATER["test"] / "random_submission.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "predictions"], [0, "-hElO-"]])


def hw3p2_2021(root: Path) -> None:
    """One file of all features, one of all phones as numbers (autumn 2021)."""
    from asrkit.learning.data.corpora.cmu11785_submission import PHONES_2021

    for name in COUNTS:
        rows = Prompts(40).subset(name)
        save(root / f"{name}.npy", objects([feats for _, feats, _, _ in rows]))
        if name != "test":
            numbers = [
                [PHONES_2021.index({"[SIL]": "SIL", "HH": "H"}.get(phone, phone)) for phone in phones]
                for *_, phones in rows
            ]
            save(root / f"{name}_labels.npy", objects([np.array(row) for row in numbers]))


def hw4p2_2020(root: Path) -> None:
    """Arrays of words as byte strings (2018 to 2020)."""
    for name in COUNTS:
        rows = Prompts(40).subset(name)
        save(root / f"{name}.npy", objects([feats for _, feats, _, _ in rows]))
        if name != "test":
            words = [np.array([word.encode() for word in text.split()]) for _, _, text, _ in rows]
            save(root / f"{name}_transcripts.npy", objects(words))


def hw4p2_2022(root: Path) -> None:
    """Characters, folders of short names, twice nested; the order of the test set in a file of its own."""
    data = root / "hw4p2_student_data" / "hw4p2_student_data"
    for name in COUNTS:
        rows = Prompts(15).subset(name)
        for id, feats, text, _ in rows:
            save(data / name / "mfcc" / f"{id}.npy", feats)
            if name != "test":
                save(data / name / "transcript" / f"{id}.npy", np.array(["<sos>", *text, "<eos>"]))
        if name == "test":
            lines = [f"{id}.npy\n" for id, *_ in reversed(rows)]
            (data / "test" / "test_order.csv").write_text("".join(lines))


def hw4p2_2025(root: Path) -> None:
    """Log-mel features of 80 numbers as [F, T], texts paired by their order, beside a text for an LM."""
    data = root / "hw4_data_subset"
    for name in COUNTS:
        for number, (id, feats, text, _) in enumerate(Prompts(80).subset(name)):
            save(data / "hw4p2_data" / LATER[name] / "fbank" / f"{id}.npy", feats.T)
            if name != "test":
                save(data / "hw4p2_data" / LATER[name] / "text" / f"text-{number:04d}.npy", np.array([*text]))
            save(data / "hw4p1_data" / {"dev": "valid"}.get(name, name) / f"{id}.npy", np.array([*text]))


def toy(root: Path) -> None:
    """Features [N, T, F] and phones [N, U], both filled up."""
    for name in ("train", "dev"):
        rows = Prompts(26).subset(name)
        frames, length = max(len(f) for _, f, _, _ in rows), max(len(p) for *_, p in rows) + 2
        feats = np.zeros((len(rows), frames, 26), np.float32)
        phones = np.full((len(rows), length), "[PAD]", "<U5")
        for row, (_, own, _, spoken) in enumerate(rows):
            feats[row, : len(own)] = own
            phones[row, : len(spoken) + 2] = ["[SOS]", *spoken, "[EOS]"]
        save(root / f"f0176_mfccs_{name}.npy", feats)
        save(root / f"f0176_hw3p2_{name}.npy", phones)
