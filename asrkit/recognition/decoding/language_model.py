"""The language model that a recogniser decodes with."""

from dataclasses import dataclass

from asrkit.recognition.acoustics import TokenModel
from asrkit.recognition.ngram.model import NgramModel
from asrkit.recognition.text.spellings import Spellings


@dataclass(frozen=True)
class LanguageModel:
    """A recogniser's language model.

    Attributes:
        kind: as in ``lm.kind``.
        ngram: an n-gram model, of words or of tokens.
        spellings: its words in the recogniser's tokens, if the stage lm stored them.
        network: a neural model.
    """

    kind: str
    ngram: NgramModel | None = None
    spellings: Spellings | None = None
    network: TokenModel | None = None
