"""Frame labels, their files, and decoding and alignment of frames, against enumeration and peers."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from asrkit.config import TextConfig
from asrkit.errors import DataError, ModelError, UsageError
from asrkit.recognition.align.frames import align_text, extend, frame_labels, perturbed, word_tokens
from asrkit.recognition.align.hmm import hmm_align
from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search
from asrkit.recognition.decoding.frame_viterbi import frame_greedy_search, frame_viterbi_search
from asrkit.recognition.text.labels import LabelCounts, LabelSet, collect_labels, read_labels, write_labels
from asrkit.recognition.text.tokenizer import CharTokenizer, Tokenizer, build_tokenizer
from asrkit.recognition.transcript import make_transcript

RNG = np.random.default_rng(3)
NAMES = LabelSet(("<sil>", "AH", "B"))


def posteriors(frames: int, classes: int, rng: np.random.Generator = RNG) -> np.ndarray:
    logits = 2 * rng.normal(size=(frames, classes))
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), np.float32)


def durations(frames: int, parts: int, shortest: int) -> Iterator[list[tuple[int, int]]]:
    """Every way to cut 0..frames into stretches of at least `shortest` frames."""
    for cuts in combinations(range(1, frames), parts - 1):
        spans = [*pairwise((0, *cuts, frames))]
        if all(end - begin >= shortest for begin, end in spans):
            yield spans


def test_spans_grow_over_short_gaps_and_leave_silence_in_long_ones() -> None:
    spans = np.array([[2, 3], [4, 5], [20, 22], [22, 23]])
    # Output frames of 40 ms; the gap of 40 ms is shared, that of 600 is not, and neighbours stay.
    actual = extend(0.04 * spans, 1.0)
    np.testing.assert_allclose(actual, [[0.02, 0.14], [0.14, 0.36], [0.74, 0.88], [0.88, 1.0]])
    assert extend(spans[:0], 0.1).shape == (0, 2)
    little = extend(0.08 * spans[:2], 2.0, before=0.02, after=0.04)
    np.testing.assert_allclose(little, [[0.14, 0.28], [0.30, 0.44]])


def test_extended_spans_are_in_order_and_hold_what_was_given() -> None:
    for _ in range(200):
        outputs, step = int(RNG.integers(2, 60)), float(RNG.choice([0.01, 0.02, 0.025, 0.04, 0.08]))
        edges = np.sort(
            RNG.choice(outputs + 1, 2 * int(RNG.integers(1, (outputs + 1) // 2 + 1)), replace=False)
        )
        times = step * edges.reshape(-1, 2)
        actual = extend(times, step * outputs)
        assert (actual[:, 0] <= times[:, 0]).all() and (actual[:, 1] >= times[:, 1]).all()
        assert (np.diff(actual.ravel()) >= 0).all() and actual.min() >= 0 and actual.max() <= step * outputs
        gaps = times[1:, 0] - times[:-1, 1]
        assert ((actual[1:, 0] > actual[:-1, 1]) == (gaps > 0.22001)).all()
        frames = math.ceil(100 * step * outputs)
        in_frames = np.rint(100 * actual).astype(int)
        labels = frame_labels(in_frames, range(1, len(times) + 1), frames)
        assert [np.flatnonzero(labels == u + 1)[0] for u in range(len(times))] == in_frames[:, 0].tolist()


@pytest.mark.parametrize(("before", "after"), [(10, 9), (10, 11), (7, 7), (1, 5), (5, 1), (997, 1105)])
def test_perturbed_labels_are_the_nearest(before: int, after: int) -> None:
    labels = RNG.integers(0, 9, before).astype(np.int16)
    peer = torch.nn.functional.interpolate(
        torch.from_numpy(labels)[None, None].double(), after, mode="nearest-exact"
    )
    assert perturbed(labels, after).tolist() == peer[0, 0].int().tolist()
    assert perturbed(labels[:0], 3).tolist() == [0, 0, 0]


def test_words_have_the_tokens_of_the_text() -> None:
    texts = ["THE CAT SAT", "A CAT", "ON THE MAT THE CAT SAT AND ATE THE HAT"]
    for kind, size in (("char", 0), ("phone", 0), ("bpe", 18), ("unigram", 18)):
        tokenizer = build_tokenizer(TextConfig(tokenizer=kind, vocab_size=size, stress=False), texts)
        for text in texts:
            ids, words = word_tokens(tokenizer, text)
            assert ids == tokenizer.encode(text), kind
            assert [word for word, _, _ in words] == text.split()
            for word, begin, end in words:
                assert ids[begin:end] == tokenizer.encode(word)


def test_labels_of_tokenizers() -> None:
    phones = build_tokenizer(TextConfig(tokenizer="phone", stress=False), ["A"])
    labels = LabelSet.of(phones)
    assert len(labels.names) == 40 and labels.names[0] == "<sil>"
    ids = phones.encode("HELLO WORLD")
    classes = labels.classes(phones, ids)
    assert [labels.names[c] for c in classes] == ["HH", "AH", "L", "OW", "W", "ER", "L", "D"]
    assert [labels.token_ids(phones)[c] for c in classes] == ids
    letters = CharTokenizer.build(TextConfig(), ["CAB A"], Path())
    assert LabelSet.of(letters).names == ("<sil>", "A", "B", "C")
    with pytest.raises(DataError, match="<unk>"):
        labels.classes(phones, phones.encode("QXQX"))
    with pytest.raises(DataError, match="AA"):
        labels.token_ids(letters)


def spiky(tokenizer: Tokenizer, frames: int, spikes: dict[int, str]) -> np.ndarray:
    """Log posteriors with a token at each of these frames and blank at the others."""
    probs = np.full((frames, len(tokenizer.tokens)), 1e-4)
    path = np.zeros(frames, np.int64)
    for frame, token in spikes.items():
        path[frame] = tokenizer.ids[token]
    probs[np.arange(frames), path] = 0.9
    return np.log(probs / probs.sum(axis=1, keepdims=True)).astype(np.float32)


def test_text_is_aligned_to_feature_frames() -> None:
    tokenizer = CharTokenizer.build(TextConfig(), ["HI ABE"], Path())
    log_probs = spiky(tokenizer, 40, {3: "H", 4: "I", 6: "<space>", 20: "A", 21: "B", 24: "E"})
    actual = align_text(log_probs, "HI ABE", tokenizer, 158, frames_per_output=4)
    assert [tokenizer.tokens[token] for token in actual.tokens] == [*"HIABE"]
    assert actual.words == [("HI", 0, 2), ("ABE", 2, 5)]
    assert actual.spans.tolist() == [[6, 16], [16, 36], [74, 84], [84, 92], [92, 116]]
    assert actual.confidence == pytest.approx(np.full(5, math.exp(log_probs[3].max())))
    assert actual.score == pytest.approx(log_probs.max(axis=1).sum(), rel=1e-5)
    nothing = align_text(log_probs, "", tokenizer, 158, frames_per_output=4)
    assert nothing.tokens == nothing.words == [] and nothing.spans.shape == (0, 2)
    with pytest.raises(DataError, match="no path of 3 frames"):
        align_text(log_probs[:3], "HI ABE", tokenizer, 12, frames_per_output=4)


def test_what_is_decoded_is_where_the_aligner_puts_it() -> None:
    tokenizer = CharTokenizer.build(TextConfig(), ["HI ABE"], Path())
    spikes = {1: "<space>", 3: "H", 4: "I", 6: "<space>", 20: "A", 21: "B", 24: "E", 30: "<space>"}
    log_probs = spiky(tokenizer, 40, spikes)
    aligned = align_text(log_probs, "HI ABE", tokenizer, 160, frames_per_output=4)
    [hypotheses] = ctc_greedy_search(log_probs[None], np.array([40]), frame_seconds=0.04)
    actual = make_transcript("a", "a.wav", 1.6, 5.0, hypotheses, tokenizer)
    computed = [(word.text, word.start, word.end) for word in actual.words]
    assert computed == [("HI", 5.06, 5.36), ("ABE", 5.74, 6.16)]
    assert [begin for _, begin, _ in computed] == [5 + aligned.spans[u, 0] / 100 for u in (0, 2)]
    assert [end for _, _, end in computed] == [5 + aligned.spans[u, 1] / 100 for u in (1, 4)]
    assert [token.text for token in actual.tokens if token.text == "<space>"] == ["<space>"] * 3
    times = [time for token in actual.tokens for time in (token.start, token.end)]
    assert times == sorted(times) and times[-1] <= 6.6
    emitted = make_transcript("a", "a.wav", 1.6, 0.0, hypotheses, tokenizer, peaky=False)
    assert [(word.start, word.end) for word in emitted.words] == [(0.12, 0.2), (0.8, 1.0)]


def test_counts_of_labels() -> None:
    utterances = [
        np.array([0, 0, 1, 1, 2, 2, 2, 0], np.int16),
        np.array([], np.int16),
        np.array([2, 1], np.int16),
    ]
    counts = LabelCounts.of(utterances, 4)
    frames = Counter(int(label) for labels in utterances for label in labels)
    changes = Counter((int(a), int(b)) for labels in utterances for a, b in pairwise(labels) if a != b)
    assert counts.frames.tolist() == [frames[c] for c in range(4)]
    assert counts.changes.tolist() == [[changes[a, b] for b in range(4)] for a in range(4)]
    assert np.exp(counts.log_priors) == pytest.approx([4 / 14, 4 / 14, 5 / 14, 1 / 14])
    assert np.exp(counts.log_bigram).sum(axis=1) == pytest.approx(1)
    assert np.exp(counts.log_bigram)[0] == pytest.approx([0, 2 / 4, 1 / 4, 1 / 4])


def test_labels_and_counts_are_saved_and_damage_is_found(tmp_path: Path) -> None:
    NAMES.save(tmp_path / "labels.txt")
    assert LabelSet.load(tmp_path / "labels.txt") == NAMES
    counts = LabelCounts.of([np.array([0, 1, 1, 2])], 3)
    counts.save(tmp_path / "counts.json")
    same = LabelCounts.load(tmp_path / "counts.json")
    assert (same.frames == counts.frames).all() and (same.changes == counts.changes).all()
    for content in (b"", b"<sil>\nA\nA\n", b"<sil>\nA B\n", b"<sil>\n\n", b"\xff\n"):
        (tmp_path / "labels.txt").write_bytes(content)
        with pytest.raises(ModelError, match=r"labels\.txt"):
            LabelSet.load(tmp_path / "labels.txt")
    for text in (
        "",
        "[]",
        "{}",
        '{"frames": [1], "changes": [[1, 2]]}',
        '{"frames": [-1], "changes": [[0]]}',
    ):
        (tmp_path / "counts.json").write_text(text)
        with pytest.raises(ModelError, match=r"counts\.json"):
            LabelCounts.load(tmp_path / "counts.json")


@pytest.mark.parametrize("name", ["labels.txt", "labels.gz"])
def test_files_of_labels(tmp_path: Path, name: str) -> None:
    content = {f"u{i}": RNG.integers(0, 3, size).astype(np.int16) for i, size in enumerate((7, 1, 0, 400))}
    write_labels(tmp_path / name, NAMES, content.items())
    raw = (tmp_path / name).read_bytes()
    text = (gzip.decompress(raw) if name.endswith("gz") else raw).decode()
    assert text.splitlines()[0].split()[1:] == [NAMES.names[label] for label in content["u0"]]
    actual = dict(read_labels(tmp_path / name, NAMES, {id: len(labels) for id, labels in content.items()}))
    assert actual.keys() == content.keys()
    assert all((actual[id] == content[id]).all() and actual[id].dtype == np.int16 for id in content)
    assert [id for id, _ in read_labels(tmp_path / name, NAMES, {"u1": 1})] == ["u1"]
    assert collect_labels(tmp_path / name) == NAMES
    (tmp_path / "course").write_text("a [SIL] AH [SIL]\n")
    assert collect_labels(tmp_path / "course").names == ("[SIL]", "AH")
    assert collect_labels(tmp_path / name, tmp_path / "course").names == ("<sil>", "AH", "B", "[SIL]")
    with pytest.raises(DataError, match="not an id"):
        write_labels(tmp_path / name, NAMES, [("a b", content["u0"])])


def damaged(content: bytes) -> bytes:
    return gzip.compress(content * 100, mtime=0)[:-20]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"u1 AH B\nu2 AH C\n", r"a\.txt, line 2: unknown label 'C'"),
        ("a.txt", b"u1 AH B\nu2 AH\n", r"a\.txt, line 2: 1 labels for u2, which has 2 frames"),
        ("a.txt", b"u1 AH B\nu2 B B\n\nu1 B B\n", r"a\.txt, line 4: a second line for u1"),
        ("a.txt", b"u1 AH B\nu2 AH \xff\n", r"a\.txt, line 2: not UTF-8"),
        ("a.gz", b"u1 AH B\n", r"cannot read .*a\.gz"),
        ("a.gz", damaged(b"".join(b"v%d AH B\n" % i for i in range(9)) + b"u1 AH B\n"), r"a\.gz"),
    ],
)
def test_faulty_files_of_labels(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    read = read_labels(tmp_path / name, NAMES, {"u1": 2, "u2": 2})
    if name.endswith("txt"):  # one after the other: what comes before the fault is read
        assert next(read)[0] == "u1"
    with pytest.raises(DataError, match=message):
        list(read)
    with pytest.raises(DataError, match="cannot read"):
        list(read_labels(tmp_path / "absent", NAMES))


def viterbi(log_probs: np.ndarray, lens: Sequence[int], **settings: object) -> list:
    classes = log_probs.shape[-1]
    given: dict = {
        "log_priors": np.zeros(classes, np.float32),
        "bigram": np.zeros((classes, classes), np.float32),
        "token_ids": range(classes),
        "frame_seconds": 0.01,
    }
    return [nbest[0] for nbest in frame_viterbi_search(log_probs, np.array(lens), **{**given, **settings})]


def test_decoding_finds_the_best_of_all_segmentations() -> None:
    for trial in range(60):
        frames, classes, shortest = int(RNG.integers(1, 7)), int(RNG.integers(1, 4)), int(RNG.integers(1, 4))
        log_probs, priors = posteriors(frames, classes), posteriors(1, classes)[0]
        bigram = posteriors(classes, classes)
        bigram[RNG.random(bigram.shape) < 0.3] = -np.inf
        prior_weight, bigram_weight = (0.7, 0.4) if trial % 3 else (0.0, 0.0)
        scores = log_probs.astype(np.float64) - prior_weight * priors
        totals = {}
        for parts in range(1, frames + 1):
            for spans in durations(frames, parts, min(shortest, frames)):
                for labels in product(range(classes), repeat=parts):
                    changes = [bigram[a, b] for a, b in pairwise(labels)]
                    if min(changes, default=0) > -np.inf:
                        total = sum(scores[b:e, c].sum() for c, (b, e) in zip(labels, spans, strict=True))
                        totals[labels, tuple(spans)] = total + bigram_weight * sum(map(float, changes))
        (actual,) = viterbi(
            log_probs[None],
            [frames],
            log_priors=priors,
            bigram=bigram,
            min_frames=shortest,
            prior_weight=prior_weight,
            bigram_weight=bigram_weight,
        )
        assert actual.score == pytest.approx(max(totals.values()), abs=1e-4)
        assert sum(actual.parts.values()) == pytest.approx(actual.score)
        likeliest = {
            tuple((c, *span) for c, span in zip(labels, spans, strict=True) if c)
            for (labels, spans), total in totals.items()
            if total > max(totals.values()) - 1e-4
        }
        times = np.rint(100 * actual.times).astype(int).tolist()
        assert tuple((c, *span) for c, span in zip(actual.tokens, times, strict=True)) in likeliest


def test_without_priors_bigram_and_durations_decoding_is_greedy() -> None:
    log_probs, lens = posteriors(5 * 40, 6).reshape(5, 40, 6), [40, 0, 1, 17, 40]
    settings: dict[str, Any] = {"token_ids": [1, 10, 20, 30, 40, 50], "frame_seconds": 0.01}
    bigram = np.where(np.eye(6) > 0, -np.inf, 0).astype(np.float32)
    greedy = [nbest[0] for nbest in frame_greedy_search(log_probs, np.array(lens), **settings)]
    for mine, peer in zip(
        viterbi(log_probs, lens, bigram=bigram, min_frames=1, **settings), greedy, strict=True
    ):
        assert mine.tokens == peer.tokens and (mine.times == peer.times).all()
        assert mine.score == pytest.approx(peer.score, abs=1e-4)
        assert (mine.token_confidence == peer.token_confidence).all() and mine.confidence == peer.confidence
    path = log_probs[0].argmax(axis=1)
    runs = [label for label, before in zip(path, [-1, *path], strict=False) if label != before and label]
    assert greedy[0].tokens == tuple(10 * label for label in runs)
    assert greedy[1].tokens == () and greedy[1].confidence == 1.0 and greedy[1].score == 0.0


def test_labels_last_and_follow_themselves_only_where_allowed() -> None:
    labels = [0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0]
    log_probs = np.log(np.eye(3)[labels] * 0.8 + 0.1).astype(np.float32)
    strict = np.where(np.eye(3) > 0, -np.inf, 0).astype(np.float32)
    (once,) = viterbi(log_probs[None], [22], bigram=strict, token_ids=[1, 7, 8])
    assert once.tokens == (7, 7)  # the single frame of label 2 is too short
    assert once.times == pytest.approx(np.array([[0.03, 0.13], [0.16, 0.19]]))
    assert once.token_confidence[1] == pytest.approx(0.9, rel=1e-5)
    loose = strict + np.where(np.eye(3) > 0, 0, -1).astype(np.float32)
    loose[1, 1] = 0.1  # a second token of the same label costs less than nothing
    (often,) = viterbi(log_probs[None], [22], bigram=loose, token_ids=[1, 7, 8])
    assert often.tokens == (7, 7, 7, 7)


def test_padding_has_no_influence_and_faulty_posteriors_are_refused() -> None:
    log_probs = posteriors(30, 4)[None]
    padded = np.concatenate([log_probs, np.full((1, 9, 4), np.nan, np.float32)], axis=1)
    (mine,), (same,) = viterbi(log_probs, [30]), viterbi(padded, [30])
    assert mine.tokens == same.tokens and mine.score == same.score
    for search in (viterbi, _greedy):
        with pytest.raises(DataError, match="frame 30"):
            search(padded, [31])


def _greedy(log_probs: np.ndarray, lens: Sequence[int]) -> object:
    return frame_greedy_search(log_probs, np.array(lens), token_ids=range(4), frame_seconds=0.01)


def test_impossible_labels_are_never_decoded() -> None:
    log_probs = posteriors(12, 3)
    log_probs[:, 1] = -np.inf
    (actual,) = viterbi(log_probs[None], [12])
    assert 1 not in actual.tokens and math.isfinite(actual.score)


def test_forced_alignment_is_the_best_of_all() -> None:
    for _ in range(60):
        count, classes = int(RNG.integers(0, 4)), 3
        frames = int(RNG.integers(max(1, count), 9))
        shortest = int(RNG.integers(1, 4))
        labels = RNG.integers(1, classes, count).tolist()
        positions = [place for place in range(count + 1) if RNG.random() < 0.6] if count else [0]
        log_probs, priors = posteriors(frames, classes), posteriors(1, classes)[0]
        scores = log_probs.astype(np.float64) - 0.5 * priors
        least = max(1, min(shortest, frames // max(1, count)))
        best = -math.inf
        for chosen in product((False, True), repeat=len(positions)):
            silent = {place for place, is_there in zip(positions, chosen, strict=True) if is_there}
            row = [c for u in range(count + 1) for c in ([0] if u in silent else []) + labels[u : u + 1]]
            for spans in durations(frames, len(row), least) if row else []:
                best = max(best, sum(scores[b:e, c].sum() for c, (b, e) in zip(row, spans, strict=True)))
        actual = hmm_align(
            log_probs, labels, breaks=positions, log_priors=priors, prior_weight=0.5, min_frames=shortest
        )
        assert actual.score == pytest.approx(best, abs=1e-4)
        assert scores[np.arange(frames), actual.labels].sum() == pytest.approx(best, abs=1e-4)
        assert (frame_labels(actual.spans, labels, frames) == actual.labels).all()
        assert all(end - begin >= least for begin, end in actual.spans)


def test_alignment_that_cannot_be() -> None:
    for labels in ([0], [3], [-1]):
        with pytest.raises(UsageError, match="cannot align"):
            hmm_align(posteriors(9, 3), labels)
    with pytest.raises(DataError, match="2 frames cannot hold 3 labels"):
        hmm_align(posteriors(2, 3), [1, 2, 1])
    assert hmm_align(posteriors(0, 3), []).labels.tolist() == []
    assert hmm_align(posteriors(4, 3), []).labels.tolist() == [0] * 4


def test_realignment_finds_what_was_said() -> None:
    truth = np.repeat([0, 3, 1, 0, 1, 2, 0], [9, 6, 4, 12, 5, 11, 7])
    noise = posteriors(len(truth), 4, np.random.default_rng(0))
    log_probs = np.log(0.7 * np.eye(4)[truth] + 0.3 * np.exp(noise)).astype(np.float32)
    assert (hmm_align(log_probs, [3, 1, 1, 2], breaks={0, 2, 4}).labels == truth).all()
    assert not (hmm_align(log_probs, [3, 1, 1, 2]).labels == truth).all()  # no silence between the words
