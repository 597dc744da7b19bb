"""Searches and their scores beside the reference."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from asrkit.recognition.acoustics import EncodedBatch
from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search
from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from asrkit.recognition.decoding.ctc_prefix_score import CtcPrefixScorer
from asrkit.recognition.decoding.label_beam import label_beam_search
from asrkit.recognition.decoding.scorers import LengthBonus, Scorer, TokenModelScorer
from asrkit.reference import ctc, ctc_decode, joint
from asrkit.reference.attention_decode import beam_search
from asrkit.verify.checks import Finding, hypotheses_differ
from asrkit.verify.subject import Subject, attention_log_probs, sentences

BEAM = 10
BEAM_WORK = 60_000  # frames times tokens times beam: about a second of the reference's search
# The reference's joint search scores all from scratch.
JOINT_FRAMES, JOINT_SECONDS, JOINT_TOKENS, JOINT_BEAM = 20, 1.0, 30, 4
PREFIXES = 6  # of a text, those whose scores are compared


def greedy(subject: Subject) -> Iterator[Finding]:
    """Best path decoding."""
    for name, _, log_probs, _ in subject.recordings:
        actual = ctc_greedy_search(log_probs[None], np.array([len(log_probs)]), frame_seconds=1.0)[0]
        expected = ctc_decode.greedy(log_probs.astype(np.float64))
        yield hypotheses_differ(name, actual, [expected])


def prefix_beam(subject: Subject) -> Iterator[Finding]:
    """The better half of the beam of the prefix beam search."""
    for name, _, posteriors, _ in subject.recordings:
        log_probs = posteriors[: max(1, BEAM_WORK // posteriors.shape[1] // BEAM)]
        (actual,) = ctc_prefix_beam_search(
            log_probs[None], np.array([len(log_probs)]), frame_seconds=1.0, beam_size=BEAM, nbest=BEAM // 2
        )
        expected = ctc_decode.prefix_beam_search(log_probs.astype(np.float64), BEAM, BEAM)
        yield hypotheses_differ(name, actual, expected)


def joint_scores(subject: Subject) -> Iterator[Finding]:
    """Incremental scores of the next token against scores of each prefix from scratch."""
    for where, log_probs, tokens in sentences(subject):
        end = log_probs.shape[1] - 1
        text = [token for token in tokens if token != end]
        scorer = CtcPrefixScorer(log_probs, eos=end)
        state, so_far = scorer.start(1), 0.0
        compared = np.linspace(0, len(text), PREFIXES).round()
        for u in range(len(text) + 1):
            prefix = tuple(text[:u])
            scores, state = scorer.score(np.array([prefix], np.int64), state)
            best = int(scores[0, :end].argmax())
            for token in {best, *text[u : u + 1], *text[max(0, u - 1) : u]} if u in compared else ():
                expected = joint.ctc_prefix_log_probability(log_probs, (*prefix, token))
                yield abs(so_far + float(scores[0, token]) - expected), f"{where}, token {u + 1}"
            if u in compared:
                expected = ctc.ctc_log_probability(log_probs, prefix)
                yield abs(so_far + float(scores[0, end]) - expected), f"{where}, end after token {u}"
            so_far += float(scores[0, text[u]]) if u < len(text) else 0.0


def joint_beam(subject: Subject) -> Iterator[Finding]:
    """The better half of the beam of the search by labels, with CTC and a length bonus.

    Only a short stretch of each recording and its likeliest tokens are used.
    """
    for name, _, log_probs, _ in subject.recordings:
        first = int((log_probs.argmax(axis=1) > 0).argmax())
        likely = np.argsort(-log_probs[:, 1:-1].max(axis=0, initial=-np.inf))[:JOINT_TOKENS] + 1
        vocabulary = [0, *sorted(likely.tolist()), log_probs.shape[1] - 1]
        stretch = log_probs[first : first + JOINT_FRAMES, vocabulary].astype(np.float64)
        end, length = len(vocabulary) - 1, len(stretch)
        scorers: dict[str, Scorer] = {
            "ctc": CtcPrefixScorer(stretch, eos=end),
            "length": LengthBonus(end + 1, end),
        }
        actual = label_beam_search(
            scorers,
            {"ctc": 1.0, "length": 0.5},
            eos=end,
            beam_size=JOINT_BEAM,
            nbest=JOINT_BEAM // 2,
            max_length=length,
            end_margin=math.inf,
        )
        expected = joint.joint_beam_search(
            stretch,
            lambda prefix: np.zeros(1),  # CTC has all the weight
            end=end,
            beam_size=JOINT_BEAM,
            nbest=JOINT_BEAM,
            max_length=length,
            ctc_weight=1.0,
            length_bonus=0.5,
        )
        yield hypotheses_differ(name, actual, expected)


def attention_beam(subject: Subject) -> Iterator[Finding]:
    """Attention beam search beside the reference's, whose model scores each prefix from scratch."""
    recognizer = subject.recognizer
    model = recognizer.model
    for name, wave, *_ in subject.recordings:
        encoded = recognizer.encode([wave[: int(JOINT_SECONDS * recognizer.config.features.signal_rate)]])

        def step(prefix: Sequence[int], encoded: EncodedBatch = encoded) -> np.ndarray:
            scores: np.ndarray = attention_log_probs(encoded, [prefix])[0, -1].astype(np.float64)
            scores[0] = -np.inf  # blank is no token of a text
            return scores

        expected = beam_search(step, end=model.eos, beam_size=JOINT_BEAM, max_length=JOINT_TOKENS)
        actual = label_beam_search(
            {"attention": TokenModelScorer(encoded.attention())},
            {"attention": 1.0},
            eos=model.eos,
            beam_size=JOINT_BEAM,
            max_length=JOINT_TOKENS,
            nbest=1,
        )
        yield abs(actual[0].score - expected[0].score), f"{name}, first {JOINT_SECONDS:g} s"
