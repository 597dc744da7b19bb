"""What the recogniser that comes with asrkit is held to, measured on a folder in LibriSpeech's layout.

    python benchmarks/packaged_model.py FOLDER [--model MODEL] [--limit N]

Word errors and real-time factor of one core; the same recordings joined into one for each chapter and decoded
in pieces of 30 s and whole; the words' times beside those that `asrkit align` gives the reference, of words
that were recognised; seconds from the start of the command to the transcript of a recording of 10 s, and
the peak memory of `asrkit decode` on a recording of an hour.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

from asrkit.cli.align import align_file
from asrkit.errors import AsrkitError
from asrkit.learning.data.corpora.librispeech import entries
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.pretrained import packaged_model
from asrkit.recognition.recognizer import Recognizer
from asrkit.recognition.scoring.align import align
from asrkit.recognition.scoring.score import score_texts
from asrkit.recognition.transcript import Transcript, Word

RATE = 16000
WHOLE = 1e5  # seconds of a piece, longer than any recording
# At its start a child counts its parent's memory as its own: let the parent be small.
METER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def pairs(actual: Transcript, truth: list[Word]) -> list[tuple[Word, Word]]:
    """Each word that was recognised, and the same word of the aligned reference."""
    computed, theirs, both = iter(actual.words), iter(truth), []
    for edit in align([word.text for word in truth], [word.text for word in actual.words]):
        reference = next(theirs) if edit.code != "I" else None
        hypothesis = next(computed) if edit.code != "D" else None
        if reference and hypothesis and reference.text == hypothesis.text:
            both.append((hypothesis, reference))
    return both


def rate(texts: dict[str, str], actual: dict[str, Transcript]) -> str:
    score = score_texts(texts, {name: transcript.text for name, transcript in actual.items()}, bootstrap=1000)
    assert score.interval
    low, high = score.interval
    return f"{100 * score.total.rate:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def chapters(
    texts: dict[str, str], waves: dict[str, np.ndarray]
) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """The utterances of each chapter as one recording."""
    members = defaultdict(list)
    for name in waves:
        members[name.rpartition("-")[0]].append(name)
    return (
        {chapter: " ".join(texts[name] for name in names) for chapter, names in members.items()},
        {chapter: np.concatenate([waves[name] for name in names]) for chapter, names in members.items()},
    )


def command(model: str, wave: np.ndarray) -> tuple[float, float]:
    """Seconds that `asrkit decode` takes for samples, and its peak memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.flac"
        soundfile.write(path, wave, RATE)
        decode = [sys.executable, "-m", "asrkit", "decode", "--model", model, str(path)]
        start = time.perf_counter()
        peak = subprocess.run(
            [sys.executable, "-c", METER, *decode], check=True, stdout=subprocess.PIPE
        ).stdout
        return time.perf_counter() - start, int(peak) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="")
    parser.add_argument("--limit", type=int, default=0, help="utterances used at most")
    args = parser.parse_args()
    model = args.model or str(packaged_model())
    listed = [*entries(args.folder.parent, args.folder.name, [])][: args.limit or None]
    paths = {entry.id: str(entry.audio) for entry in listed}
    texts = {entry.id: entry.text for entry in listed}
    waves = {name: read_audio(path, RATE) for name, path in paths.items()}
    seconds = sum(map(len, waves.values())) / RATE
    speech = np.concatenate([*waves.values()])
    took, _ = command(model, speech[: 10 * RATE])
    print(f"asrkit decode of 10 s: {took:.1f} s")
    took, memory = command(model, np.resize(speech, 3600 * RATE))
    print(f"asrkit decode of an hour: {took:.0f} s, {memory:.0f} MiB")

    recognizer = Recognizer.load(model, device="cpu", threads=1)
    recognizer.transcribe((next(iter(waves.values())), RATE))

    start = time.process_time()
    actual = {name: recognizer.transcribe((wave, RATE)) for name, wave in waves.items()}
    factor = (time.process_time() - start) / seconds
    print(f"{len(waves)} utterances, {seconds / 3600:.2f} h: word errors {rate(texts, actual)}")
    print(f"real-time factor of one core: {factor:.3f}")

    joined, long_waves = chapters(texts, waves)
    for name, length in (("in pieces of 30 s", 30.0), ("whole", WHOLE)):
        recognizer.piece_seconds = length
        read = {chapter: recognizer.transcribe((wave, RATE)) for chapter, wave in long_waves.items()}
        print(f"{len(joined)} chapters {name}: word errors {rate(joined, read)}")

    differences = []
    for name, path in paths.items():
        try:
            truth = align_file(recognizer, path, texts[name]).words
        except AsrkitError as error:
            print(f"{name}: {error.message}")
            continue
        differences += [(o.start - t.start, o.end - t.end) for o, t in pairs(actual[name], truth)]
    apart = 1000 * np.abs(differences)
    within = (apart.max(axis=1) <= 100).mean()
    print(
        f"{len(apart)} words recognised: {100 * within:.1f} % start and end within 100 ms of the aligner's; "
        f"starts apart {np.percentile(apart[:, 0], 90):.0f} ms, ends {np.percentile(apart[:, 1], 90):.0f} ms "
        "(90th percentile)"
    )


if __name__ == "__main__":
    main()
