"""Facts about the decoders a recipe can name: what each needs, and which settings it uses.

The searches themselves are made in :mod:`asrkit.recognition.decoding`, under the same names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from asrkit.errors import UsageError, nearest

CTC, ATTENTION, FRAME = (frozenset({head}) for head in ("ctc", "attention", "frame"))
WORDS = frozenset({"word-ngram"})
FUSED = frozenset({"token-ngram", "lstm", "transformer"})
"""Kinds of language model for shallow fusion in label-synchronous search."""


@dataclass(frozen=True)
class Decoder:
    """A decoder a recipe can name.

    Attributes:
        name: its name in ``decode.decoder``.
        needs: heads the model must have.
        weights: settings that change its result; ``lm_weight`` also belongs to a fused language model.
        lm: kinds of language model it needs one of; empty: none.
        beam: it has a beam, and can return n-best lists.
        words: its output is words, whatever the tokens.
    """

    name: str
    needs: frozenset[str]
    weights: frozenset[str]
    lm: frozenset[str] = frozenset()
    beam: bool = True
    words: bool = False

    @property
    def peaky(self) -> bool:
        """Its times say where a token was emitted, not from when to when it sounds."""
        return FRAME.isdisjoint(self.needs)


def _decoder(name: str, needs: frozenset[str], weights: str, **facts: Any) -> Decoder:
    return Decoder(name, needs, frozenset(weights.split()), **facts)


LEXICON = "beam_size lm_weight word_bonus"
DECODERS = {
    decoder.name: decoder
    for decoder in (
        _decoder("ctc-greedy", CTC, "", beam=False),
        _decoder("ctc-beam", CTC, "beam_size"),
        _decoder("attention-greedy", ATTENTION, "", beam=False),
        _decoder("attention-beam", ATTENTION, "beam_size lm_weight length_bonus"),
        _decoder("joint", CTC | ATTENTION, "beam_size lm_weight length_bonus ctc_weight"),
        _decoder(
            "ctc-lexicon",
            CTC,
            f"{LEXICON} beam_threshold ctc_prior_weight rescorer_share rescorer_nbest",
            lm=WORDS,
            words=True,
        ),
        _decoder(
            "lexicon-rescoring",
            CTC | ATTENTION,
            f"{LEXICON} beam_threshold ctc_prior_weight ctc_weight",
            lm=WORDS,
            words=True,
        ),
        _decoder("frame-greedy", FRAME, "", beam=False),
        _decoder("frame-viterbi", FRAME, "lm_weight prior_weight min_frames", beam=False),
        _decoder(
            "frame-lexicon", FRAME, f"{LEXICON} prior_weight min_frames", lm=WORDS, beam=False, words=True
        ),
    )
}


def refuse_idle_weights(names: Iterable[str], decoder: str, lm: str) -> None:
    """Refuse settings that a decoder ignores with this kind of language model.

    Raises:
        UsageError: it names the first, and those that the decoder uses.
    """
    useful = set(DECODERS[decoder].weights)
    if decoder in ("attention-beam", "joint") and lm not in FUSED:
        useful -= {"lm_weight"}
    for name in names:
        if name not in useful:
            used = ", ".join(sorted(useful)) or "none"
            raise UsageError(f"{name} is ignored by {decoder} with lm.kind={lm}", f"settings it uses: {used}")


def decoders_for(heads: Iterable[str], lm: str = "none") -> list[str]:
    """Names of the decoders that a model with these heads and this kind of language model can use."""
    return [d.name for d in DECODERS.values() if d.needs <= set(heads) and (not d.lm or lm in d.lm)]


def require_decoder(name: str, heads: Iterable[str], lm: str = "none") -> Decoder:
    """The decoder of this name.

    Raises:
        UsageError: it does not exist, or needs a head or a language model that the model lacks.
    """
    heads = frozenset(heads)
    if name not in DECODERS:
        raise UsageError(f"unknown decoder {name!r}", nearest(name, DECODERS))
    decoder = DECODERS[name]
    missing = ["the head " + ", ".join(sorted(decoder.needs - heads))] if not decoder.needs <= heads else []
    if decoder.lm and lm not in decoder.lm:
        missing.append("a language model of kind " + " or ".join(sorted(decoder.lm)))
    if missing:
        usable = ", ".join(decoders_for(heads, lm)) or "none"
        raise UsageError(
            f"decoder {name!r} needs {' and '.join(missing)}, which the model lacks",
            f"decoders that would work: {usable}",
        )
    return decoder
