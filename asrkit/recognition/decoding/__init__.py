"""The searches of all decoders, each made from a model and its settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from asrkit.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from asrkit.config import DecodeConfig
    from asrkit.learning.lm.neural import LanguageModel
    from asrkit.learning.lm.rescorer import Rescorer
    from asrkit.learning.models.asr import AsrModel
    from asrkit.learning.models.encoded import Encoded
    from asrkit.recognition.decoding.hypothesis import Hypothesis
    from asrkit.recognition.decoding.scorers import Scorer
    from asrkit.recognition.ngram.model import NgramModel
    from asrkit.recognition.text.labels import LabelCounts, LabelSet
    from asrkit.recognition.text.spellings import Spellings
    from asrkit.recognition.text.tokenizer import Tokenizer

    Search = Callable[[Encoded], list[list[Hypothesis]]]
    """Encoder output of a batch to the n-best list of each utterance, the best first; never an empty list."""


@dataclass(frozen=True)
class Resources:
    """What decoders are made from.

    Attributes:
        model: the recogniser.
        tokenizer: its tokens.
        settings: how to decode.
        frame_seconds: seconds between two encoder frames.
        threads: for decoders that can use several.
        lm: its language model, if it has one.
        rescorer: that of its second pass, if it has one.
        labels, counts: a frame head's labels, and how often each came in training.
        ctc_prior: f32[V], log of the mean CTC posterior of each token.
    """

    model: AsrModel
    tokenizer: Tokenizer
    settings: DecodeConfig
    frame_seconds: float
    threads: int = 1
    lm: LanguageModel | None = None
    rescorer: Rescorer | None = None
    labels: LabelSet | None = None
    counts: LabelCounts | None = None
    ctc_prior: Tensor | None = None


def _ctc_greedy(given: Resources) -> Search:
    from asrkit.recognition.decoding.ctc_greedy import ctc_greedy_search

    def search(encoded: Encoded) -> list[list[Hypothesis]]:
        log_probs, lens = given.model.ctc_log_probs(encoded)
        return ctc_greedy_search(
            log_probs.cpu().numpy(), lens.cpu().numpy(), frame_seconds=_ctc_frame_seconds(given)
        )

    return search


def _ctc_beam(given: Resources) -> Search:
    from asrkit.recognition.decoding.ctc_prefix_beam import ctc_prefix_beam_search

    def search(encoded: Encoded) -> list[list[Hypothesis]]:
        log_probs, lens = given.model.ctc_log_probs(encoded)
        return ctc_prefix_beam_search(
            log_probs.cpu().numpy(),
            lens.cpu().numpy(),
            frame_seconds=_ctc_frame_seconds(given),
            beam_size=given.settings.beam_size,
            nbest=given.settings.nbest,
            threads=given.threads,
        )

    return search


def _attention_greedy(given: Resources) -> Search:
    from asrkit.recognition.decoding.attention import attention_greedy_search, with_times

    def search(encoded: Encoded) -> list[list[Hypothesis]]:
        return [
            with_times(given.model, encoded.utterance(index), [hypothesis], given.frame_seconds)
            for index, hypothesis in enumerate(attention_greedy_search(given.model, encoded))
        ]

    return search


def _label_beam(given: Resources, ctc_weight: float) -> Search:
    """Attention, CTC by its weight, and the language model if it is of tokens, in one search."""
    from asrkit.recognition.decoding.attention import DecoderScorer, longest, with_times
    from asrkit.recognition.decoding.ctc_prefix_score import CtcPrefixScorer
    from asrkit.recognition.decoding.label_beam import label_beam_search
    from asrkit.recognition.decoding.scorers import LengthBonus, LoopGuard

    model, settings = given.model, given.settings
    weights = {
        "attention": 1 - ctc_weight,
        "ctc": ctc_weight,
        "lm": settings.lm_weight,
        "length": settings.length_bonus,
        "loops": 1.0,
    }
    guards: dict[str, Scorer] = {
        "length": LengthBonus(model.vocab, model.eos),
        "loops": LoopGuard(model.vocab),
    }
    if given.lm is not None and given.lm.network is not None:
        guards["lm"] = DecoderScorer(given.lm.network.decoder, model.eos)
    elif given.lm is not None and given.lm.kind == "token-ngram":
        from asrkit.recognition.decoding.ngram_scorer import TokenNgramScorer

        assert given.lm.ngram is not None
        guards["lm"] = TokenNgramScorer(given.lm.ngram, given.tokenizer.tokens, eos=model.eos)

    def decode(encoded: Encoded) -> list[Hypothesis]:
        scorers: dict[str, Scorer] = {}
        room = int(longest(model, encoded))
        if ctc_weight < 1:
            scorers["attention"] = DecoderScorer(model.decoder, model.eos, encoded)
        if ctc_weight > 0:
            log_probs, lens = model.ctc_log_probs(encoded)
            scorers["ctc"] = CtcPrefixScorer(log_probs[0, : int(lens[0])], eos=model.eos)
            room = int(lens[0])
        found = label_beam_search(
            scorers | guards,
            weights,
            eos=model.eos,
            beam_size=settings.beam_size,
            max_length=room,
            nbest=settings.nbest,
        )
        return with_times(model, encoded, found, given.frame_seconds)

    return lambda encoded: [decode(encoded.utterance(index)) for index in range(len(encoded.lens))]


def _attention_beam(given: Resources) -> Search:
    return _label_beam(given, ctc_weight=0.0)


def _joint(given: Resources) -> Search:
    return _label_beam(given, given.settings.ctc_weight)


def _ctc_lexicon(given: Resources) -> Search:
    """CTC over the words of the language model, weighed by it; what is found, the second pass orders anew.

    Posteriors less a share of the priors stand for likelihoods, as in Miao et al., "EESEN: End-to-end speech
    recognition using deep RNN models and WFST-based decoding", 2015, section 3.3.
    """
    from asrkit.recognition.decoding.ctc_lexicon import CtcLexiconSearch, SecondPass

    ngram, settings, share = _word_ngram(given), given.settings, given.settings.rescorer_share
    if settings.ctc_prior_weight and given.ctc_prior is None:
        raise UsageError("this model's CTC priors were not measured", "use decode.ctc_prior_weight=0")
    second = None
    if share:
        if given.rescorer is None:
            raise UsageError("this model has no rescorer", "use decode.rescorer_share=0")
        second = SecondPass(given.rescorer, share, settings.rescorer_nbest)
    search = CtcLexiconSearch(
        given.tokenizer.tokens,
        _spellings(given),
        ngram,
        beam_size=settings.beam_size,
        beam_threshold=settings.beam_threshold,
        lm_weight=settings.lm_weight,
        word_bonus=settings.word_bonus,
        nbest=settings.nbest,
        threads=given.threads,
        second=second,
    )

    def decode(encoded: Encoded) -> list[list[Hypothesis]]:
        log_probs, lens = given.model.ctc_log_probs(encoded)
        if given.ctc_prior is not None and settings.ctc_prior_weight:
            scaled = log_probs - settings.ctc_prior_weight * given.ctc_prior.to(log_probs.device)
            log_probs = scaled.log_softmax(dim=-1)
        return search(log_probs.cpu().numpy(), lens.cpu().numpy(), _ctc_frame_seconds(given))

    return decode


def _lexicon_rescoring(given: Resources) -> Search:
    """The beam of ctc-lexicon, ordered by the attention decoder as well."""
    from asrkit.recognition.decoding.attention import rescore, with_times

    model, settings = given.model, given.settings
    first_pass = _ctc_lexicon(replace(given, settings=replace(settings, nbest=settings.beam_size)))

    def decode(encoded: Encoded) -> list[Hypothesis]:
        found = rescore(model, encoded, first_pass(encoded)[0], settings.ctc_weight)
        return with_times(model, encoded, found[: settings.nbest], given.frame_seconds)

    return lambda encoded: [decode(encoded.utterance(index)) for index in range(len(encoded.lens))]


def _frame_lexicon(given: Resources) -> Search:
    """Frame labels over the words of the language model, weighed by it."""
    from asrkit.recognition.decoding.frame_lexicon import FrameLexiconSearch

    assert given.labels is not None and given.counts is not None
    ngram, settings, labels = _word_ngram(given), given.settings, given.labels
    spelled = _spellings(given).lexicon()
    search = FrameLexiconSearch(
        {word: [labels.classes(given.tokenizer, way) for way in ways] for word, ways in spelled.items()},
        ngram,
        log_priors=given.counts.log_priors,
        token_ids=labels.token_ids(given.tokenizer),
        min_frames=settings.min_frames,
        prior_weight=settings.prior_weight,
        beam_size=settings.beam_size,
        lm_weight=settings.lm_weight,
        word_bonus=settings.word_bonus,
    )

    def decode(encoded: Encoded) -> list[list[Hypothesis]]:
        log_probs = given.model.frame_log_probs(encoded)
        return search(log_probs.cpu().numpy(), encoded.lens.cpu().numpy(), given.frame_seconds)

    return decode


def _word_ngram(given: Resources) -> NgramModel:
    assert given.lm is not None and given.lm.ngram is not None, "checked by require_decoder"
    return given.lm.ngram


def _spellings(given: Resources) -> Spellings:
    from asrkit.recognition.text.spellings import spelled

    known = given.lm.spellings if given.lm else None
    return known or spelled(_word_ngram(given).vocabulary, given.tokenizer)


def _frame_greedy(given: Resources) -> Search:
    from asrkit.recognition.decoding.frame_viterbi import frame_greedy_search

    assert given.labels is not None
    ids = given.labels.token_ids(given.tokenizer)

    def search(encoded: Encoded) -> list[list[Hypothesis]]:
        return frame_greedy_search(
            given.model.frame_log_probs(encoded).cpu().numpy(),
            encoded.lens.cpu().numpy(),
            token_ids=ids,
            frame_seconds=given.frame_seconds,
        )

    return search


def _frame_viterbi(given: Resources) -> Search:
    """A bigram of labels, each of some frames."""
    from asrkit.recognition.decoding.frame_viterbi import frame_viterbi_search

    assert given.labels is not None and given.counts is not None
    settings, counts, ids = given.settings, given.counts, given.labels.token_ids(given.tokenizer)

    def search(encoded: Encoded) -> list[list[Hypothesis]]:
        return frame_viterbi_search(
            given.model.frame_log_probs(encoded).cpu().numpy(),
            encoded.lens.cpu().numpy(),
            log_priors=counts.log_priors,
            bigram=counts.log_bigram,
            token_ids=ids,
            frame_seconds=given.frame_seconds,
            min_frames=settings.min_frames,
            prior_weight=settings.prior_weight,
            bigram_weight=settings.lm_weight,
        )

    return search


def _ctc_frame_seconds(given: Resources) -> float:
    return given.frame_seconds / given.model.config.ctc_frames


MAKERS: dict[str, Callable[[Resources], Search]] = {
    "ctc-greedy": _ctc_greedy,
    "ctc-beam": _ctc_beam,
    "attention-greedy": _attention_greedy,
    "attention-beam": _attention_beam,
    "joint": _joint,
    "ctc-lexicon": _ctc_lexicon,
    "lexicon-rescoring": _lexicon_rescoring,
    "frame-greedy": _frame_greedy,
    "frame-viterbi": _frame_viterbi,
    "frame-lexicon": _frame_lexicon,
}
"""The search of each of :data:`asrkit.config.decoders.DECODERS`; imports what it needs when called."""
