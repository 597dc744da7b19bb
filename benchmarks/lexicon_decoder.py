"""CTC decoding with a lexicon and a word trigram, beside flashlight-text: speed, and how good the result is.

    python benchmarks/lexicon_decoder.py [--beam 100] [--utterances 8]

Posteriors are made up: the characters of real words (the transcripts of recipes/prompts) at random frames,
under noise of three strengths. Each decoder's sentence is scored by the reference: its exact CTC log
probability plus the weighted one of the language model. Higher is better, and the highest is what all are
looking for. One thread; flashlight reads the same model through its KenLM.

flashlight wants a separator after the last word too: it is given one more frame that holds nothing else.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asrkit.recognition.decoding.ctc_lexicon import CtcLexiconSearch
from asrkit.recognition.ngram.model import NgramModel, estimate, write_arpa
from asrkit.recognition.text.normalize import normalize
from asrkit.recognition.text.spellings import spelled
from asrkit.recognition.text.tokenizer import CharTokenizer
from asrkit.reference.ctc import ctc_log_probability

TEXTS = Path(__file__).parent.parent / "recipes/prompts/data/transcripts.tsv"
FRAMES, LM_WEIGHT, FRAME_SECONDS = 300, 0.7, 0.04
NOISES = {"clear": (6.0, 1.0, 0.05), "noisy": (6.0, 1.5, 0.15), "very noisy": (5.0, 2.0, 0.2)}

Decode = Callable[[np.ndarray], list[str]]


def sentences() -> list[str]:
    lines = TEXTS.read_text(encoding="utf-8").splitlines()
    texts = (normalize(line.split("\t")[-1], "english") for line in lines)
    return [text for text in texts if set(text) <= set(" ABCDEFGHIJKLMNOPQRSTUVWXYZ'") and text]


def simulate(seed: int, texts: list[str], tokenizer: CharTokenizer, level: str) -> np.ndarray:
    """Log posteriors f32[T, V] in which about a third of the frames hold a character."""
    generator = np.random.default_rng(seed)
    sharpness, noise, missing = NOISES[level]
    words = " ".join(generator.permutation(texts)).split()
    text = ""
    while len(text) < 0.35 * FRAMES:
        text = f"{text} {words.pop()}".strip()
    tokens = tokenizer.encode(text)
    path = np.zeros(FRAMES, np.int64)
    path[np.sort(generator.choice(FRAMES, len(tokens), replace=False))] = tokens
    logits = generator.normal(0, noise, (FRAMES, len(tokenizer.tokens)))
    logits[np.arange(FRAMES), path] += sharpness * (generator.random(FRAMES) > missing)
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def actual(
    tokenizer: CharTokenizer, lexicon: dict[str, list[list[int]]], lm: NgramModel, beam: int
) -> Decode:
    search = CtcLexiconSearch(tokenizer.tokens, lexicon, lm, beam_size=beam, lm_weight=LM_WEIGHT)

    def decode(log_probs: np.ndarray) -> list[str]:
        best = search(log_probs[None], np.array([len(log_probs)]), FRAME_SECONDS)[0][0]
        return [word for word, _, _ in best.words or ()]

    return decode


def flashlight(
    tokenizer: CharTokenizer, lexicon: dict[str, list[list[int]]], arpa: Path, beam: int, log_add: bool
) -> Decode:
    from flashlight.lib.text import decoder
    from flashlight.lib.text.decoder.kenlm import KenLM
    from flashlight.lib.text.dictionary import Dictionary

    names, space = Dictionary(), tokenizer.ids["<space>"]
    for word in lexicon:
        names.add_entry(word)
    lm, trie = KenLM(str(arpa), names), decoder.Trie(len(tokenizer.tokens), space)
    state = lm.start(False)
    for word, (spelling,) in lexicon.items():
        index = names.get_index(word)
        trie.insert([*spelling, space], index, lm.score(state, index)[1])
    trie.smear(decoder.SmearingMode.MAX)
    options = decoder.LexiconDecoderOptions(
        beam_size=beam,
        beam_size_token=len(tokenizer.tokens),
        beam_threshold=50.0,
        lm_weight=LM_WEIGHT * math.log(10),  # KenLM's logarithms are to base 10
        word_score=0.0,
        unk_score=-math.inf,
        sil_score=0.0,
        log_add=log_add,
        criterion_type=decoder.CriterionType.CTC,
    )
    search = decoder.LexiconDecoder(options, trie, lm, space, 0, -1, [], False)

    def decode(log_probs: np.ndarray) -> list[str]:
        end = np.full((1, log_probs.shape[1]), -100.0, np.float32)
        end[0, space] = 0.0
        frames = np.concatenate([log_probs, end])
        best = search.decode(frames.ctypes.data, *frames.shape)[0]
        return [names.get_entry(index) for index in best.words if index >= 0]

    return decode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--beam", type=int, default=100)
    parser.add_argument("--utterances", type=int, default=8)
    args = parser.parse_args()
    texts = sentences()
    tokenizer = CharTokenizer("char", ["<space>", *sorted(set("".join(texts)) - {" "})])
    lm = estimate([text.split() for text in texts], 3)
    lexicon = spelled(lm.vocabulary, tokenizer).lexicon()
    with tempfile.TemporaryDirectory() as folder:
        arpa = Path(folder) / "lm.arpa"
        write_arpa(lm, arpa)
        decoders = {
            "asrkit": actual(tokenizer, lexicon, lm, args.beam),
            "flashlight-text, best path": flashlight(tokenizer, lexicon, arpa, args.beam, False),
            "flashlight-text, log-add": flashlight(tokenizer, lexicon, arpa, args.beam, True),
        }
    print("| posteriors | decoder | ms an utterance | mean exact score |\n|---|---|---:|---:|")
    for level in NOISES:
        posteriors = [simulate(seed, texts, tokenizer, level) for seed in range(args.utterances)]
        for name, decode in decoders.items():
            decode(posteriors[0])
            seconds, scores = [], []
            for log_probs in posteriors:
                start = time.process_time()
                words = decode(log_probs)
                seconds.append(time.process_time() - start)
                ctc = ctc_log_probability(log_probs.astype(float), tokenizer.encode(" ".join(words)))
                scores.append(ctc + LM_WEIGHT * lm.log_prob(words))
            print(f"| {level} | {name} | {1000 * statistics.mean(seconds):.1f} | {np.mean(scores):.2f} |")


if __name__ == "__main__":
    main()
