"""The check before training: every unusable utterance, with the reason."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asrkit.config import CheckConfig
from asrkit.errors import DataError
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.text.tokenizer import Tokenizer

SHOWN = 5  # ids shown per kind of problem


@dataclass(frozen=True)
class Problem:
    """Why an utterance should not be trained on.

    Attributes:
        id: of the utterance.
        kind: ``duplicate-id``, ``empty-text``, ``unknown-characters``, ``too-short``, ``too-long``,
            ``unreadable``, ``non-finite`` or ``ctc-too-long``.
        detail: the reason, with numbers or characters.
    """

    id: str
    kind: str
    detail: str


def find_problems(
    utterances: Sequence[Utterance],
    *,
    tokenizer: Tokenizer,
    features: Callable[[Utterance], np.ndarray],
    output_frames: Callable[[int], int],
    config: CheckConfig,
    ctc: bool,
) -> list[Problem]:
    """All problems of a training set, in its order; an utterance may have several.

    Args:
        utterances: the set, texts normalised.
        tokenizer: defines the known characters, and the tokens of a text.
        features: f32[T, F] of an utterance; raises DataError when its audio cannot be read. Not
            called for utterances longer than the limit.
        output_frames: the encoder's frames T' for T feature frames; with speed perturbation, at the fastest.
        config: the limits.
        ctc: the model has a CTC head, whose output must be long enough for the text.
    """
    problems = [
        Problem(id, "duplicate-id", f"{count} utterances have this id")
        for id, count in Counter(u.id for u in utterances).items()
        if count > 1
    ]
    for utterance in utterances:
        reasons = [*_text_problems(utterance, tokenizer), *_length_problems(utterance, config)]
        if not utterance.duration > config.max_seconds:
            reasons += _feature_problems(utterance, tokenizer, features, output_frames if ctc else None)
        problems += [Problem(utterance.id, kind, detail) for kind, detail in reasons]
    return problems


def ctc_frames(tokens: Sequence[int]) -> int:
    """The fewest frames in which CTC can emit `tokens`: one each, and a blank between equal neighbours.

    Source: Graves et al., Connectionist Temporal Classification, ICML 2006, section 3.
    """
    return len(tokens) + sum(a == b for a, b in pairwise(tokens))


def summary(problems: Sequence[Problem]) -> str:
    """One line per kind of problem: how many, and the first few ids."""
    by_kind: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        by_kind[problem.kind].append(problem.id)
    return "\n".join(f"{kind}: {len(ids)} ({_first(ids)})" for kind, ids in by_kind.items()) or "no problem"


def apply_policy(
    utterances: Sequence[Utterance], problems: Sequence[Problem], config: CheckConfig
) -> list[Utterance]:
    """The utterances to train on. All that share an id with a problem are excluded.

    Raises:
        DataError: the policy is ``stop`` and there are problems, or nothing would be left.
    """
    bad = {problem.id for problem in problems}
    kept = [u for u in utterances if u.id not in bad]
    if bad and config.policy == "stop":
        first = _first(problem.id for problem in problems)
        raise DataError(
            f"{len(utterances) - len(kept)} of {len(utterances)} utterances cannot be trained on: {first}",
            "fix them, or exclude them with check.policy=drop",
        )
    if not kept:
        raise DataError(f"no utterance can be trained on\n{summary(problems)}", "fix them, or see check.*")
    return kept


def _text_problems(utterance: Utterance, tokenizer: Tokenizer) -> Iterator[tuple[str, str]]:
    if not utterance.text.strip():
        yield "empty-text", "no text after normalisation"
    elif unknown := tokenizer.unknown(utterance.text):
        yield "unknown-characters", " ".join(unknown)


def _length_problems(utterance: Utterance, config: CheckConfig) -> Iterator[tuple[str, str]]:
    seconds = utterance.duration
    if seconds > config.max_seconds:
        yield "too-long", f"{seconds:.2f} s, more than check.max_seconds={config.max_seconds:g}"
    elif not (seconds >= config.min_seconds and seconds > 0):  # so that NaN is caught too
        yield "too-short", f"{seconds:.2f} s, less than check.min_seconds={config.min_seconds:g}"


def _feature_problems(
    utterance: Utterance,
    tokenizer: Tokenizer,
    features: Callable[[Utterance], np.ndarray],
    ctc_output: Callable[[int], int] | None,
) -> Iterator[tuple[str, str]]:
    try:
        feats = features(utterance)
    except DataError as error:
        yield "unreadable", error.message
        return
    if not np.isfinite(feats).all():
        yield "non-finite", "NaN or infinity in its features"
    if ctc_output is not None:
        tokens = tokenizer.encode(utterance.text)
        needed, frames = ctc_frames(tokens), ctc_output(len(feats))
        if needed > frames:
            yield (
                "ctc-too-long",
                f"{len(tokens)} tokens need {needed} output frames, the encoder outputs {frames}",
            )


def _first(ids: Iterable[str]) -> str:
    named = list(dict.fromkeys(ids))
    return ", ".join(named[:SHOWN]) + (", …" if len(named) > SHOWN else "")
