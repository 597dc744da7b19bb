"""How well pronunciations of unseen words are predicted: CMUdict, 90 % to learn from, 10 % to be tested on.

    python benchmarks/g2p.py [--order 5] [--beam 20] [--seed 1]

Words are shuffled by the seed. Stress is left out. A prediction is compared with the nearest of the word's
pronunciations, whose phones are counted. Seconds are of processor time; training includes compiling its loops
unless they are kept from an earlier run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from rapidfuzz.distance import Levenshtein

from asrkit.recognition.g2p.model import BEAM, ORDER, G2p
from asrkit.recognition.text.lexicon import Lexicon


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--order", type=int, default=ORDER)
    parser.add_argument("--beam", type=int, default=BEAM)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    known = Lexicon.cmudict(stress=False).words
    words = sorted(known)
    shuffled = np.random.default_rng(args.seed).permutation(len(words))
    unseen = [words[index] for index in shuffled[: len(words) // 10]]
    seen = Lexicon({words[index]: known[words[index]] for index in sorted(shuffled[len(words) // 10 :])})

    start = time.process_time()
    model = G2p.train(seen, args.order)
    aligned = time.process_time()
    model.pronounce(unseen[0], beam=args.beam)
    ready = time.process_time()
    errors = phones = wrong = correct_in_five = 0
    for word in unseen:
        ways = [way for way, _ in model.pronounce(word, 5, args.beam)]
        distance, length = min(
            (Levenshtein.distance(ways[0] if ways else (), way), len(way)) for way in known[word]
        )
        errors, phones, wrong = errors + distance, phones + length, wrong + (distance > 0)
        correct_in_five += not {*ways}.isdisjoint(known[word])
    done = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "g2p.safetensors")
        size = (Path(folder) / "g2p.safetensors").stat().st_size
    rates = [100 * errors / phones, 100 * wrong / len(unseen), 100 * (1 - correct_in_five / len(unseen))]
    print("| order | phone errors | words wrong | not among five | training | n-grams | a word | model |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {args.order} | {' | '.join(f'{rate:.2f} %' for rate in rates)} | {aligned - start:.1f} s "
        f"| {ready - aligned:.1f} s | {1000 * (done - ready) / len(unseen):.2f} ms | {size / 1e6:.1f} MB |"
    )


if __name__ == "__main__":
    main()
