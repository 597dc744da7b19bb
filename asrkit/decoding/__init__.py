"""Decoders: the one table of them, and which of them a model's heads allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asrkit.errors import UsageError, nearest

if TYPE_CHECKING:
    from asrkit.config import DecodeConfig
    from asrkit.decoding.hypothesis import Hypothesis
    from asrkit.models.asr import AsrModel, Encoded

    Search = Callable[[AsrModel, Encoded, DecodeConfig, float, int], list[list[Hypothesis]]]


@dataclass(frozen=True)
class Decoder:
    """A decoder a recipe can name.

    Attributes:
        name: its name in ``decode.decoder``.
        needs: heads the model must have.
        search: ``(model, encoded, config, seconds per encoder frame, threads)`` to the n-best list of each
            utterance; imports what it needs when first called.
    """

    name: str
    needs: frozenset[str]
    search: Search


def _ctc_greedy(
    model: AsrModel, encoded: Encoded, config: DecodeConfig, frame_seconds: float, threads: int
) -> list[list[Hypothesis]]:
    from asrkit.decoding.ctc_greedy import ctc_greedy_search

    log_probs = model.ctc_log_probs(encoded).cpu().numpy()
    return ctc_greedy_search(log_probs, encoded.lens.cpu().numpy(), frame_seconds=frame_seconds)


def _ctc_beam(
    model: AsrModel, encoded: Encoded, config: DecodeConfig, frame_seconds: float, threads: int
) -> list[list[Hypothesis]]:
    from asrkit.decoding.ctc_prefix_beam import ctc_prefix_beam_search

    return ctc_prefix_beam_search(
        model.ctc_log_probs(encoded).cpu().numpy(),
        encoded.lens.cpu().numpy(),
        frame_seconds=frame_seconds,
        beam_size=config.beam_size,
        nbest=config.nbest,
        threads=threads,
    )


DECODERS = {
    decoder.name: decoder
    for decoder in (
        Decoder("ctc-greedy", frozenset({"ctc"}), _ctc_greedy),
        Decoder("ctc-beam", frozenset({"ctc"}), _ctc_beam),
    )
}


def decoders_for(heads: Iterable[str]) -> list[str]:
    """Names of the decoders that a model with these heads can use."""
    return [name for name, decoder in DECODERS.items() if decoder.needs <= set(heads)]


def require_decoder(name: str, heads: Iterable[str]) -> Decoder:
    """The decoder of this name.

    Raises:
        UsageError: there is none, or the model lacks a head it needs.
    """
    heads = frozenset(heads)
    if name not in DECODERS:
        raise UsageError(f"unknown decoder {name!r}", nearest(name, DECODERS))
    decoder = DECODERS[name]
    if not decoder.needs <= heads:
        missing = ", ".join(sorted(decoder.needs - heads))
        usable = ", ".join(decoders_for(heads)) or "none"
        raise UsageError(
            f"decoder {name!r} needs the head {missing}, which the model lacks",
            f"decoders that would work: {usable}",
        )
    return decoder
