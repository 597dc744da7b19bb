"""The fast code against the reference, on a user's own model and audio.

Each comparison runs the code that recognition and training use beside :mod:`asrkit.reference`, or beside
itself under a condition that must not matter. Posteriors are single precision; both sides then calculate with
them in double precision, so that agreement can be asked for to 1e-8.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from asrkit.errors import DataError
from asrkit.learning.features.frontend import GivenFeatures
from asrkit.learning.models.asr import Batch
from asrkit.learning.torch_acoustics import TorchAcoustics, TorchAttentionHead
from asrkit.recognition.acoustics import EncodedBatch
from asrkit.recognition.align.ctc import ctc_align
from asrkit.recognition.decoding.attention import attention_greedy_search
from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search
from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search
from asrkit.recognition.decoding.ctc_prefix_score import CtcPrefixScorer
from asrkit.recognition.decoding.hypothesis import Hypothesis
from asrkit.recognition.decoding.label_beam import label_beam_search
from asrkit.recognition.decoding.scorers import LengthBonus, Scorer, TokenModelScorer
from asrkit.recognition.recognizer import Recognizer
from asrkit.reference import ctc, ctc_decode, joint
from asrkit.reference.align import forced_alignment
from asrkit.reference.attention_decode import beam_search
from asrkit.reference.features import log_mel

BEAM = 10
BEAM_WORK = 60_000  # frames times tokens times beam: about a second of the reference's search
# The reference's joint search scores all from scratch.
JOINT_FRAMES, JOINT_SECONDS, JOINT_TOKENS, JOINT_BEAM = 20, 1.0, 30, 4
PREFIXES = 6  # of a text, those whose scores are compared
GIANT = 1e9  # no training gives such a weight; damaged bytes do
AUDIBLE = math.log(1e-6)  # bands 60 dB below their frame's loudest are rounding noise in single precision


class Check(NamedTuple):
    """What a comparison found.

    Attributes:
        name: what was compared.
        difference: the largest; infinite where the two sides are different in kind.
        tolerance: the largest difference that rounding explains.
        detail: where the largest difference is.
    """

    name: str
    difference: float
    tolerance: float
    detail: str

    @property
    def agrees(self) -> bool:
        return self.difference <= self.tolerance


class Recording(NamedTuple):
    """Audio f32[N], its log posteriors f32[T', V], and two texts.

    Posteriors are those of CTC, or else of frame labels, or else of the attention head for its greedy text.
    With CTC, the first text is the best path's; the second is wrong, made of the best token, other than
    blank, of every third frame, and T' frames can hold both. Without, they are the attention head's and the
    same backwards.
    """

    name: str
    wave: np.ndarray
    log_probs: np.ndarray
    texts: tuple[Sequence[int], Sequence[int]]


class Subject(NamedTuple):
    """What is verified."""

    recognizer: Recognizer
    recordings: list[Recording]


Finding = tuple[float, str]  # a difference, and where it is
Compare = Callable[[Subject], Iterable[Finding]]


def verify(recognizer: Recognizer, waves: Mapping[str, np.ndarray]) -> Iterator[Check]:
    """Compare the fast code with the reference.

    Args:
        recognizer: the model; what is compared depends on its heads.
        waves: audio f32[N] by name, at the model's sample rate; a few seconds each are enough.

    Yields:
        One check after the other. When the weights are damaged, nothing else is looked at.

    Raises:
        DataError: audio is too short for one output frame.
    """
    weights = judge("weights are finite, below 1e9", 0.0, weights_sane, Subject(recognizer, []))
    yield weights
    if not weights.agrees:
        return
    subject = Subject(recognizer, [recording(recognizer, name, wave) for name, wave in waves.items()])
    for name, tolerance, compare, heads in COMPARISONS:
        if heads <= recognizer.model.heads:
            yield judge(name, tolerance, compare, subject)


def judge(name: str, tolerance: float, compare: Compare, subject: Subject) -> Check:
    """The largest difference of a comparison; one that breaks down differs infinitely."""
    try:
        findings = [(math.inf if math.isnan(found) else found, where) for found, where in compare(subject)]
        difference, where = max(findings, default=(0.0, "nothing to compare"))
    except Exception as error:
        difference, where = math.inf, f"{type(error).__name__}: {error}"
    return Check(name, difference, tolerance, where)


def recording(recognizer: Recognizer, name: str, wave: np.ndarray) -> Recording:
    """Run the model on one recording alone. Raises DataError when it is too short for one output frame."""
    log_probs = posteriors(recognizer, [wave])[0]
    if len(log_probs) == 0:
        raise DataError(f"{name} is too short to verify anything on it", "give a second or more")
    texts: tuple[Sequence[int], Sequence[int]] = ([], [])
    if "ctc" in recognizer.model.heads:
        wrong = log_probs[::3, 1:].argmax(axis=1) + 1
        texts = (ctc_decode.greedy(log_probs).tokens, wrong.tolist())
    elif "attention" in recognizer.model.heads:
        found = attention_text(recognizer, wave)
        texts = (found, found[::-1])
    return Recording(name, wave, log_probs, texts)


def posteriors(recognizer: Recognizer, waves: list[np.ndarray]) -> list[np.ndarray]:
    """Log posteriors f32[T', V] of each wave f32[N], all run in one batch; see :class:`Recording`."""
    encoded = recognizer.encode(waves)
    if "ctc" in recognizer.model.heads:
        log_probs, lens = encoded.ctc_log_probs()
    elif "frame" in recognizer.model.heads:
        log_probs, lens = encoded.frame_log_probs(), encoded.lens
    else:
        text = attention_text(recognizer, waves[0])
        log_probs = attention_log_probs(encoded, [text] * len(waves))
        lens = np.full(len(waves), len(text) + 1)
    return [x[:n] for x, n in zip(log_probs, lens.tolist(), strict=True)]


def attention_text(recognizer: Recognizer, wave: np.ndarray) -> list[int]:
    """What the attention head says of a wave f32[N]."""
    return list(attention_greedy_search(recognizer.model, recognizer.encode([wave]))[0].tokens)


def attention_log_probs(encoded: EncodedBatch, texts: Sequence[Sequence[int]]) -> np.ndarray:
    """The attention head's log posteriors f32[B, U + 1, V] after each token of a text each, all at once."""
    head = encoded.attention()
    assert isinstance(head, TorchAttentionHead)
    return head.teacher_forced(texts)


def torch_acoustics(recognizer: Recognizer) -> TorchAcoustics:
    """The acoustics of a recogniser that is to be compared with the reference."""
    assert isinstance(recognizer.acoustics, TorchAcoustics)
    return recognizer.acoustics


def attention_steps(subject: Subject) -> Iterator[Finding]:
    """The attention head token by token, as in beam search, and all at once, as in training."""
    recognizer = subject.recognizer
    for name, wave, _, texts in subject.recordings:
        for text in texts:
            encoded, tokens = recognizer.encode([wave]), np.array([text], np.int64)
            whole = attention_log_probs(encoded, [text])[0]
            scorer = TokenModelScorer(encoded.attention())
            state, steps = scorer.start(1), []
            for length in range(len(text) + 1):
                scores, state = scorer.score(tokens[:, :length], state)
                steps.append(scores[0])
            difference, place = largest(np.stack(steps), whole)
            yield difference, f"{name}, after {place} of {len(text)} tokens"


def attention_beam(subject: Subject) -> Iterator[Finding]:
    """Attention beam search beside the reference's, whose model scores each prefix from scratch."""
    recognizer = subject.recognizer
    model = recognizer.model
    for name, wave, *_ in subject.recordings:
        encoded = recognizer.encode([wave[: int(JOINT_SECONDS * recognizer.config.features.signal_rate)]])

        def step(prefix: Sequence[int], encoded: EncodedBatch = encoded) -> np.ndarray:
            scores = attention_log_probs(encoded, [prefix])[0, -1].astype(np.float64)
            scores[0] = -np.inf  # blank is no token of a text
            return scores

        expected = beam_search(step, end=model.eos, beam_size=JOINT_BEAM, max_length=JOINT_TOKENS)
        found = label_beam_search(
            {"attention": TokenModelScorer(encoded.attention())},
            {"attention": 1.0},
            eos=model.eos,
            beam_size=JOINT_BEAM,
            max_length=JOINT_TOKENS,
            nbest=1,
        )
        yield abs(found[0].score - expected[0].score), f"{name}, first {JOINT_SECONDS:g} s"


def largest(found: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """The largest absolute difference, infinite for NaN and other shapes; its index on the first axis."""
    if found.shape != expected.shape:
        return math.inf, 0
    if found.size == 0:
        return 0.0, 0
    with np.errstate(invalid="ignore"):
        difference = np.where(found == expected, 0.0, np.abs(found - expected))
    difference[np.isnan(difference)] = np.inf
    return float(difference.max()), int(np.unravel_index(difference.argmax(), difference.shape)[0])


def weights_sane(subject: Subject) -> Iterator[Finding]:
    """How many weights of each tensor are NaN, infinite or impossibly large."""
    for name, weights in torch_acoustics(subject.recognizer).model.state_dict().items():
        yield float((~(weights.abs() < GIANT)).sum()), f"tensor {name}"


def same_twice(subject: Subject) -> Iterator[Finding]:
    """The same audio gives the same posteriors, bit for bit."""
    for name, wave, log_probs, _ in subject.recordings:
        difference, frame = largest(posteriors(subject.recognizer, [wave])[0], log_probs)
        yield difference, f"{name}, output frame {frame}"


def padding(subject: Subject) -> Iterator[Finding]:
    """Audio alone gives the posteriors it gives in a batch beside audio of twice its length."""
    for name, wave, log_probs, _ in subject.recordings:
        padded, _ = posteriors(subject.recognizer, [wave, np.concatenate([wave, wave])])
        difference, frame = largest(padded, log_probs)
        yield difference, f"{name}, output frame {frame}"


def features(recognizer: Recognizer, waves: list[np.ndarray]) -> np.ndarray:
    """Features f32[B, T, F] of waves f32[N] of one length."""
    samples = torch.from_numpy(np.stack(waves))
    feats, _ = torch_acoustics(recognizer).frontend(samples, torch.full([len(waves)], samples.shape[1]))
    return feats.numpy()


def audible(feats: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Log energies [T, F], raised to what rounding spares beside the loudest band of `frames` [T, F]."""
    return np.maximum(feats, frames.max(axis=1, keepdims=True) + AUDIBLE)


def features_by_frame(subject: Subject) -> Iterator[Finding]:
    """Features of the whole recording are those of each frame's own neighbourhood."""
    frontend = torch_acoustics(subject.recognizer).frontend
    if isinstance(frontend, GivenFeatures):
        return
    reach = math.ceil(frontend.window_size / frontend.shift)
    for name, wave, *_ in subject.recordings:
        whole = features(subject.recognizer, [wave])[0]
        single = np.empty_like(whole)
        for t in range(len(whole)):
            first = max(0, t - reach)
            part = wave[first * frontend.shift : (t + reach) * frontend.shift + frontend.window_size]
            single[t] = features(subject.recognizer, [part])[0, t - first]
        difference, frame = largest(audible(single, whole), audible(whole, whole))
        yield difference, f"{name}, frame {frame}"


def features_numpy(subject: Subject) -> Iterator[Finding]:
    """Log-mel energies are those of the reference; other kinds of features have none to compare with."""
    config = subject.recognizer.config.features
    if config.kind != "fbank":
        return
    for name, wave, *_ in subject.recordings:
        found = features(subject.recognizer, [wave])[0]
        expected = log_mel(
            wave,
            config.sample_rate,
            config.mel_bins,
            config.frame_ms,
            config.shift_ms,
            config.low_hz,
            config.top_hz,
            config.preemphasis,
        )
        difference, frame = largest(audible(found, expected), audible(expected, expected))
        yield difference, f"{name}, frame {frame}"


def loss_and_gradient(subject: Subject) -> tuple[torch.Tensor, torch.Tensor]:
    """The model's CTC loss f64[2B] of both texts of each recording, and its gradient f64[2B, T', V].

    All are one batch. The posteriors stand for the outputs before softmax.
    """
    texts = [torch.tensor(text, dtype=torch.int64) for r in subject.recordings for text in r.texts]
    frames = [torch.from_numpy(r.log_probs).double() for r in subject.recordings for _ in r.texts]
    tokens = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
    logits = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True).requires_grad_()
    lens, token_lens = (torch.tensor([len(x) for x in many]) for many in (frames, texts))
    batch = Batch([r.name for r in subject.recordings for _ in r.texts], logits, lens, tokens, token_lens)
    losses = torch_acoustics(subject.recognizer).model.ctc_loss(logits.log_softmax(-1), lens, batch)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    return losses.detach(), gradient


def ctc_loss(subject: Subject) -> Iterator[Finding]:
    """The CTC loss that training minimises."""
    losses, _ = loss_and_gradient(subject)
    for found, (where, log_probs, text) in zip(losses.tolist(), sentences(subject), strict=True):
        expected, _ = ctc.ctc_loss_from_logits(log_probs, text)
        yield largest(np.array([found]), np.array([expected]))[0], where


def ctc_gradient(subject: Subject) -> Iterator[Finding]:
    """Its gradient with respect to the outputs before softmax, padding included."""
    _, gradients = loss_and_gradient(subject)
    for found, (where, log_probs, text) in zip(gradients.numpy(), sentences(subject), strict=True):
        expected = np.zeros_like(found)
        expected[: len(log_probs)] = ctc.ctc_loss_from_logits(log_probs, text)[1]
        difference, frame = largest(found, expected)
        yield difference, f"{where}, output frame {frame}"


def alignment(subject: Subject) -> Iterator[Finding]:
    """The likeliest path of known tokens: its score, and that it is a path of these tokens."""
    for where, log_probs, text in sentences(subject):
        spans, score = ctc_align(log_probs, text)
        path = np.zeros(len(log_probs), np.int64)
        for token, (first, after) in zip(text, spans, strict=True):
            path[first:after] = token
        if ctc.collapse(path.tolist()) != tuple(text):
            yield math.inf, f"{where}: the spans are those of other tokens"
        yield abs(score - forced_alignment(log_probs, text).score), where


def greedy(subject: Subject) -> Iterator[Finding]:
    """Best path decoding."""
    for name, _, log_probs, _ in subject.recordings:
        found = ctc_greedy_search(log_probs[None], np.array([len(log_probs)]), frame_seconds=1.0)[0]
        expected = ctc_decode.greedy(log_probs.astype(np.float64))
        yield hypotheses_differ(name, found, [expected])


def prefix_beam(subject: Subject) -> Iterator[Finding]:
    """The better half of the beam of the prefix beam search."""
    for name, _, log_probs, _ in subject.recordings:
        log_probs = log_probs[: max(1, BEAM_WORK // log_probs.shape[1] // BEAM)]
        (found,) = ctc_prefix_beam_search(
            log_probs[None], np.array([len(log_probs)]), frame_seconds=1.0, beam_size=BEAM, nbest=BEAM // 2
        )
        expected = ctc_decode.prefix_beam_search(log_probs.astype(np.float64), BEAM, BEAM)
        yield hypotheses_differ(name, found, expected)


def joint_scores(subject: Subject) -> Iterator[Finding]:
    """Scores of the next token, carried along a text, against those of each prefix from scratch."""
    for where, log_probs, text in sentences(subject):
        end = log_probs.shape[1] - 1
        text = [token for token in text if token != end]
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

    Of each recording only a short stretch and the likeliest tokens take part.
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
        found = label_beam_search(
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
        yield hypotheses_differ(name, found, expected)


def hypotheses_differ(
    name: str, found: Sequence[Hypothesis], expected: Sequence[ctc_decode.Hypothesis]
) -> Finding:
    """The largest difference of the scores of two n-best lists, infinite where a text is not in both.

    `expected` may be longer, so that ties, which come in any order, do not matter.
    """
    first = [h.score for h in expected[: len(found)]]
    difference, at = largest(np.array([h.score for h in found]), np.array(first))
    scores = {h.tokens: h.score for h in expected}
    for place, hypothesis in enumerate(found):
        other = abs(hypothesis.score - scores.get(hypothesis.tokens, math.inf))
        if other > difference:
            difference, at = other, place
    return difference, f"{name}, hypothesis {at + 1} of {len(found)}"


def sentences(subject: Subject) -> Iterator[tuple[str, np.ndarray, Sequence[int]]]:
    """Each text of each recording: where it is, log posteriors f64[T', V] and tokens."""
    for name, _, log_probs, texts in subject.recordings:
        for kind, text in zip(("best path's text", "wrong text"), texts, strict=True):
            yield f"{name}, {kind} of {len(text)} tokens", log_probs.astype(np.float64), text


NONE, CTC, ATTENTION = frozenset[str](), frozenset({"ctc"}), frozenset({"attention"})
COMPARISONS: list[tuple[str, float, Compare, frozenset[str]]] = [
    ("same audio twice, same posteriors", 0.0, same_twice, NONE),
    ("padding does not change posteriors", 1e-3, padding, NONE),
    ("features of single frames = of the whole", 1e-3, features_by_frame, NONE),
    ("features = reference", 1e-3, features_numpy, NONE),
    ("CTC loss = reference", 1e-8, ctc_loss, CTC),
    ("CTC gradient = reference", 1e-8, ctc_gradient, CTC),
    ("forced alignment = reference", 1e-8, alignment, CTC),
    ("greedy search = reference", 1e-8, greedy, CTC),
    ("prefix beam search = reference", 1e-8, prefix_beam, CTC),
    ("joint scores, incremental = from scratch", 1e-8, joint_scores, CTC),
    ("joint beam search = reference", 1e-8, joint_beam, CTC),
    ("attention, step by step = all at once", 1e-3, attention_steps, ATTENTION),
    ("attention beam search = reference", 1e-3, attention_beam, ATTENTION),
]
