"""The searches of all decoders, each made from a model and its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asrkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from asrkit.config import DecodeConfig
    from asrkit.recognition.acoustics import AcousticModel, EncodedBatch
    from asrkit.recognition.decoding.hypothesis import Hypothesis
    from asrkit.recognition.decoding.language_model import LanguageModel
    from asrkit.recognition.decoding.rescorer import Rescorer
    from asrkit.recognition.decoding.scorers import Scorer
    from asrkit.recognition.ngram.model import NgramModel
    from asrkit.recognition.text.labels import LabelCounts, LabelSet
    from asrkit.recognition.text.spellings import Spellings
    from asrkit.recognition.text.tokenizer import Tokenizer

    Search = Callable[[EncodedBatch], list[list[Hypothesis]]]
    """Encoder output of a batch to the n-best list of each utterance, the best first; never an empty list."""


@dataclass(frozen=True)
class Resources:
    """What decoders are made from.

    Attributes:
        model: facts about the acoustic model.
        tokenizer: its tokens.
        settings: how to decode.
        frame_seconds: seconds between two encoder frames.
        threads: for decoders that can use several.
        lm: the language model, if any.
        rescorer: the neural language model that rescores n-best lists, if any.
        labels, counts: a frame head's labels, and how often each occurred in training.
        ctc_prior: f32[V], log of the mean CTC posterior of each token.
    """

    model: AcousticModel
    tokenizer: Tokenizer
    settings: DecodeConfig
    frame_seconds: float
    threads: int = 1
    lm: LanguageModel | None = None
    rescorer: Rescorer | None = None
    labels: LabelSet | None = None
    counts: LabelCounts | None = None
    ctc_prior: np.ndarray | None = None


def _ctc_greedy(resources: Resources) -> Search:
    from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search

    seconds = _ctc_frame_seconds(resources)
    return lambda encoded: ctc_greedy_search(*encoded.ctc_log_probs(), frame_seconds=seconds)


def _ctc_beam(resources: Resources) -> Search:
    from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search

    return lambda encoded: ctc_prefix_beam_search(
        *encoded.ctc_log_probs(),
        frame_seconds=_ctc_frame_seconds(resources),
        beam_size=resources.settings.beam_size,
        nbest=resources.settings.nbest,
        threads=resources.threads,
    )


def _attention_greedy(resources: Resources) -> Search:
    from asrkit.recognition.decoding.attention import attention_greedy_search, with_times

    return lambda encoded: [
        with_times(resources.model, encoded.utterance(index), [hypothesis], resources.frame_seconds)
        for index, hypothesis in enumerate(attention_greedy_search(resources.model, encoded))
    ]


def _label_beam(resources: Resources, ctc_weight: float) -> Search:
    """Joint CTC/attention, with shallow fusion of a language model of tokens."""
    from asrkit.recognition.decoding.attention import longest, with_times
    from asrkit.recognition.decoding.ctc_prefix_score import CtcPrefixScorer
    from asrkit.recognition.decoding.label_beam import label_beam_search
    from asrkit.recognition.decoding.scorers import LengthBonus, LoopGuard, TokenModelScorer

    model, settings = resources.model, resources.settings
    weights = {"attention": 1 - ctc_weight, "ctc": ctc_weight}
    weights |= {"lm": settings.lm_weight, "length": settings.length_bonus, "loops": 1.0}
    length, loops = LengthBonus(model.vocab, model.eos), LoopGuard(model.vocab)
    guards: dict[str, Scorer] = {"length": length, "loops": loops}
    lm = resources.lm
    if lm is not None and lm.network is not None:
        guards["lm"] = TokenModelScorer(lm.network)
    elif lm is not None and lm.kind == "token-ngram":
        from asrkit.recognition.decoding.ngram_scorer import TokenNgramScorer

        guards["lm"] = TokenNgramScorer(_ngram(resources), resources.tokenizer.tokens, eos=model.eos)

    def decode(encoded: EncodedBatch) -> list[Hypothesis]:
        scorers: dict[str, Scorer] = {}
        room = int(longest(model, encoded)[0])
        if ctc_weight < 1:
            scorers["attention"] = TokenModelScorer(encoded.attention())
        if ctc_weight > 0:
            log_probs, lens = encoded.ctc_log_probs()
            scorers["ctc"] = CtcPrefixScorer(log_probs[0, : int(lens[0])], eos=model.eos)
            room = int(lens[0])
        hypotheses = label_beam_search(
            scorers | guards,
            weights,
            eos=model.eos,
            beam_size=settings.beam_size,
            max_length=room,
            nbest=settings.nbest,
        )
        return with_times(model, encoded, hypotheses, resources.frame_seconds)

    return lambda encoded: [decode(encoded.utterance(index)) for index in range(len(encoded.lens))]


def _ctc_lexicon(resources: Resources) -> Search:
    """CTC over the words of an n-gram model; a neural language model rescores the n-best list, if any.

    Posteriors divided by the priors to a power stand for likelihoods, as in Miao et al., "EESEN: End-to-end
    speech recognition using deep RNN models and WFST-based decoding", 2015, section 3.3.
    """
    from asrkit.recognition.decoding.ctc_lexicon import CtcLexiconSearch, SecondPass
    from asrkit.recognition.decoding.posteriors import log_softmax

    ngram, settings, share = _ngram(resources), resources.settings, resources.settings.rescorer_share
    if settings.ctc_prior_weight and resources.ctc_prior is None:
        raise UsageError("this model's CTC priors were not measured", "use decode.ctc_prior_weight=0")
    second = None
    if share:
        if resources.rescorer is None:
            raise UsageError("this model has no rescorer", "use decode.rescorer_share=0")
        second = SecondPass(resources.rescorer, share, settings.rescorer_nbest)
    search = CtcLexiconSearch(
        resources.tokenizer.tokens,
        _spellings(resources),
        ngram,
        beam_size=settings.beam_size,
        beam_threshold=settings.beam_threshold,
        lm_weight=settings.lm_weight,
        word_bonus=settings.word_bonus,
        nbest=settings.nbest,
        threads=resources.threads,
        second=second,
    )

    def decode(encoded: EncodedBatch) -> list[list[Hypothesis]]:
        log_probs, lens = encoded.ctc_log_probs()
        if resources.ctc_prior is not None and settings.ctc_prior_weight:
            log_probs = log_softmax(log_probs - settings.ctc_prior_weight * resources.ctc_prior)
        return search(log_probs, lens, _ctc_frame_seconds(resources))

    return decode


def _lexicon_rescoring(resources: Resources) -> Search:
    """The beam of ctc-lexicon, rescored by the attention head."""
    from asrkit.recognition.decoding.attention import rescore, with_times

    model, settings = resources.model, resources.settings
    first_pass = _ctc_lexicon(replace(resources, settings=replace(settings, nbest=settings.beam_size)))

    def decode(encoded: EncodedBatch) -> list[Hypothesis]:
        hypotheses = rescore(encoded, first_pass(encoded)[0], settings.ctc_weight)
        return with_times(model, encoded, hypotheses[: settings.nbest], resources.frame_seconds)

    return lambda encoded: [decode(encoded.utterance(index)) for index in range(len(encoded.lens))]


def _frame_lexicon(resources: Resources) -> Search:
    """Frame labels over the words of an n-gram model."""
    from asrkit.recognition.decoding.frame_lexicon import FrameLexiconSearch

    assert resources.labels is not None and resources.counts is not None
    ngram, settings, labels = _ngram(resources), resources.settings, resources.labels
    spelled = _spellings(resources).lexicon()
    search = FrameLexiconSearch(
        {word: [labels.classes(resources.tokenizer, way) for way in ways] for word, ways in spelled.items()},
        ngram,
        log_priors=resources.counts.log_priors,
        token_ids=labels.token_ids(resources.tokenizer),
        min_frames=settings.min_frames,
        prior_weight=settings.prior_weight,
        beam_size=settings.beam_size,
        lm_weight=settings.lm_weight,
        word_bonus=settings.word_bonus,
    )

    return lambda encoded: search(encoded.frame_log_probs(), encoded.lens, resources.frame_seconds)


def _ngram(resources: Resources) -> NgramModel:
    assert resources.lm is not None and resources.lm.ngram is not None, "checked by require_decoder"
    return resources.lm.ngram


def _spellings(resources: Resources) -> Spellings:
    from asrkit.recognition.text.spellings import spelled

    stored = resources.lm.spellings if resources.lm else None
    return stored or spelled(_ngram(resources).vocabulary, resources.tokenizer)


def _frame_greedy(resources: Resources) -> Search:
    from asrkit.recognition.decoding.frame_viterbi import frame_greedy_search

    assert resources.labels is not None
    ids = resources.labels.token_ids(resources.tokenizer)

    return lambda encoded: frame_greedy_search(
        encoded.frame_log_probs(), encoded.lens, token_ids=ids, frame_seconds=resources.frame_seconds
    )


def _frame_viterbi(resources: Resources) -> Search:
    """A bigram of labels, each of some frames."""
    from asrkit.recognition.decoding.frame_viterbi import frame_viterbi_search

    assert resources.labels is not None and resources.counts is not None
    settings, counts, ids = (
        resources.settings,
        resources.counts,
        resources.labels.token_ids(resources.tokenizer),
    )
    return lambda encoded: frame_viterbi_search(
        encoded.frame_log_probs(),
        encoded.lens,
        log_priors=counts.log_priors,
        bigram=counts.log_bigram,
        token_ids=ids,
        frame_seconds=resources.frame_seconds,
        min_frames=settings.min_frames,
        prior_weight=settings.prior_weight,
        bigram_weight=settings.lm_weight,
    )


def _ctc_frame_seconds(resources: Resources) -> float:
    return resources.frame_seconds / resources.model.ctc_frames


MAKERS: dict[str, Callable[[Resources], Search]] = {
    "ctc-greedy": _ctc_greedy,
    "ctc-beam": _ctc_beam,
    "attention-greedy": _attention_greedy,
    "attention-beam": lambda resources: _label_beam(resources, 0.0),
    "joint": lambda resources: _label_beam(resources, resources.settings.ctc_weight),
    "ctc-lexicon": _ctc_lexicon,
    "lexicon-rescoring": _lexicon_rescoring,
    "frame-greedy": _frame_greedy,
    "frame-viterbi": _frame_viterbi,
    "frame-lexicon": _frame_lexicon,
}
"""The search of each of :data:`asrkit.config.decoders.DECODERS`; imports what it needs when called."""
