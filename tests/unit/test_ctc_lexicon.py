"""Lexicon decoding against enumeration of every sentence, KenLM's scores, and flashlight's decoder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asrkit.errors import DataError, UsageError
from asrkit.recognition.decoding.ctc_lexicon import CtcLexiconSearch, SecondPass
from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from asrkit.recognition.decoding.frame_lexicon import FrameLexiconSearch
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.lexicon_kernels import lexicon_beam
from asrkit.recognition.decoding.posteriors import stretches
from asrkit.recognition.ngram.model import NgramModel, estimate, write_arpa
from asrkit.recognition.text.lexicon import Lexicon
from asrkit.recognition.text.spellings import spelled
from asrkit.recognition.text.tokenizer import CharTokenizer, PhoneTokenizer, SubwordTokenizer
from asrkit.reference.brute_force import best_alignment
from asrkit.reference.ctc import ctc_log_probability

EXACT: dict[str, Any] = {"beam_size": 5000, "beam_threshold": math.inf}
SPELLED = ["<blank>", "<unk>", "<space>", "A", "B", "<sos/eos>"]
CHARS = {"A": [[3]], "AB": [[3, 4]], "BB": [[4, 4]], "BA": [[4, 3]]}
PHONED = ["<blank>", "<unk>", "X", "Y", "<sos/eos>"]
PHONES = {"one": [[2]], "won": [[2]], "ex": [[2, 3], [3, 2]], "why": [[3, 3]]}
TEXT = {
    "chars": ["A AB BA", "BB A AB", "AB", "A BA BB BA"],
    "phones": ["one ex", "won why won", "ex why", "one one ex"],
}


def posteriors(seed: int, frames: int, tokens: int, scale: float = 2.0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0.0, scale, (frames, tokens))
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)


def language_model(kind: str, order: int = 3) -> NgramModel:
    return estimate([line.split() for line in TEXT[kind]], order)


def decode(search: CtcLexiconSearch, log_probs: np.ndarray) -> list[Hypothesis]:
    return search(log_probs[None], np.array([len(log_probs)]), 1.0)[0]


def every_sentence(
    log_probs: np.ndarray,
    lexicon: dict[str, list[list[int]]],
    separator: list[int],
    lm: NgramModel | None,
    lm_weight: float,
    word_bonus: float,
) -> dict[tuple[str, ...], tuple[float, tuple[int, ...]]]:
    """Score and tokens of each sentence that the frames have room for, in its best spelling."""
    results: dict[tuple[str, ...], tuple[float, tuple[int, ...]]] = {}
    for count in range(len(log_probs) + 1):
        for words in itertools.product(lexicon, repeat=count):
            lm_score = lm.log_prob(words) if lm else 0.0
            for ways in itertools.product(*(lexicon[word] for word in words)):
                tokens = tuple([t for i, way in enumerate(ways) for t in (separator if i else []) + way])
                if len(tokens) > len(log_probs):
                    continue
                score = ctc_log_probability(log_probs.astype(float), tokens)
                score += lm_weight * lm_score + word_bonus * count
                if score > results.get(words, (-math.inf, ()))[0]:
                    results[words] = score, tokens
    return results


@pytest.mark.parametrize("kind", ["chars", "phones"])
@pytest.mark.parametrize("frames", range(6))
@pytest.mark.parametrize("weights", [(0.0, 0.0), (0.7, 1.5), (2.0, -1.0)])
def test_wide_beam_is_exact(kind: str, frames: int, weights: tuple[float, float]) -> None:
    tokens, lexicon, separator = (SPELLED, CHARS, [2]) if kind == "chars" else (PHONED, PHONES, [])
    lm_weight, word_bonus = weights
    for seed, order in ((1, 1), (2, 2), (3, 3)):
        lm = language_model(kind, order) if lm_weight else None
        log_probs = posteriors(seed, frames, len(tokens))
        search = CtcLexiconSearch(
            tokens, lexicon, lm, lm_weight=lm_weight, word_bonus=word_bonus, nbest=5000, **EXACT
        )
        actual = decode(search, log_probs)
        expected = every_sentence(log_probs, lexicon, separator, lm, lm_weight, word_bonus)
        assert {tuple(word for word, _, _ in h.words or ()): h.score for h in actual} == pytest.approx(
            {words: score for words, (score, _) in expected.items()}, abs=1e-4
        )
        assert len(actual) == len(expected)
        assert [h.score for h in actual] == sorted((h.score for h in actual), reverse=True)
        for h in actual:
            assert h.words is not None
            words = tuple(word for word, _, _ in h.words)
            assert h.tokens == expected[words][1]
            assert all(list(h.tokens[begin:end]) in lexicon[word] for word, begin, end in h.words)
            lm_score = lm_weight * h.parts["lm"] if lm else 0.0
            assert h.score == pytest.approx(h.parts["ctc"] + lm_score + word_bonus * len(words), abs=1e-9)
            assert h.parts["ctc"] == pytest.approx(
                ctc_log_probability(log_probs.astype(float), h.tokens), abs=1e-4
            )


class LikesWords:
    """A language model of texts that has its own mind, but no memory beyond them."""

    def log_probs(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([-sum(len(text) * ord(letter) % 7 for letter in text) / 3 for text in texts])


@pytest.mark.parametrize("kind", ["chars", "phones"])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_second_pass_is_the_best_of_every_sentence(kind: str, share: float) -> None:
    tokens, lexicon, separator = (SPELLED, CHARS, [2]) if kind == "chars" else (PHONED, PHONES, [])
    lm, log_probs, bonus = language_model(kind), posteriors(4, 5, len(tokens)), 0.4
    second = SecondPass(LikesWords(), share, 5000)
    search = CtcLexiconSearch(
        tokens, lexicon, lm, lm_weight=0.9, word_bonus=bonus, nbest=30, second=second, **EXACT
    )
    expected = {}
    for words, (ctc, _) in every_sentence(log_probs, lexicon, separator, lm, 0.0, bonus).items():
        theirs = float(LikesWords().log_probs([" ".join(words)])[0])
        expected[words] = ctc + 0.9 * ((1 - share) * lm.log_prob(words) + share * theirs)
    actual = {tuple(word for word, _, _ in h.words or ()): h.score for h in decode(search, log_probs)}
    best = sorted(expected, key=lambda words: -expected[words])[:30]
    assert actual == pytest.approx({words: expected[words] for words in best}, abs=1e-4)


@pytest.mark.parametrize("kind", ["chars", "phones"])
def test_a_long_utterance_is_ordered_in_stretches(kind: str) -> None:
    tokens, lexicon = (SPELLED, CHARS) if kind == "chars" else (PHONED, PHONES)
    silence = np.full((4, len(tokens)), -20.0, np.float32)
    silence[:, 0] = 0.0
    halves = [posteriors(seed, 5, len(tokens)) for seed in (1, 2, 3)]
    for half in halves:
        half[2:4, 0] = -9.0  # no other pauses
    parts = [halves[0], silence, halves[1], silence, halves[2]]
    second = SecondPass(LikesWords(), 0.5, 5000, seconds=9.0)
    search = CtcLexiconSearch(tokens, lexicon, language_model(kind), nbest=40, second=second, **EXACT)
    (whole,) = search(np.concatenate(parts)[None], np.array([23]), 0.1)[:1]
    second = second._replace(seconds=0.9)
    search = CtcLexiconSearch(tokens, lexicon, language_model(kind), nbest=40, second=second, **EXACT)
    (actual,) = search(np.concatenate(parts)[None], np.array([23]), 0.1)[:1]
    cut = np.split(np.concatenate(parts), [7, 16])
    each = [search(part[None], np.array([len(part)]), 0.1)[0] for part in cut]
    sums = sorted((sum(h.score for h in choice) for choice in itertools.product(*each)), reverse=True)
    np.testing.assert_allclose([h.score for h in actual], sums[:40], atol=1e-4)
    for h in actual:
        assert h.words is not None and all(list(h.tokens[b:e]) in lexicon[word] for word, b, e in h.words)
        assert (np.diff(h.times.ravel()) >= -1e-6).all() and (h.times <= 2.3 + 1e-6).all()
    texts = [[word for word, _, _ in h.words or ()] for h in (actual[0], *(nbest[0] for nbest in each))]
    assert texts[0] == list(itertools.chain(*texts[1:]))
    assert set(actual[0].parts) == {"ctc", "lm", "rescorer"} and whole != actual


def test_stretches_end_in_pauses() -> None:
    blanks = np.zeros(100, bool)
    assert stretches(blanks, 30, 3) == [slice(0, 100)], "no pause, no cut"
    for begin, end in ((5, 9), (18, 21), (24, 29), (60, 63), (97, 99)):
        blanks[begin:end] = True
    assert stretches(blanks, 100, 3) == [slice(0, 100)]
    assert stretches(blanks, 30, 3) == [slice(0, 26), slice(26, 61), slice(61, 100)]
    assert stretches(blanks, 30, 4) == [slice(0, 26), slice(26, 100)]
    assert stretches(blanks[:0], 30, 3) == [slice(0, 0)]


def test_times_and_confidences_are_those_of_the_best_path() -> None:
    log_probs = posteriors(5, 6, len(SPELLED))
    for h in decode(CtcLexiconSearch(SPELLED, CHARS, language_model("chars"), nbest=9, **EXACT), log_probs):
        path, _ = best_alignment(log_probs, h.tokens)
        runs = [(token, len(list(run))) for token, run in itertools.groupby(path)]
        ends = np.cumsum([length for _, length in runs])
        spans = [
            (end - length, end) for end, (token, length) in zip(ends.tolist(), runs, strict=True) if token
        ]
        assert h.times.tolist() == [list(span) for span in spans]
        peaks = [log_probs[a:b, token].max() for token, (a, b) in zip(h.tokens, spans, strict=True)]
        assert h.token_confidence == pytest.approx(np.exp(peaks))


def test_words_without_a_language_model_and_any_spelling_are_the_prefix_beam_search() -> None:
    """Each token a word: what remains is CTC prefix beam search, with its pruning."""
    tokens = [*PHONED[:-1], "Z", "<sos/eos>"]
    lexicon = {token: [[index]] for index, token in enumerate(tokens) if index > 0}
    log_probs = posteriors(6, 60, len(tokens))
    search = CtcLexiconSearch(tokens, lexicon, None)
    floor = np.full(60, -np.inf, np.float32)
    for beam in (1, 4, 30):
        rows, lengths, scores, _ = lexicon_beam(
            log_probs, floor, search.graph, search.lm, beam, math.inf, nbest=beam, per_state=beam, blank=0
        )
        known = ctc_prefix_beam_search(
            log_probs[None], np.array([60]), frame_seconds=1.0, beam_size=beam, nbest=beam
        )[0]
        actual = [tuple(search.graph.token[row[60 - n :]]) for row, n in zip(rows, lengths, strict=True)]
        assert actual[: len(known)] == [h.tokens for h in known]
        assert scores[: len(known)] == pytest.approx([h.score for h in known], abs=1e-6)
    [best] = decode(search, log_probs)
    assert best.parts == {"ctc": best.score}


def test_narrow_beams_find_what_wide_ones_do_in_clear_speech() -> None:
    log_probs, words = clear_speech(seed=1, frames=80, sharpness=9.0)
    lm = language_model("chars")
    wide = decode(CtcLexiconSearch(SPELLED, CHARS, lm, beam_size=500, beam_threshold=math.inf), log_probs)[0]
    assert [word for word, _, _ in wide.words or ()] == words
    for options in ({"beam_size": 10}, {"beam_tokens": 2}, {"beam_threshold": 8.0}):
        h = decode(CtcLexiconSearch(SPELLED, CHARS, lm, **options), log_probs)[0]
        assert h.words == wide.words
        assert h.score == pytest.approx(wide.score, abs=0.05) and h.score <= wide.score + 1e-9


def test_a_full_beam_keeps_what_later_words_decide() -> None:
    """Five words that might each be one of five, and a rare one whose right only the last word shows."""
    lexicon = {**{f"any{number}": [[2]] for number in range(5)}, "common": [[3]], "rare": [[3]]}
    lexicon |= {"after-common": [[2, 2, 2]], "after-rare": [[3, 2]]}
    begin = np.random.default_rng(1).choice([*lexicon][:5], (200, 5)).tolist()
    common, rare = ["common", "after-common"], ["rare", "after-rare"]
    lm = estimate([line + (rare if number % 10 == 0 else common) for number, line in enumerate(begin)], 2)
    path = [token for sound in [2] * 5 + [3, 3, 2] for token in (sound, 0)]
    log_probs = np.full((len(path), len(PHONED)), -20.0, np.float32)
    log_probs[np.arange(len(path)), path] = 0.0
    options: dict[str, Any] = {"beam_size": 30, "beam_threshold": math.inf}
    [actual] = decode(CtcLexiconSearch(PHONED, lexicon, lm, **options), log_probs)
    assert [word for word, _, _ in actual.words or ()][-2:] == rare
    sentences = ([*words, *rare] for words in itertools.product([*lexicon][:5], repeat=5))
    best = max(map(lm.log_prob, sentences))
    assert actual.parts["lm"] == pytest.approx(best, abs=1e-5)
    # For a list of hypotheses, the beam has to keep sequences that differ in their first words alone.
    listed = decode(CtcLexiconSearch(PHONED, lexicon, lm, nbest=30, **options), log_probs)
    assert len(listed) > 5 and listed[0].score < actual.score


def clear_speech(seed: int, frames: int, sharpness: float) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    words = rng.choice([*CHARS], 8).tolist()
    text = [token for i, word in enumerate(words) for token in ([2] if i else []) + CHARS[word][0]]
    logits = rng.normal(0.0, 1.0, (frames, len(SPELLED)))
    path = np.zeros(frames, int)
    path[np.linspace(5, frames - 5, len(text)).astype(int)] = text
    logits[np.arange(frames), path] += sharpness
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32), words


def test_the_best_is_at_least_what_flashlight_finds(tmp_path: Path) -> None:
    """Its search follows only some of the paths, so its sentence may be another, but no better one."""
    decoder = pytest.importorskip("flashlight.lib.text.decoder")
    kenlm = pytest.importorskip("flashlight.lib.text.decoder.kenlm")
    dictionary = pytest.importorskip("flashlight.lib.text.dictionary")
    lm = language_model("chars")
    write_arpa(lm, tmp_path / "lm.arpa")
    names = dictionary.Dictionary()
    for word in CHARS:
        names.add_entry(word)
    peer_lm = kenlm.KenLM(str(tmp_path / "lm.arpa"), names)
    trie = decoder.Trie(len(SPELLED), 2)
    for word, [spelling] in CHARS.items():
        trie.insert([*spelling, 2], names.get_index(word), 0.0)
    trie.smear(decoder.SmearingMode.MAX)
    options = decoder.LexiconDecoderOptions(
        beam_size=200,
        beam_size_token=len(SPELLED),
        beam_threshold=1e9,
        lm_weight=0.8 * math.log(10.0),  # its KenLM gives base-10 logarithms
        word_score=0.3,
        unk_score=-math.inf,
        sil_score=0.0,
        log_add=True,
        criterion_type=decoder.CriterionType.CTC,
    )
    peer = decoder.LexiconDecoder(options, trie, peer_lm, 2, 0, -1, [], False)
    search = CtcLexiconSearch(
        SPELLED, CHARS, tmp_path / "lm.arpa", beam_size=200, lm_weight=0.8, word_bonus=0.3
    )
    equal = 0
    for seed in range(6):
        log_probs, _ = clear_speech(seed, frames=80, sharpness=5.0)
        h = decode(search, log_probs)[0]
        # Its words all end in a space: it is given a frame for the last one.
        padded = np.concatenate([log_probs, np.full((1, len(SPELLED)), -100.0, np.float32)])
        padded[-1, 2] = 0.0
        result = peer.decode(padded.ctypes.data, *padded.shape)[0]
        theirs = [names.get_entry(index) for index in result.words if index >= 0]
        tokens = [token for i, word in enumerate(theirs) for token in ([2] if i else []) + CHARS[word][0]]
        score = ctc_log_probability(log_probs.astype(float), tokens)
        assert h.score >= score + 0.8 * lm.log_prob(theirs) + 0.3 * len(theirs) - 0.01
        equal += [word for word, _, _ in h.words or ()] == theirs
    assert equal >= 4


def test_batch_padding_and_threads_change_nothing(tmp_path: Path) -> None:
    write_arpa(language_model("chars"), tmp_path / "lm.arpa")
    lens = np.array([40, 0, 1, 23])
    batch = np.full((4, 40, len(SPELLED)), np.nan, np.float32)
    for index, length in enumerate(lens):
        batch[index, :length] = posteriors(index, length, len(SPELLED))
    alone, threaded = (
        CtcLexiconSearch(SPELLED, CHARS, tmp_path / "lm.arpa", nbest=3, threads=threads) for threads in (1, 3)
    )
    together = alone(batch, lens, 0.04)
    assert together[1][0].tokens == together[1][0].words == ()
    assert together[1][0].score == pytest.approx(language_model("chars").log_prob([]), abs=1e-4)
    assert threaded(batch, lens, 0.04)[3][0].words == together[3][0].words
    for index, length in enumerate(lens):
        one = alone(batch[index : index + 1, :length], lens[index : index + 1], 0.04)[0]
        assert [(h.tokens, h.score, h.words) for h in one] == [
            (h.tokens, h.score, h.words) for h in together[index]
        ]


def test_posteriors_that_no_word_explains_give_no_words() -> None:
    log_probs = np.full((4, len(SPELLED)), -np.inf, np.float32)
    log_probs[:, 1] = 0.0
    best = decode(CtcLexiconSearch(SPELLED, CHARS, language_model("chars")), log_probs)[0]
    assert best.score < -1e29 and best.confidence == 0.0
    log_probs[2, 1] = np.nan
    with pytest.raises(DataError, match="frame 2"):
        decode(CtcLexiconSearch(SPELLED, CHARS, None), log_probs)


def test_words_that_the_model_does_not_list_are_its_unknown_word() -> None:
    lm = language_model("chars")
    search = CtcLexiconSearch(SPELLED, {"AAA": [[3, 3, 3]]}, lm, nbest=3, **EXACT)
    for h in decode(search, posteriors(8, 7, len(SPELLED))):
        assert h.parts["lm"] == pytest.approx(lm.log_prob(["<unk>"] * len(h.words or ())), abs=1e-4)


def test_spellings_of_each_kind_of_tokenizer() -> None:
    chars = CharTokenizer("char", ["<space>", "A", "B"])
    assert spelled(["AB", "B", "AXE"], chars).lexicon() == {"AB": [[3, 4]], "B": [[4]]}
    lexicon = Lexicon({"READ": [("R", "EH", "D"), ("R", "IY", "D")], "A": [("AH",)]})
    phones = PhoneTokenizer(lexicon)
    spellings = spelled(["READ", "NONE", "A"], phones).lexicon()
    assert [[[phones.tokens[i] for i in way] for way in ways] for ways in spellings.values()] == [
        [["R", "EH", "D"], ["R", "IY", "D"]],
        [["AH"]],
    ]
    with pytest.raises(DataError, match="no word of the lexicon has a spelling"):
        spelled(["AXE"], chars)


def test_spellings_in_sub_words(tmp_path: Path) -> None:
    from asrkit.config import TextConfig

    texts = ["THE CAT SAT", "A CAT THAT SAT", "THE HAT"]
    pieces = SubwordTokenizer.build(TextConfig(tokenizer="bpe", vocab_size=16), texts, tmp_path)
    spellings = spelled(["CAT", "HAT", "ZOO"], pieces).lexicon()
    assert [pieces.decode(ways[0]) for ways in spellings.values()] == ["CAT", "HAT"]
    search = CtcLexiconSearch(pieces.tokens, spellings, None, nbest=20)
    for h in decode(search, posteriors(9, 30, len(pieces.tokens))):
        # A piece that is only the word boundary is its first token here.
        assert [(w, end) for w, _, end in pieces.word_spans(h.tokens)] == [
            (w, end) for w, _, end in h.words or ()
        ]


def frame_paths(scores: np.ndarray, labels: list[int], min_frames: int) -> float:
    """The best score of the labels in turn, each at least `min_frames` long, by trying all boundaries."""
    best = -math.inf
    spare = len(scores) - min_frames * len(labels)
    if not labels or spare < 0:
        return best
    for cuts in itertools.combinations_with_replacement(range(spare + 1), len(labels) - 1):
        edges = [0, *(cut + min_frames * i for i, cut in enumerate(cuts, 1)), len(scores)]
        spans = zip(labels, itertools.pairwise(edges), strict=True)
        best = max(best, sum(float(scores[a:b, label].sum()) for label, (a, b) in spans))
    return best


@pytest.mark.parametrize(("min_frames", "frames"), [(1, 3), (2, 7), (3, 9)])
def test_frame_lexicon_search_is_exact(min_frames: int, frames: int) -> None:
    """Silence is class 0; words of the classes 1 and 2 may have the same one on both sides of a border."""
    lexicon = {"ex": [[1]], "why": [[2, 1]], "yes": [[1, 2], [2]]}
    lm = estimate([["ex", "why"], ["yes", "why", "ex"], ["ex"]], 2)
    priors = np.log([0.5, 0.3, 0.2]).astype(np.float32)
    for seed in range(6):
        log_probs = posteriors(seed, frames, 3)
        scores = log_probs - 0.6 * priors
        expected: dict[tuple[str, ...], float] = {}
        for count in range(frames // min_frames + 1):
            for words in itertools.product(lexicon, repeat=count):
                lm_score = 1.3 * lm.log_prob(words) + 0.5 * count
                for ways in itertools.product(*(lexicon[word] for word in words)):
                    for pauses in itertools.product(([], [0]), repeat=count + 1):
                        labels = pauses[0] + [
                            label
                            for way, pause in zip(ways, pauses[1:], strict=True)
                            for label in way + pause
                        ]
                        score = frame_paths(scores, labels, min_frames) + lm_score
                        if score > expected.get(words, -math.inf):
                            expected[words] = score
        search = FrameLexiconSearch(
            lexicon,
            lm,
            log_priors=priors,
            token_ids=[1, 7, 8],
            min_frames=min_frames,
            prior_weight=0.6,
            lm_weight=1.3,
            word_bonus=0.5,
            beam_threshold=math.inf,
        )
        [h] = search(log_probs[None], np.array([frames]), 0.01)[0]
        assert h.words is not None and h.score == pytest.approx(max(expected.values()), abs=1e-4)
        assert expected[tuple(word for word, _, _ in h.words)] == pytest.approx(h.score, abs=1e-4)
        assert h.score == pytest.approx(h.parts["frame"] + 1.3 * h.parts["lm"] + 0.5 * len(h.words), abs=1e-4)
        assert len(h.times) == len(h.tokens) == len(h.token_confidence)
        assert (h.times[:, 1] - h.times[:, 0] >= min_frames * 0.01 - 1e-6).all()
        for word, begin, end in h.words:
            assert [token - 6 for token in h.tokens[begin:end]] in lexicon[word]


def test_frame_lexicon_search_hears_words_in_noise() -> None:
    """Labels of 3 to 12 frames, at first and between some words silence; half of all frames are wrong."""
    rng = np.random.default_rng(4)
    lexicon = {f"w{k}": [rng.integers(1, 12, rng.integers(2, 6)).tolist()] for k in range(40)}
    words = rng.choice([*lexicon], 10).tolist()
    labels = [0] + [x for word in words for x in lexicon[word][0] + [0] * int(rng.integers(2))]
    path = np.repeat(labels, rng.integers(4, 12, len(labels)))
    logits = rng.normal(0.0, 2.0, (len(path), 12))
    logits[np.arange(len(path)), path] += 2.5
    log_probs = (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)
    assert (log_probs.argmax(1) != path).mean() > 0.3
    search = FrameLexiconSearch(
        lexicon, None, log_priors=np.zeros(12, np.float32), token_ids=range(12), word_bonus=-8.0
    )
    batch = np.stack([log_probs, np.full_like(log_probs, np.nan)])
    best, nothing = search(batch, np.array([len(path), 0]), 0.01)
    assert [word for word, _, _ in best[0].words or ()] == words
    assert nothing[0].tokens == nothing[0].words == () and nothing[0].confidence == 1.0
    assert search(batch[:1], np.array([2]), 0.01)[0][0].tokens == ()
    narrow = FrameLexiconSearch(
        lexicon, None, log_priors=np.zeros(12, np.float32), token_ids=range(12), word_bonus=-8.0, beam_size=1
    )
    assert narrow(batch[:1], np.array([len(path)]), 0.01)[0][0].score <= best[0].score


def test_what_cannot_be_decoded_is_refused() -> None:
    with pytest.raises(DataError, match="no word"):
        CtcLexiconSearch(SPELLED, {"A": []}, None)
    for spelling in ([], [0], [99]):
        with pytest.raises(DataError, match="'A'"):
            CtcLexiconSearch(SPELLED, {"A": [spelling]}, None)
    for options in ({"beam_size": 0}, {"nbest": 0}, {"lm_weight": -1.0}, {"beam_threshold": 0.0}):
        with pytest.raises(UsageError):
            CtcLexiconSearch(SPELLED, CHARS, None, **options)
