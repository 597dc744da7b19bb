"""CTC decoders against enumeration of every path, a dictionary-based search and two peer libraries."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from asrkit.compiled import compiled
from asrkit.config.decoders import DECODERS, decoders_for, require_decoder
from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search
from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from asrkit.recognition.decoding.hypothesis import Hypothesis

BEAM_OF_EVERYTHING = 400  # more than the 364 sequences of at most 5 tokens out of 3


def log_softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    with np.errstate(divide="ignore"):
        return np.log(weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def flat(seed: int, frames: int, vocab: int) -> np.ndarray:
    return log_softmax(np.random.default_rng(seed).normal(size=(frames, vocab)))


def peaky(seed: int, frames: int, vocab: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 2.0, (frames, vocab))
    spoken = rng.random(frames) < 0.25
    logits[~spoken, 0] += 10.0
    logits[spoken, rng.integers(1, vocab, spoken.sum())] += 10.0
    return log_softmax(logits)


def degenerate(seed: int, frames: int, vocab: int) -> np.ndarray:
    """Zeros, one-hot frames, and probabilities far below what single precision can show."""
    rng = np.random.default_rng(seed)
    logits = rng.choice([0.0, -1.0, -200.0, -np.inf], (frames, vocab))
    logits[np.arange(frames), rng.integers(0, vocab, frames)] = 0.0
    return log_softmax(logits) if seed % 2 else logits.astype(np.float32)


KINDS = {"flat": flat, "peaky": peaky, "degenerate": degenerate}


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


def enumerate_paths(
    log_probs: np.ndarray,
) -> tuple[dict[tuple[int, ...], float], dict[tuple[int, ...], float]]:
    """Log probability of every token sequence, and that of its likeliest path."""
    scores: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        score = math.fsum(float(log_probs[t, token]) for t, token in enumerate(path))
        if score > -math.inf:
            scores[collapse(path)].append(score)
    best = {tokens: max(values) for tokens, values in scores.items()}
    total = {
        tokens: best[tokens] + math.log(math.fsum(math.exp(value - best[tokens]) for value in values))
        for tokens, values in scores.items()
    }
    return total, best


def dictionary_search(log_probs: np.ndarray, beam_size: int) -> list[tuple[tuple[int, ...], float]]:
    """Prefix beam search as it is usually written: prefixes are keys, each is extended by every token."""
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for row in log_probs.astype(np.float64):
        grown: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [-np.inf, -np.inf])
        for prefix, (p_b, p_nb) in beam.items():
            total = np.logaddexp(p_b, p_nb)
            grown[prefix][0] = np.logaddexp(grown[prefix][0], total + row[0])
            for token in range(1, len(row)):
                if prefix and prefix[-1] == token:
                    grown[prefix][1] = np.logaddexp(grown[prefix][1], p_nb + row[token])
                longer = grown[(*prefix, token)]
                longer[1] = np.logaddexp(
                    longer[1], (p_b if prefix and prefix[-1] == token else total) + row[token]
                )
        best = sorted(grown.items(), key=lambda item: -np.logaddexp(item[1][0], item[1][1]))[:beam_size]
        beam = {prefix: (value[0], value[1]) for prefix, value in best}
    return [(prefix, float(np.logaddexp(*value))) for prefix, value in beam.items()]


def beam_search(log_probs: np.ndarray, **options: Any) -> list[Hypothesis]:
    return ctc_prefix_beam_search(log_probs[None], np.array([len(log_probs)]), frame_seconds=1.0, **options)[
        0
    ]


def greedy_search(log_probs: np.ndarray) -> Hypothesis:
    return ctc_greedy_search(log_probs[None], np.array([len(log_probs)]), frame_seconds=1.0)[0][0]


def equal(one: Hypothesis, other: Hypothesis) -> bool:
    return (one.tokens, one.score, one.confidence) == (other.tokens, other.score, other.confidence) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("times", "token_confidence")
    )


def path_score(log_probs: np.ndarray, hypothesis: Hypothesis) -> float:
    """Log probability of the path that a hypothesis' times (1 s a frame) describe; checks that they do."""
    path = np.zeros(len(log_probs), int)
    for token, (start, end), confidence in zip(
        hypothesis.tokens, hypothesis.times.astype(int), hypothesis.token_confidence, strict=True
    ):
        assert 0 <= start < end <= len(path)
        assert not path[start:end].any()
        path[start:end] = token
        assert confidence == pytest.approx(math.exp(log_probs[start:end, token].max()))
    assert collapse(tuple(path)) == hypothesis.tokens
    return float(log_probs[np.arange(len(path)), path].sum(dtype=np.float64))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocab", [2, 3, 4])
@pytest.mark.parametrize("frames", range(6))
def test_wide_beam_is_exact(kind: str, vocab: int, frames: int) -> None:
    for seed in range(8):
        log_probs = KINDS[kind](seed, frames, vocab)
        total, best = enumerate_paths(log_probs)
        actual = beam_search(log_probs, beam_size=BEAM_OF_EVERYTHING, nbest=BEAM_OF_EVERYTHING)
        assert {hypothesis.tokens: hypothesis.score for hypothesis in actual} == pytest.approx(
            total, abs=1e-9
        )
        assert len(actual) == len(total)
        assert [h.score for h in actual] == sorted((h.score for h in actual), reverse=True)
        for hypothesis in actual:
            assert hypothesis.parts == {"ctc": hypothesis.score}
            assert path_score(log_probs, hypothesis) == pytest.approx(best[hypothesis.tokens], abs=1e-9)
        assert beam_search(log_probs, beam_size=BEAM_OF_EVERYTHING)[0].score == actual[0].score


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vocab", [2, 3, 4])
def test_greedy_is_the_best_path(kind: str, vocab: int) -> None:
    for seed, frames in itertools.product(range(8), range(6)):
        log_probs = KINDS[kind](seed, frames, vocab)
        hypothesis = greedy_search(log_probs)
        assert hypothesis.score == pytest.approx(max(enumerate_paths(log_probs)[1].values()), abs=1e-9)
        assert path_score(log_probs, hypothesis) == pytest.approx(hypothesis.score, abs=1e-9)


@pytest.mark.parametrize("beam_size", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("kind", ["flat", "peaky"])
def test_narrow_beam_equals_dictionary_search(kind: str, beam_size: int) -> None:
    """Prefixes leave narrow beams and come back, with and without their children still there."""
    for seed in range(6):
        log_probs = KINDS[kind](seed, 40, 4 + seed)
        actual = beam_search(log_probs, beam_size=beam_size, nbest=beam_size)
        expected = dictionary_search(log_probs, beam_size)
        assert [h.tokens for h in actual] == [tokens for tokens, _ in expected]
        assert [h.score for h in actual] == pytest.approx([score for _, score in expected], abs=1e-9)


@pytest.mark.parametrize("kind", ["flat", "peaky"])
def test_times_confidence_and_order_of_longer_utterances(kind: str) -> None:
    log_probs = KINDS[kind](7, 300, 20)
    actual = beam_search(log_probs, beam_size=20, nbest=20)
    greedy = greedy_search(log_probs)
    assert actual[0].score >= greedy.score
    assert len({h.tokens for h in actual}) == 20
    assert [h.score for h in actual] == sorted((h.score for h in actual), reverse=True)
    for hypothesis in [*actual, greedy]:
        assert (np.diff(hypothesis.times.ravel()) >= 0).all()
        assert path_score(log_probs, hypothesis) <= hypothesis.score + 1e-6
        assert hypothesis.confidence == pytest.approx(math.exp(hypothesis.score / len(hypothesis.tokens)))


def test_frame_seconds_scale_times() -> None:
    log_probs = peaky(3, 50, 8)[None]
    for search in (ctc_greedy_search, ctc_prefix_beam_search):
        one, other = (search(log_probs, np.array([50]), frame_seconds=s)[0][0].times for s in (1.0, 0.04))
        assert len(one) and np.allclose(one * 0.04, other)


@pytest.mark.parametrize("search", [ctc_greedy_search, ctc_prefix_beam_search])
def test_batch_padding_and_threads_change_nothing(search: Any) -> None:
    lens = np.array([60, 0, 17, 41])
    batch = np.full((4, 60, 12), np.nan, np.float32)
    for index, length in enumerate(lens):
        batch[index, :length] = peaky(index, length, 12)
    together = search(batch, lens, frame_seconds=0.04)
    assert together[1][0].tokens == () and together[1][0].score == 0.0 and together[1][0].confidence == 1.0
    for index, length in enumerate(lens):
        alone = search(batch[index : index + 1, :length], lens[index : index + 1], frame_seconds=0.04)[0]
        assert len(alone) == len(together[index]) == 1
        assert equal(alone[0], together[index][0])
    if search is ctc_prefix_beam_search:
        threaded = search(batch, lens, frame_seconds=0.04, threads=3)
        assert all(equal(one[0], other[0]) for one, other in zip(threaded, together, strict=True))


@pytest.mark.parametrize("search", [ctc_greedy_search, ctc_prefix_beam_search])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_frames_that_are_no_distribution_are_refused(search: Any, wrong: float) -> None:
    batch = np.stack([flat(0, 9, 5), flat(1, 9, 5)])
    batch[1, 6] = wrong
    with pytest.raises(DataError, match=r"utterance 1 .* frame 6"):
        search(batch, np.array([9, 9]), frame_seconds=1.0)
    search(batch, np.array([9, 6]), frame_seconds=1.0)


def test_single_nan_is_refused() -> None:
    log_probs = flat(0, 9, 5)
    log_probs[4, 3] = np.nan
    with pytest.raises(DataError):
        greedy_search(log_probs)
    with pytest.raises(DataError):
        beam_search(log_probs)


@pytest.mark.parametrize("options", [{"beam_size": 0}, {"nbest": 0}, {"blank": -1}, {"blank": 4}])
def test_impossible_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        beam_search(flat(0, 5, 4), **options)


def test_pruned_tokens_count_as_impossible_and_cost_nothing_on_peaky_posteriors() -> None:
    for seed in range(10):
        log_probs = peaky(seed, 200, 32)
        assert beam_search(log_probs, token_min_logp=-5.0)[0].tokens == beam_search(log_probs)[0].tokens
        log_probs = flat(seed, 30, 6)
        pruned = np.where(log_probs >= np.minimum(log_probs.max(1, keepdims=True), -1.5), log_probs, -np.inf)
        one, other = beam_search(log_probs, token_min_logp=-1.5)[0], beam_search(pruned.astype(np.float32))[0]
        assert (one.tokens, one.score) == (other.tokens, other.score)


def test_any_blank_id() -> None:
    log_probs = peaky(0, 60, 8)
    for search in (ctc_greedy_search, ctc_prefix_beam_search):
        first = search(log_probs[None], np.array([60]), frame_seconds=1.0)[0][0]
        last = search(np.roll(log_probs, -1, axis=1)[None], np.array([60]), frame_seconds=1.0, blank=7)[0][0]
        assert tuple(token - 1 for token in first.tokens) == last.tokens
        assert first.score == last.score


def test_one_best_of_fast_ctc_decode() -> None:
    peer = pytest.importorskip("fast_ctc_decode")
    for seed in range(20):
        log_probs = peaky(seed, 300, 26)
        text, _ = peer.beam_search(np.exp(log_probs), "-abcdefghijklmnopqrstuvwxy", beam_size=20)
        assert beam_search(log_probs, beam_size=20)[0].tokens == tuple(ord(letter) - 96 for letter in text)


def test_one_best_of_flashlight() -> None:
    peer = pytest.importorskip("flashlight.lib.text.decoder")
    options = peer.LexiconFreeDecoderOptions(
        beam_size=100,
        beam_size_token=26,
        beam_threshold=1e9,
        lm_weight=0.0,
        sil_score=0.0,
        log_add=True,
        criterion_type=peer.CriterionType.CTC,
    )
    decoder = peer.LexiconFreeDecoder(options, peer.ZeroLM(), -1, 0, [])
    for seed in range(20):
        log_probs = np.ascontiguousarray(peaky(seed, 300, 26))
        path = decoder.decode(log_probs.ctypes.data, *log_probs.shape)[0].tokens[1:-1]
        assert beam_search(log_probs, beam_size=50)[0].tokens == collapse(tuple(path))


def test_kernels_work_where_compiled_code_cannot_be_kept() -> None:
    source: dict[str, Any] = {}
    exec("def twice(x):\n    return 2 * x", source)  # numba finds no folder for code without a file
    assert compiled(source["twice"])(21) == 42


def test_decoders_are_offered_by_heads_and_language_model() -> None:
    assert all(name == decoder.name for name, decoder in DECODERS.items())
    assert decoders_for({"ctc"}) == ["ctc-greedy", "ctc-beam"]
    assert decoders_for({"ctc", "attention"}) == [
        "ctc-greedy",
        "ctc-beam",
        "attention-greedy",
        "attention-beam",
        "joint",
    ]
    assert require_decoder("ctc-beam", ["ctc"]) is DECODERS["ctc-beam"]
    with pytest.raises(UsageError, match="did you mean 'ctc-beam'"):
        require_decoder("ctc-bean", ["ctc"])
    with pytest.raises(UsageError, match="would work: attention-greedy"):
        require_decoder("ctc-beam", ["attention"])


def test_package_imports_nothing_heavy() -> None:
    check = (
        "import sys\nimport asrkit.recognition.decoding\n"
        + "print([m for m in ('numpy', 'numba', 'torch') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "[]"
    )
