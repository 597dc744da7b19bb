"""A tokenizer in a folder, with the grapheme-to-phoneme model of a phone tokenizer beside it."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from asrkit.recognition.g2p.model import G2p
from asrkit.recognition.text.tokenizer import PhoneTokenizer, Tokenizer, load_tokenizer

G2P_FILE = "g2p.safetensors"


def open_tokenizer(folder: Path | str) -> Tokenizer:
    """Load a tokenizer; with a grapheme-to-phoneme model, a phone tokenizer pronounces unknown words too.

    Args:
        folder: where :meth:`Tokenizer.save` and, if any, :func:`predict_unknown` wrote.

    Raises:
        ModelError: a file is missing, damaged, or inconsistent with the others.
    """
    tokenizer, path = load_tokenizer(folder), Path(folder) / G2P_FILE
    if isinstance(tokenizer, PhoneTokenizer) and path.exists():
        tokenizer.lexicon = replace(tokenizer.lexicon, fallback=G2p.load(path).spoken)
    return tokenizer


def predict_unknown(tokenizer: PhoneTokenizer, words: Iterable[str], folder: Path | str) -> list[str]:
    """Let `tokenizer` pronounce every word, by a model trained on its own lexicon and saved in `folder`.

    The model contains the lexicon. So only `words` remain listed, with predictions for those that were not.

    Returns:
        Those of `words` whose pronunciations are predicted, sorted.

    Raises:
        DataError: a lexicon without pronunciations to train on.
    """
    model = G2p.train(tokenizer.lexicon)
    model.save(Path(folder) / G2P_FILE)
    tokenizer.lexicon = replace(tokenizer.lexicon, fallback=model.spoken).compact(words)
    return sorted(tokenizer.lexicon.predicted)
