"""Word boundaries of `asrkit align` beside those of pocketsphinx, on the same recordings.

    python benchmarks/alignment.py --model MODEL [--text-file TRN] [--limit N] [AUDIO…]

pocketsphinx aligns with the hidden Markov model of US English that comes with it: no ground truth, but a kind
of model that shares nothing with asrkit's. Recordings that it or asrkit cannot align are listed. It
needs one environment with asrkit and `pip install pocketsphinx==5.1.1`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from pocketsphinx import Decoder

from asrkit.cli.align import align_file
from asrkit.errors import AsrkitError
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.recognizer import Recognizer
from asrkit.recognition.scoring.formats import read_transcripts
from asrkit.recognition.text.normalize import english

RATE = 16000
RECORDINGS = Path(__file__).parent.parent / "tests" / "audio"

Times = list[tuple[str, float, float]]  # word, start and end in seconds


def pocketsphinx(decoder: Decoder, wave: np.ndarray, text: str) -> Times:
    """Words without silences; empty without an alignment."""
    samples = (wave * 32767).astype(np.int16).tobytes()
    try:
        decoder.set_align_text(text.lower())
    except RuntimeError:  # a word without a pronunciation
        return []
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    if decoder.hyp() is None:
        return []
    words = [(s.word, s.start_frame / 100, (s.end_frame + 1) / 100) for s in decoder.seg()]
    return [(word.split("(")[0].upper(), *times) for word, *times in words if word[0] not in "<["]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("audio", nargs="*", type=Path, default=sorted(RECORDINGS.glob("*.flac")))
    parser.add_argument("--model", required=True)
    parser.add_argument("--text-file", type=Path, default=RECORDINGS / "transcripts.txt")
    parser.add_argument("--limit", type=int, default=0, help="recordings compared at most")
    args = parser.parse_args()
    texts = {name: english(text) for name, text in read_transcripts(args.text_file).items()}
    recognizer = Recognizer.load(args.model, device="cpu", threads=1)
    decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")
    differences, tokens, seconds, spoken, spoken_theirs = [], 0, 0.0, 0.0, 0.0
    for path in sorted(path for path in args.audio if path.stem in texts):
        theirs = pocketsphinx(decoder, read_audio(str(path), RATE), texts[path.stem])
        try:
            computed = align_file(recognizer, str(path), texts[path.stem])
        except AsrkitError as error:
            print(f"{path.stem}: asrkit: {error.message}")
            continue
        if [word for word, *_ in theirs] != [word.text for word in computed.words]:
            print(f"{path.stem}: not aligned by pocketsphinx")
            continue
        differences.append(
            [(w.start - s, w.end - e) for w, (_, s, e) in zip(computed.words, theirs, strict=True)]
        )
        tokens += len(computed.tokens)
        seconds += computed.seconds
        spoken += sum(token.end - token.start for token in computed.tokens)
        spoken_theirs += sum(end - start for _, start, end in theirs)
        if len(differences) == args.limit:
            break
    actual = 1000 * np.concatenate(differences)
    print(f"\n{len(differences)} recordings, {len(actual)} words, {seconds:.0f} s; differences in ms\n")
    print("| boundary | median | 90th percentile | median of asrkit - pocketsphinx |\n|---|---:|---:|---:|")
    for name, column in (("word starts", actual[:, 0]), ("word ends", actual[:, 1])):
        middle, high = np.percentile(np.abs(column), [50, 90])
        print(f"| {name} | {middle:.0f} | {high:.0f} | {np.median(column):+.0f} |")
    silence, silence_theirs = 1 - spoken / seconds, 1 - spoken_theirs / seconds
    print(f"\nsilence: asrkit {silence:.1%}, pocketsphinx {silence_theirs:.1%} of the time")
    print(f"mean duration of a token: {1000 * spoken / tokens:.0f} ms")


if __name__ == "__main__":
    main()
