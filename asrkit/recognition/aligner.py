"""Forced alignment by a trained model: the one path of `asrkit align` and of frame labels."""

from collections.abc import Iterable, Iterator

import numpy as np

from asrkit.errors import DataError, UsageError
from asrkit.recognition.align.frames import (
    AlignedText,
    align_text,
    frame_labels,
    without_separators,
    word_tokens,
)
from asrkit.recognition.align.hmm import hmm_align
from asrkit.recognition.audio.utterance import Utterance
from asrkit.recognition.recognizer import Recognizer
from asrkit.recognition.text.labels import LabelSet


def align_wave(recognizer: Recognizer, wave: np.ndarray, text: str) -> AlignedText:
    """Align normalised text with samples f32[N], by the CTC head or else by the frame head.

    Raises:
        DataError: too little audio for the text, or a word that frame labels cannot express.
        UsageError: the model has neither head.
    """
    model, tokenizer, acoustics = recognizer.model, recognizer.tokenizer, recognizer.acoustics
    if "ctc" in model.heads:
        return align_text(
            recognizer.ctc_log_probs(wave),
            text,
            tokenizer,
            acoustics.num_frames(len(wave)),
            frames_per_output=model.stride / model.ctc_frames,
            frame_seconds=acoustics.feature_seconds,
        )
    if recognizer.labels is None or recognizer.counts is None:
        raise UsageError("alignment needs a CTC or a frame head", "train with ctc in model.heads")
    ids, ranges = word_tokens(tokenizer, text)
    spoken, words = without_separators(ranges)
    tokens = [ids[place] for place in spoken]
    log_probs = recognizer.frame_log_probs(wave)
    path = hmm_align(
        log_probs,
        recognizer.labels.classes(tokenizer, tokens),
        breaks={0, *(end for _, _, end in words)},
        log_priors=recognizer.counts.log_priors,
        prior_weight=recognizer.settings.prior_weight,
        min_frames=recognizer.settings.min_frames,
    )
    best = np.exp(log_probs[np.arange(len(log_probs)), path.labels])
    confidence = np.array([best[begin:end].mean() for begin, end in path.spans], np.float32)
    return AlignedText(tokens, words, path.spans, confidence, path.score)


def label_frames(
    recognizer: Recognizer, names: LabelSet, utterances: Iterable[Utterance], failed: list[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Id and frame labels int16[T] of each utterance that can be aligned; others are named in `failed`."""
    for utterance, wave in recognizer.waves(utterances):
        try:
            aligned = align_wave(recognizer, wave, utterance.text)
            classes = names.classes(recognizer.tokenizer, aligned.tokens)
        except DataError as error:
            failed.append(f"{utterance.id}: {error.message}")
            continue
        yield utterance.id, frame_labels(aligned.spans, classes, recognizer.acoustics.num_frames(len(wave)))
