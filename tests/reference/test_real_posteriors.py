"""The fast decoders against the reference on the posteriors of a trained model on real recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import PROMPTS, SENTENCES

from asrkit.recognition.align.ctc import ctc_align
from asrkit.recognition.audio.reading import read_audio
from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search
from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from asrkit.recognition.recognizer import Recognizer
from asrkit.reference.align import forced_alignment
from asrkit.reference.ctc_decode import greedy, prefix_beam_search
from asrkit.reference.softmax import log_softmax
from asrkit.verify.subject import posteriors

BEAM = 6


@pytest.fixture(scope="module")
def recordings(experiment: Path) -> dict[str, np.ndarray]:
    """Log posteriors f32[T', V] of the prompts' test set and of five sentences of another speaker.

    The model was trained for seconds, so it says little; in every second recording blank is therefore made
    rarer, by a factor of 50 before renormalisation.
    """
    recognizer = Recognizer.load(experiment, device="cpu", threads=1)
    rows = [line.split("\t") for line in (PROMPTS.parent / "transcripts.tsv").read_text().splitlines()]
    paths = [PROMPTS / f"{name}.opus" for name, part, _ in rows if part == "test"]
    actual = {}
    for place, path in enumerate([*paths, *sorted(SENTENCES.glob("*.flac"))]):
        (log_probs,) = posteriors(recognizer, [read_audio(path)])
        if place % 2:
            log_probs[:, 0] -= np.log(50)
            log_probs = log_softmax(log_probs)
        actual[path.stem] = log_probs
    return actual


def test_prefix_beam_is_the_reference(recordings: dict[str, np.ndarray]) -> None:
    texts = set()
    for name, log_probs in recordings.items():
        (actual,) = ctc_prefix_beam_search(
            log_probs[None], np.array([len(log_probs)]), frame_seconds=0.04, beam_size=BEAM, nbest=BEAM
        )
        expected = prefix_beam_search(log_probs.astype(np.float64), BEAM, BEAM)
        assert [h.tokens for h in actual] == [h.tokens for h in expected], name
        np.testing.assert_allclose([h.score for h in actual], [h.score for h in expected], atol=1e-5, rtol=0)
        texts |= {h.tokens for h in actual}
    assert len(recordings) == 44
    assert len(texts) > 150 and max(map(len, texts)) > 10


def test_greedy_and_alignment_are_the_reference(recordings: dict[str, np.ndarray]) -> None:
    for name, log_probs in recordings.items():
        exact = log_probs.astype(np.float64)
        (actual,) = ctc_greedy_search(log_probs[None], np.array([len(log_probs)]), frame_seconds=0.04)[0]
        expected = greedy(exact)
        assert actual.tokens == expected.tokens, name
        assert actual.score == pytest.approx(expected.score, abs=1e-5)
        text = (log_probs[::5, 1:-1].argmax(axis=1) + 1).tolist()
        spans, score = ctc_align(log_probs, text)
        alignment = forced_alignment(exact, text)
        assert score == pytest.approx(alignment.score, abs=1e-5), name
        np.testing.assert_array_equal(spans, alignment.spans)
