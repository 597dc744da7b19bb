"""CTC prefix beam search: milliseconds per utterance of asrkit and three peers, on one thread.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install -r benchmarks/requirements.txt
    PYTHONPATH=. /tmp/peers/bin/python benchmarks/ctc_decoders.py [--posteriors model.npz]

Every decoder gets the same log posteriors (T = 500), beam and pruning, and no language model. With pruning,
tokens below a log posterior are left out of a frame: -5 (pyctcdecode's default) at V = 32, -7 at V = 1000
(fast-ctc-decode takes no threshold above 1 / V). flashlight-text has no such threshold; it gets the top k
tokens of each frame, k being the mean number above the threshold. Pruning of hypotheses by their distance to
the best is off everywhere. Times and confidence of each token, which asrkit returns, are in its figures.

Peaky posteriors imitate a trained model: blank at over 95 % in most frames, and in between tokens, some of
them close to a rival. Flat ones are the softmax of normal noise. Decoders take turns; figures are medians. A
decoder that needs over --limit seconds is timed once, and not at the larger beam; fast-ctc-decode is left out
where it would take many gigabytes (both marked -).
"""

from __future__ import annotations

import argparse
import importlib
import logging
import math
import statistics
import time
from collections.abc import Callable

import numpy as np

from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search

FRAMES = 500
Decode = Callable[[], tuple[int, ...]]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(axis=1, keepdims=True)
    return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def peaky(rng: np.random.Generator, vocab: int) -> np.ndarray:
    margin = math.log(vocab) + 6.0
    logits = rng.normal(0.0, 1.5, (FRAMES, vocab))
    logits[:, 0] += margin
    frame = 2
    while frame < FRAMES:
        logits[frame, 0] -= margin * rng.uniform(0.3, 1.3)
        logits[frame, rng.integers(1, vocab)] += margin
        if rng.random() < 0.3:
            logits[frame, rng.integers(1, vocab)] += margin * rng.uniform(0.7, 1.0)
        frame += int(rng.integers(3, 10))
    return log_softmax(logits)


def from_model(path: str) -> np.ndarray:
    """The log posteriors float32[T, V] of all arrays in an .npz, one after the other, up to T = 500."""
    with np.load(path) as file:
        frames = np.concatenate([file[name] for name in file.files])
    return np.resize(frames, (FRAMES, frames.shape[1])).astype(np.float32)


def letters(vocab: int) -> str:
    return "".join(chr(0x4E00 + token) for token in range(vocab))


def tokens_of(text: str) -> tuple[int, ...]:
    return tuple(ord(letter) - 0x4E00 for letter in text)


def asrkit_beam(log_probs: np.ndarray, beam: int, threshold: float) -> Decode:
    batch, lens = log_probs[None], np.array([len(log_probs)])
    ctc_prefix_beam_search(batch[:, :1], np.array([1]), frame_seconds=0.04)  # compiles

    def decode() -> tuple[int, ...]:
        return ctc_prefix_beam_search(
            batch, lens, frame_seconds=0.04, beam_size=beam, token_min_logp=threshold
        )[0][0].tokens

    return decode


def flashlight_text(log_probs: np.ndarray, beam: int, threshold: float) -> Decode:
    from flashlight.lib.text import decoder as peer

    frames, vocab = log_probs.shape
    top = math.ceil((log_probs >= threshold).sum(axis=1).mean())
    options = peer.LexiconFreeDecoderOptions(
        beam_size=beam,
        beam_size_token=top,
        beam_threshold=1e9,
        lm_weight=0.0,
        sil_score=0.0,
        log_add=True,
        criterion_type=peer.CriterionType.CTC,
    )
    decoder = peer.LexiconFreeDecoder(options, peer.ZeroLM(), -1, 0, [])

    def decode() -> tuple[int, ...]:
        path = np.array(decoder.decode(log_probs.ctypes.data, frames, vocab)[0].tokens[1:-1])
        return tuple(path[(np.diff(path, prepend=0) != 0) & (path != 0)].tolist())

    return decode


def pyctcdecode(log_probs: np.ndarray, beam: int, threshold: float) -> Decode:
    from pyctcdecode import build_ctcdecoder

    decoder = build_ctcdecoder(["", *letters(log_probs.shape[1])[1:]])

    def decode() -> tuple[int, ...]:
        beams = decoder.decode_beams(
            log_probs, beam_width=beam, beam_prune_logp=-1e9, token_min_logp=threshold
        )
        return tokens_of(beams[0][0])

    return decode


def fast_ctc_decode(log_probs: np.ndarray, beam: int, threshold: float) -> Decode | None:
    from fast_ctc_decode import beam_search

    if beam * (log_probs >= threshold).sum() * log_probs.shape[1] > 1e9:
        return None  # it keeps V numbers for each prefix it ever looked at
    posteriors, alphabet = np.exp(log_probs), letters(log_probs.shape[1])

    def decode() -> tuple[int, ...]:
        text, _ = beam_search(posteriors, alphabet, beam_size=beam, beam_cut_threshold=math.exp(threshold))
        return tokens_of(text)

    return decode


PEERS = {
    "flashlight.lib.text.decoder": flashlight_text,
    "pyctcdecode": pyctcdecode,
    "fast_ctc_decode": fast_ctc_decode,
}


def medians(decoders: dict[str, Decode], repeats: int, limit: float) -> dict[str, float]:
    """Milliseconds each decoder takes; its first turn counts only where that is over `limit` seconds."""
    times: dict[str, list[float]] = {name: [] for name in decoders}
    for turn in range(repeats + 1):
        for name, decode in decoders.items():
            if turn == 0 or times[name][0] <= 1e3 * limit:
                start = time.perf_counter()
                decode()
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values[1:] or values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--posteriors", help=".npz of log posteriors float32[T, V] of a real model")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--limit", type=float, default=5.0, help="seconds (default: %(default)s)")
    arguments = parser.parse_args()
    logging.getLogger("pyctcdecode").setLevel(logging.ERROR)

    makers: dict[str, Callable[[np.ndarray, int, float], Decode | None]] = {"asrkit": asrkit_beam}
    for module, maker in PEERS.items():
        try:
            importlib.import_module(module)
            makers[maker.__name__] = maker
        except ImportError as error:
            print(f"without {maker.__name__}: {error}")

    rng = np.random.default_rng(0)
    inputs = {}
    if arguments.posteriors:
        model = from_model(arguments.posteriors)
        inputs[f"model, V={model.shape[1]}"] = model
    for vocab in (32, 1000):
        inputs[f"peaky, V={vocab}"] = peaky(rng, vocab)
        inputs[f"flat, V={vocab}"] = log_softmax(rng.normal(size=(FRAMES, vocab)))

    print("| posteriors | pruning | beam |", " | ".join(makers), "| fastest peer / asrkit |")
    print("|" + "---|" * (len(makers) + 4))
    for name, log_probs in inputs.items():
        for threshold in (-math.inf, -5.0 if log_probs.shape[1] < 100 else -7.0):
            slow: set[str] = set()
            for beam in (10, 100):
                made = {peer: maker(log_probs, beam, threshold) for peer, maker in makers.items()}
                decoders = {peer: decode for peer, decode in made.items() if decode and peer not in slow}
                times = medians(decoders, arguments.repeats, arguments.limit)
                slow |= {peer for peer, value in times.items() if value > 1e3 * arguments.limit}
                peers = [value for peer, value in times.items() if peer != "asrkit"]
                ratio = f"{min(peers) / times['asrkit']:.1f}" if peers else "-"
                cells = [f"{times[peer]:.2f}" if peer in times else "-" for peer in makers]
                pruning = "none" if threshold == -math.inf else f"{threshold:g}"
                print(f"| {name} | {pruning} | {beam} |", " | ".join(cells), f"| {ratio} |", flush=True)


if __name__ == "__main__":
    main()
