"""The fast code against the reference, on a user's own model and audio.

Each comparison runs the code that recognition and training use beside :mod:`asrkit.reference`, or beside
itself under a condition that must not matter. Posteriors are single precision; both sides then calculate with
them in double precision and must agree to 1e-8.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from asrkit.recognition.recognizer import Recognizer
from asrkit.verify.acoustics import (
    attention_steps,
    features_by_frame,
    features_numpy,
    padding,
    same_twice,
    weights_sane,
)
from asrkit.verify.checks import Check, Compare, judge
from asrkit.verify.ctc import alignment, ctc_gradient, ctc_loss
from asrkit.verify.searches import attention_beam, greedy, joint_beam, joint_scores, prefix_beam
from asrkit.verify.subject import Subject, recording

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


def verify(recognizer: Recognizer, waves: Mapping[str, np.ndarray]) -> Iterator[Check]:
    """Compare the fast code with the reference.

    Args:
        recognizer: the model; what is compared depends on its heads.
        waves: audio f32[N] by name, at the model's sample rate; a few seconds each are enough.

    Yields:
        One check for each comparison; only the first if weights are damaged.

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
