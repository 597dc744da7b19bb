"""The interface of ctcdecode against the reference, enumeration of label strings, and a user's script."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PROMPTS, SENTENCES
from reference.posteriors import log_posteriors

from asrkit.ctcdecode import CTCBeamDecoder, DecoderState, OnlineCTCBeamDecoder
from asrkit.errors import AsrkitError, DataError, UsageError
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.ngram.model import read_ngram, write_ngram
from asrkit.recognition.recognizer import Recognizer
from asrkit.reference.brute_force import best_alignment, string_log_probabilities
from asrkit.reference.ctc_decode import Prefixes, add, prefix_beam_search
from asrkit.verify.subject import posteriors

Tokens = tuple[int, ...]
Found = list[tuple[Tokens, float, list[int]]]
WIDE = 500
WEIGHTS = [(0.0, 0.0), (0.5, 1.0), (1.0, 0.0), (2.0, -0.5)]


class Ngrams:
    """An n-gram model by the book: a table, and the back-off recursion written as it is defined."""

    def __init__(self, table: dict[str, tuple[float, float]]) -> None:
        self.table = {tuple(gram.split()): values for gram, values in table.items()}
        self.order = max(map(len, self.table))
        self.words = {gram[0] for gram in self.table if len(gram) == 1} - {"<s>", "</s>", "<unk>"}

    def write(self, path: Path) -> Path:
        lines = ["\\data\\"]
        orders = [[g for g in self.table if len(g) == n] for n in range(1, self.order + 1)]
        lines += [f"ngram {n}={len(grams)}" for n, grams in enumerate(orders, 1)]
        for n, grams in enumerate(orders, 1):
            lines.append(f"\n\\{n}-grams:")
            lines += [f"{self.table[g][0]}\t{' '.join(g)}\t{self.table[g][1]}" for g in grams]
        path.write_text("\n".join([*lines, "\n\\end\\\n"]))
        return path

    def log10(self, gram: tuple[str, ...]) -> float:
        if gram in self.table:
            return self.table[gram][0]
        return self.table.get(gram[:-1], (0.0, 0.0))[1] + self.log10(gram[1:])

    def log_prob(self, words: list[str]) -> float:
        """Natural, of the last word after the others; -1000 where the n-gram holds an unknown one."""
        gram = ["<s>", *words][-self.order :]
        unknown = any(word not in self.words and word != "<s>" for word in words[-self.order :])
        return -1000.0 if unknown else self.log10(tuple(gram)) * math.log(10)


SPECIAL = {"</s>": (-1.0, 0.0), "<s>": (-99.0, -0.4), "<unk>": (-2.0, 0.0)}
WORDS = Ngrams(
    SPECIAL
    | {"a": (-1.2, -0.7), "ab": (-0.7, -0.3), "b": (-1.6, -0.1), "ba": (-0.9, -0.2), "oak": (-0.3, -0.2)}
    | {"<s> ab": (-0.5, -0.2), "<s> b": (-1.1, 0.0), "ab a": (-0.3, -0.1), "a ba": (-0.6, 0.0)}
    | {"<s> ab a": (-0.2, 0.0), "ab a ba": (-0.4, 0.0)}
)
CHARACTERS = Ngrams(
    SPECIAL
    | {"a": (-0.5, -0.7), "b": (-0.7, -0.3), "c": (-0.6, -0.1)}
    | {"<s> b": (-0.5, -0.2), "<s> c": (-1.1, 0.0), "b a": (-0.3, -0.1), "a c": (-0.6, 0.0)}
    | {"<s> b a": (-0.2, 0.0)}
)
CASES = [(WORDS, "_ ab"), (CHARACTERS, "_abc"), (CHARACTERS, "_ ab")]  # the last with an unknown label


def may_begin(lm: Ngrams, labels: str, tokens: Tokens) -> bool:
    """Whether these labels are words of the model and a beginning of one; of characters, all are."""
    if lm is CHARACTERS:
        return True
    *words, last = "".join(labels[token] for token in tokens).split(" ")
    return all(word in lm.words for word in words) and any(word.startswith(last) for word in lm.words)


def gain(lm: Ngrams, labels: str, tokens: Tokens, alpha: float, beta: float, *, ended: bool = True) -> float:
    """``alpha * log p + beta`` of each character or word, of the last word only if `ended`."""
    text = "".join(labels[token] for token in tokens)
    words = list(text) if lm is CHARACTERS else text.split(" ")
    if lm is WORDS and not (ended and words[-1]):
        words.pop()
    return sum(alpha * lm.log_prob(words[: n + 1]) + beta for n in range(len(words)))


def search(log_probs: np.ndarray, beam_size: int, allowed: Callable[[Tokens], bool], extra: Any) -> Prefixes:
    """Prefix beam search with something added to the score of each prefix, written with dictionaries."""
    beam: Prefixes = {(): (0.0, -np.inf)}
    for frame in log_probs:
        grown: Prefixes = {}
        for prefix, (ends_in_blank, ends_in_token) in beam.items():
            total = np.logaddexp(ends_in_blank, ends_in_token)
            same = ends_in_token + frame[prefix[-1]] if prefix else -np.inf
            add(grown, prefix, total + frame[0], same)
            for token in range(1, len(frame)):
                if allowed((*prefix, token)):
                    before = ends_in_blank if prefix and prefix[-1] == token else total
                    add(grown, (*prefix, token), -np.inf, before + frame[token])
        possible = [prefix for prefix in grown if max(grown[prefix]) > -np.inf]
        kept = sorted(possible, key=lambda prefix: -np.logaddexp(*grown[prefix]) - extra(prefix))
        beam = {prefix: grown[prefix] for prefix in kept[:beam_size]}
    return beam


def hypotheses(results: tuple[Any, Any, Any, Any], b: int = 0) -> Found:
    """What was found for an utterance; checks that nothing else was."""
    tokens, scores, frames, lengths = (np.asarray(part) for part in results)
    assert tokens.shape == frames.shape and scores.shape == lengths.shape
    count = int(np.isfinite(scores[b]).sum())
    assert (
        not tokens[b, count:].any() and not lengths[b, count:].any() and (scores[b, count:] == np.inf).all()
    )
    return [
        (tuple(tokens[b, k, :n].tolist()), float(scores[b, k]), frames[b, k, :n].tolist())
        for k, n in enumerate(lengths[b, :count].tolist())
    ]


def names(count: int) -> list[str]:
    return [chr(ord("A") + index) for index in range(count)]


def assert_is_the_reference(actual: Found, log_probs: np.ndarray, beam: int, tolerance: float) -> None:
    expected = prefix_beam_search(log_probs.astype(np.float64), beam, beam)
    assert [tokens for tokens, _, _ in actual] == [h.tokens for h in expected]
    np.testing.assert_allclose(
        [-score for _, score, _ in actual], [h.score for h in expected], atol=tolerance
    )


@pytest.mark.parametrize("kind", ["flat", "peaky", "with zeros"])
def test_beams_are_those_of_the_reference(kind: str) -> None:
    rng = np.random.default_rng(1)
    longest = 0
    for case in range(80):
        frames, vocab, beam = (int(n) for n in rng.integers((0, 2, 1), (14, 8, 12)))
        log_probs = log_posteriors(rng, frames, vocab, kind).astype(np.float32)
        logs = kind == "with zeros" or case % 2 == 0
        decoder = CTCBeamDecoder(names(vocab), beam_width=beam, log_probs_input=logs)
        actual = hypotheses(decoder.decode((log_probs if logs else np.exp(log_probs))[None]))
        assert_is_the_reference(actual, log_probs, beam, 1e-5)
        longest = max(longest, len(actual[0][0]))
    assert longest > 6


def test_beams_of_real_speech_are_those_of_the_reference(experiment: Path) -> None:
    """On a model trained for seconds; where it says nothing but blank, blank is made rarer."""
    recognizer = Recognizer.load(experiment, device="cpu", threads=1)
    paths = [*sorted(PROMPTS.glob("*.opus"))[:6], *sorted(SENTENCES.glob("*.flac"))]
    batch = [posteriors(recognizer, [read_audio(path)])[0] for path in paths]
    for log_probs in batch[::2]:
        log_probs[:, 0] -= np.log(50)
    longest, vocab = max(map(len, batch)), batch[0].shape[1]
    padded = torch.full((len(batch), longest, vocab), torch.nan)
    for b, log_probs in enumerate(batch):
        padded[b, : len(log_probs)] = torch.from_numpy(log_probs)
    decoder = CTCBeamDecoder(names(vocab), cutoff_top_n=vocab, beam_width=5, log_probs_input=True)
    results = decoder.decode(padded, torch.tensor([len(log_probs) for log_probs in batch]))
    texts = set()
    for b, log_probs in enumerate(batch):
        assert_is_the_reference(hypotheses(results, b), log_probs, 5, 1e-4)
        texts |= {tokens for tokens, _, _ in hypotheses(results, b)}
    assert len(batch) == 11 and max(map(len, texts)) > 10


@pytest.mark.parametrize(("alpha", "beta"), WEIGHTS)
@pytest.mark.parametrize(("lm", "labels"), CASES, ids=["words", "characters", "unknown label"])
def test_a_wide_beam_with_a_language_model_is_exact(
    tmp_path: Path, lm: Ngrams, labels: str, alpha: float, beta: float
) -> None:
    """Every label string that the frames have room for, each with its exact score."""
    path = lm.write(tmp_path / "lm.arpa")
    rng = np.random.default_rng(2)
    decoder = CTCBeamDecoder(labels, path, alpha, beta, beam_width=WIDE, log_probs_input=True)
    for frames in (0, 1, 3, 6):
        log_probs = log_posteriors(rng, frames, 4, "flat").astype(np.float32)
        strings = string_log_probabilities(log_probs.astype(np.float64))
        expected = {s: -p for s, p in strings.items() if may_begin(lm, labels, s)}
        actual = hypotheses(decoder.decode(log_probs[None]))
        assert {tokens: score for tokens, score, _ in actual} == pytest.approx(expected, abs=1e-5)
        totals = [gain(lm, labels, tokens, alpha, beta) - score for tokens, score, _ in actual]
        assert all(one > other - 1e-4 for one, other in pairwise(totals))
    assert len(actual) > 20 and (lm is CHARACTERS) == (len(actual) == len(strings))


@pytest.mark.parametrize(("alpha", "beta"), WEIGHTS)
@pytest.mark.parametrize(("lm", "labels"), CASES, ids=["words", "characters", "unknown label"])
def test_a_narrow_beam_with_a_language_model_keeps_what_its_scores_say(
    tmp_path: Path, lm: Ngrams, labels: str, alpha: float, beta: float
) -> None:
    path = lm.write(tmp_path / "lm.arpa")
    rng = np.random.default_rng(3)
    for beam in (1, 2, 5, 20):
        log_probs = log_posteriors(rng, 20, 4, "flat").astype(np.float32)
        decoder = CTCBeamDecoder(labels, path, alpha, beta, beam_width=beam, log_probs_input=True)
        kept = search(
            log_probs.astype(np.float64),
            beam,
            lambda tokens: may_begin(lm, labels, tokens),
            lambda tokens: gain(lm, labels, tokens, alpha, beta, ended=False),
        )
        actual = hypotheses(decoder.decode(log_probs[None]))
        ranked = sorted(kept, key=lambda t: -np.logaddexp(*kept[t]) - gain(lm, labels, t, alpha, beta))
        assert [tokens for tokens, _, _ in actual] == ranked
        scores = [-np.logaddexp(*kept[tokens]) for tokens in ranked]
        assert [score for _, score, _ in actual] == pytest.approx(scores, abs=1e-4)


def test_weights_change_the_result_and_can_be_set_anew(tmp_path: Path) -> None:
    path = str(WORDS.write(tmp_path / "lm.arpa"))
    log_probs = log_posteriors(np.random.default_rng(4), 20, 4, "flat").astype(np.float32)[None]
    decoder = CTCBeamDecoder("_ ab", path, beam_width=20, log_probs_input=True)
    texts = set()
    for alpha, beta in [*WEIGHTS, WEIGHTS[0]]:
        decoder.reset_params(alpha, beta)
        actual = hypotheses(decoder.decode(log_probs))
        fresh = CTCBeamDecoder("_ ab", path, alpha, beta, beam_width=20, log_probs_input=True)
        assert actual == hypotheses(fresh.decode(log_probs))
        texts.add(actual[0][0])
    assert len(texts) > 2
    write_ngram(read_ngram(path), tmp_path / "lm.ngram")
    packed = CTCBeamDecoder("_ ab", tmp_path / "lm.ngram", alpha, beta, beam_width=20, log_probs_input=True)
    assert hypotheses(packed.decode(log_probs)) == actual
    assert (decoder.max_order(), decoder.dict_size(), decoder.character_based()) == (3, 4, False)
    characters = CTCBeamDecoder("_abc", CHARACTERS.write(tmp_path / "characters.arpa"))
    assert (characters.max_order(), characters.dict_size(), characters.character_based()) == (3, 0, True)
    plain = CTCBeamDecoder("_abc", alpha=1.0, beta=2.0)
    plain.reset_params(3.0, 4.0)
    assert (plain.max_order(), plain.dict_size(), plain.character_based()) == (None, None, None)


@pytest.mark.parametrize(("top_n", "mass"), [(3, 1.0), (8, 0.7), (2, 0.9), (1, 1.0)])
def test_cut_off_classes_count_as_impossible(top_n: int, mass: float) -> None:
    for seed in range(10):
        log_probs = log_posteriors(np.random.default_rng(seed), 12, 8, "flat").astype(np.float32)
        pruned = np.full_like(log_probs, -np.inf)
        for t, frame in enumerate(log_probs):
            added = 0.0
            for index in sorted(range(8), key=lambda i: -frame[i])[:top_n]:
                if added < mass:
                    pruned[t, index] = frame[index]
                added += math.exp(frame[index])
        decoder = CTCBeamDecoder(
            names(8), cutoff_top_n=top_n, cutoff_prob=mass, beam_width=4, log_probs_input=True
        )
        assert_is_the_reference(hypotheses(decoder.decode(log_probs[None])), pruned, 4, 1e-5)


def test_timesteps_are_the_peaks_of_the_best_path() -> None:
    rng = np.random.default_rng(5)
    decoder = CTCBeamDecoder("_ab", beam_width=WIDE, log_probs_input=True)
    moved = 0
    for _ in range(10):
        log_probs = log_posteriors(rng, 6, 3, "flat").astype(np.float32)
        for tokens, _, frames in hypotheses(decoder.decode(log_probs[None])):
            path = np.array([0, *best_alignment(log_probs.astype(np.float64), tokens)[0], 0])
            begins = np.flatnonzero((path[1:-1] != path[:-2]) & (path[1:-1] != 0))
            ends = np.flatnonzero((path[1:-1] != path[2:]) & (path[1:-1] != 0)) + 1
            spans = [slice(begin, end) for begin, end in zip(begins, ends, strict=True)]
            peaks = [log_probs[s, t].argmax() + s.start for s, t in zip(spans, tokens, strict=True)]
            assert frames == peaks
            moved += frames != begins.tolist()
    assert moved > 20


def test_signatures_are_those_of_ctcdecode() -> None:
    expected = {
        "labels": inspect.Parameter.empty,
        "model_path": None,
        "alpha": 0,
        "beta": 0,
        "cutoff_top_n": 40,
        "cutoff_prob": 1.0,
        "beam_width": 100,
        "num_processes": 4,
        "blank_id": 0,
        "log_probs_input": False,
    }
    for decoder in (CTCBeamDecoder, OnlineCTCBeamDecoder):
        parameters = inspect.signature(decoder).parameters
        assert {name: parameter.default for name, parameter in parameters.items()} == expected
        assert list(parameters) == list(expected)
    assert list(inspect.signature(CTCBeamDecoder.decode).parameters) == ["self", "probs", "seq_lens"]
    online = inspect.signature(OnlineCTCBeamDecoder.decode).parameters
    assert list(online) == ["self", "probs", "states", "is_eos_s", "seq_lens"]


def test_results_have_the_shapes_and_types_of_ctcdecode() -> None:
    log_probs = torch.randn(3, 9, 5, generator=torch.Generator().manual_seed(1)).log_softmax(2)
    decoder = CTCBeamDecoder(list("_abcd"), beam_width=30, log_probs_input=True)
    results, scores, timesteps, out_lens = decoder.decode(log_probs)
    assert results.shape == timesteps.shape == (3, 30, 9) and scores.shape == out_lens.shape == (3, 30)
    assert results.dtype == timesteps.dtype == out_lens.dtype == torch.int32 and scores.dtype == torch.float32
    assert (scores[:, 1:] >= scores[:, :-1]).all() and (scores > 0).all()
    assert (timesteps < 9).all() and (out_lens <= 9).all()

    short = decoder.decode(log_probs[:, :2])
    assert len(hypotheses(short)) == 1 + 4 + 12  # nothing, one label, two labels that differ

    arrays = decoder.decode(log_probs.numpy())
    for one, other in zip(arrays, (results, scores, timesteps, out_lens), strict=True):
        assert isinstance(one, np.ndarray)
        np.testing.assert_array_equal(one, other.numpy())
    double = decoder.decode(log_probs.double().requires_grad_())
    assert all(map(torch.equal, double, (results, scores, timesteps, out_lens)))
    half = decoder.decode(log_probs.bfloat16())
    assert half[0].shape == results.shape and (half[1] - scores).abs().max() < 0.2


def test_lengths_threads_and_padding() -> None:
    batch = torch.randn(5, 12, 6, generator=torch.Generator().manual_seed(2)).log_softmax(2)
    lens = [12, 0, 7, 1, 40]
    padded = batch.clone()
    for b, length in enumerate(lens):
        padded[b, length:] = torch.nan
    options: dict[str, Any] = {"beam_width": 6, "log_probs_input": True}
    alone = CTCBeamDecoder(names(6), num_processes=1, **options)
    kinds: list[Any] = [torch.tensor(lens), torch.tensor(lens, dtype=torch.float32), np.array(lens), lens]
    for given in kinds:
        for threads in (1, 3, 64):
            decoder = CTCBeamDecoder(names(6), num_processes=threads, **options)
            results = decoder.decode(padded, given)
            for b, length in enumerate(lens):
                assert hypotheses(results, b) == hypotheses(alone.decode(batch[b : b + 1, :length]))
    assert hypotheses(results, 1) == [((), 0.0, [])]
    assert alone.decode(batch[:0])[0].shape == (0, 6, 12)


def test_any_blank_and_labels_that_are_not_characters() -> None:
    log_probs = log_posteriors(np.random.default_rng(6), 15, 5, "peaky").astype(np.float32)[None]
    first = CTCBeamDecoder(["", "ab", "ab", " ", "<unk>"], beam_width=7, log_probs_input=True)
    last = CTCBeamDecoder(names(5), beam_width=7, blank_id=4, log_probs_input=True)
    moved = hypotheses(last.decode(np.roll(log_probs, -1, axis=2)))
    assert [(tuple(t + 1 for t in tokens), score, frames) for tokens, score, frames in moved] == hypotheses(
        first.decode(log_probs)
    )


@pytest.mark.parametrize("with_lm", [False, True])
def test_piece_by_piece_is_the_same_as_at_once(tmp_path: Path, with_lm: bool) -> None:
    path = WORDS.write(tmp_path / "lm.arpa") if with_lm else None
    options: dict[str, Any] = {"model_path": path, "alpha": 0.5, "beam_width": 8, "log_probs_input": True}
    probs = torch.randn(2, 14, 4, generator=torch.Generator().manual_seed(3)).log_softmax(2)
    whole = CTCBeamDecoder("_ ab", **options).decode(probs, [14, 9])
    decoder = OnlineCTCBeamDecoder("_ ab", **options)
    states = [DecoderState(decoder), DecoderState(decoder)]
    nothing = decoder.decode(probs[:, :5], states, [False, False])
    assert nothing[0].shape == nothing[2].shape == (2, 0, 0) and nothing[1].shape == nothing[3].shape == (
        2,
        8,
    )
    assert not nothing[3].any()
    results = decoder.decode(probs[:, 5:], states, [False, True], torch.tensor([9, 4]))
    assert hypotheses(results, 1) == hypotheses(whole, 1) and hypotheses(results, 0) == []
    assert results[0].shape == (2, len(hypotheses(whole, 1)), int(whole[3][1].max()))
    results = decoder.decode(probs[:1, :0], states[:1], [True, True])
    assert hypotheses(results) == hypotheses(whole)

    state, buffer = DecoderState(decoder), torch.zeros(1, 7, 4)
    for piece in (probs[:1, :7], probs[:1, 7:]):
        buffer.copy_(piece)
        results = decoder.decode(buffer, [state], [True])
    assert hypotheses(results) == hypotheses(whole)


NOTEBOOK = """
import os
import torch
from ctcdecode import CTCBeamDecoder

decoder = CTCBeamDecoder(
    LABELS, beam_width=BEAM, num_processes=os.cpu_count(), log_probs_input=True
)

def decode_prediction(output, output_lens, decoder, PHONEME_MAP=LABELS):
    beam_results, beam_scores, timesteps, out_lens = decoder.decode(output, seq_lens=output_lens)
    pred_str = []
    for i in range(output_lens.shape[0]):
        best = beam_results[i][0][:out_lens[i][0]]
        pred_str.append("".join([PHONEME_MAP[n] for n in best]))
    return pred_str

predictions = []
with torch.inference_mode():
    for output, lens in BATCHES:
        predictions += decode_prediction(output.cpu(), lens, decoder)
confidence = 1 / torch.exp(decoder.decode(BATCHES[0][0])[1])
"""


@pytest.mark.parametrize("beam", [2, 10])
def test_a_notebook_runs_with_its_import_changed(beam: int) -> None:
    labels = [" ", *"-GfmR@rUniWVuoaRhzkCwyZTEpYAbcgPlJOSdYsI"][:41]
    rng = np.random.default_rng(7)
    batches = [
        (torch.from_numpy(np.stack([log_posteriors(rng, 30, 41, "peaky") for _ in range(3)])), lens)
        for lens in (torch.tensor([30, 12, 25]), torch.tensor([7, 30, 1]))
    ]
    space: dict[str, Any] = {"LABELS": labels, "BEAM": beam, "BATCHES": batches}
    exec(NOTEBOOK.replace("from ctcdecode import", "from asrkit.ctcdecode import"), space)
    expected = [
        "".join(labels[token] for token in prefix_beam_search(frames[:length].numpy(), beam)[0].tokens)
        for output, lens in batches
        for frames, length in zip(output, lens.tolist(), strict=True)
    ]
    assert space["predictions"] == expected and len(expected[0]) > 10
    assert 0 < space["confidence"].max() <= 1


def decode(probs: Any, lens: Any = None, **options: Any) -> Any:
    return CTCBeamDecoder(list("_ab"), **options).decode(probs, lens)


LOGS = np.log(np.full((2, 4, 3), 1 / 3, np.float32))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda: CTCBeamDecoder("_ab", beam_width=0), UsageError, "beam_width 0"),
        (lambda: CTCBeamDecoder("_ab", num_processes=0), UsageError, "num_processes 0"),
        (lambda: CTCBeamDecoder("_ab", cutoff_top_n=0), UsageError, "cutoff_top_n 0"),
        (lambda: CTCBeamDecoder("_ab", cutoff_prob=0.0), UsageError, "cutoff_prob 0"),
        (lambda: CTCBeamDecoder("_ab", blank_id=3), UsageError, "blank_id 3 of 3 labels"),
        (lambda: CTCBeamDecoder("_ab", "absent.arpa"), DataError, "absent.arpa"),
        (lambda: decode(np.zeros((2, 4, 5))), UsageError, r"3 labels for posteriors of 5 classes"),
        (lambda: decode(np.zeros((4, 3))), UsageError, r"probs\[None\]"),
        (lambda: decode(np.exp(LOGS), [4]), UsageError, "lengths"),
        (lambda: decode(np.exp(LOGS), [4, -1]), UsageError, "lengths"),
        (lambda: decode(LOGS), DataError, "log_probs_input=True"),
        (lambda: decode(np.exp(LOGS), log_probs_input=True), DataError, "remove log_probs_input"),
        (lambda: decode(np.full((1, 2, 3), np.nan)), DataError, "utterance 0 .* frame 0"),
        (lambda: decode(torch.full((1, 2, 3), -torch.inf), log_probs_input=True), DataError, "frame 0"),
    ],
)
def test_what_cannot_be_is_refused(wrong: Callable[[], Any], error: type[AsrkitError], message: str) -> None:
    with pytest.raises(error, match=message):
        wrong()


def test_language_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = WORDS.write(tmp_path / "lm.arpa")
    with pytest.raises(UsageError, match="no label is a space"):
        CTCBeamDecoder("_ab", path)
    with pytest.raises(DataError, match="in capitals"):
        CTCBeamDecoder("_ AB", path)
    with pytest.raises(UsageError, match="must not be negative"):
        CTCBeamDecoder("_ ab", path, alpha=-1.0)
    binary = tmp_path / "lm.bin"
    binary.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\x00\x00\x80\xff")
    with pytest.raises(DataError, match=r"KenLM .*ARPA"):
        CTCBeamDecoder("_ ab", binary)


def test_states_that_do_not_fit_are_refused() -> None:
    decoder, other = OnlineCTCBeamDecoder("_ab"), OnlineCTCBeamDecoder("_ab")
    with pytest.raises(UsageError, match="2 utterances, 1 states"):
        decoder.decode(np.exp(LOGS), [DecoderState(decoder)], [True, True])
    with pytest.raises(UsageError, match="another decoder"):
        decoder.decode(np.exp(LOGS), [DecoderState(decoder), DecoderState(other)], [True, True])


def test_no_word_can_go_on_where_its_labels_are_cut_off(tmp_path: Path) -> None:
    """Only the space is left of the first frame, and no word begins with one: nothing is found."""
    log_probs = np.log(np.array([[[0.2, 0.6, 0.1, 0.1]]], np.float32))
    path = WORDS.write(tmp_path / "lm.arpa")
    decoder = CTCBeamDecoder("_ ab", path, cutoff_top_n=1, beam_width=3, log_probs_input=True)
    assert hypotheses(decoder.decode(log_probs)) == []


def test_torch_is_not_needed_for_arrays() -> None:
    check = (
        "import sys, numpy as np; from asrkit.ctcdecode import CTCBeamDecoder; "
        "CTCBeamDecoder('_ab').decode(np.full((1, 2, 3), 1 / 3)); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr


def test_the_original_finds_the_same() -> None:
    peer = pytest.importorskip("ctcdecode")
    rng = np.random.default_rng(8)
    for beam in (2, 10, 50):
        probs = torch.from_numpy(np.stack([log_posteriors(rng, 60, 20, "peaky") for _ in range(4)])).float()
        theirs, computed = (
            kind(names(20), beam_width=beam, log_probs_input=True).decode(probs)
            for kind in (peer.CTCBeamDecoder, CTCBeamDecoder)
        )
        for b in range(4):
            count = len(hypotheses(computed, b))
            assert torch.equal(theirs[3][b, :count], computed[3][b, :count])
            torch.testing.assert_close(theirs[1][b, :count], computed[1][b, :count], rtol=0, atol=1e-3)
            length = int(computed[3][b, 0])
            assert torch.equal(theirs[0][b, 0, :length], computed[0][b, 0, :length])
