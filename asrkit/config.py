"""The whole configuration on one page: what a recipe may say, what it means, and how it is read.

A configuration is built in layers, each refusing keys the schema below does not know:

1. the defaults written here,
2. the fragments that the recipe's ``base`` names, from ``conf/<section>/<name>.yaml``, then the recipe,
3. the recipe's variant, where it has some: ``task=NAME`` for ``<recipe>/task/NAME.yaml``,
4. overrides from the command line: ``train.lr=1e-3``, or ``model=NAME`` to change a fragment.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asrkit.errors import ConfigError, nearest


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A documented field; `choices`, `low` and `high` (inclusive) are checked by :func:`validate`."""
    metadata = {"help": help, "choices": choices, "low": low, "high": high}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def section(kind: type) -> Any:
    return field(default_factory=kind)


@dataclass
class CorpusConfig:
    name: str = option("folder", "corpus reader, one of asrkit.data.corpora.CORPORA")
    path: str = option(
        "", "folder or archive below --data, or an absolute path; empty: the reader's usual name"
    )
    url: str = option(
        "",
        "where to download from; empty: the reader's own source. Of a corpus with an archive a subset, the "
        "address that they lie below",
    )
    sha256: str = option("", "expected checksum of the download; empty: the reader's own")
    train: list[str] = option(["train"], "subsets trained on; NAME? is used where it is there")
    dev: list[str] = option(["dev"], "subsets for early stopping and tuning; NAME? as in train")
    test: list[str] = option(["test"], "subsets reported; NAME? as in train")
    submission: str = option(
        "",
        "header of the file to hand in, id,label; empty: that of the sample found with the data (cmu11785)",
    )


@dataclass
class TextConfig:
    normalizer: str = option("english", "text normalisation, one of asrkit.text.normalize.NORMALIZERS")
    tokenizer: str = option("char", "token unit", choices=("char", "phone", "word", "bpe", "unigram"))
    vocab_size: int = option(500, "sub-word vocabulary size (bpe, unigram)", low=8)
    lexicon: str = option("", "pronunciation file `word p h o n e s`; empty: CMUdict (phone)")
    cmudict: bool = option(False, "look up in CMUdict what text.lexicon does not list (phone)")
    g2p: bool = option(True, "predict the pronunciations of words that are not listed (phone)")
    stress: bool = option(False, "keep stress digits on vowels (phone)")


@dataclass
class FeatureConfig:
    kind: str = option(
        "fbank",
        "fbank: Kaldi log-mel; mel: librosa log-mel; mfcc: Kaldi MFCC; given: the corpus brings features",
        choices=("fbank", "mel", "mfcc", "given"),
    )
    given_dim: int = option(0, "numbers in a frame (given); 0: those of the corpus's first file", low=0)
    sample_rate: int = option(16000, "Hz; other rates are resampled", low=1000)
    mel_bins: int = option(80, "mel filters", low=1)
    cepstra: int = option(13, "cepstral coefficients kept (mfcc)", low=1)
    frame_ms: float = option(25.0, "window length in milliseconds", low=1)
    shift_ms: float = option(10.0, "frame shift in milliseconds", low=1)
    low_hz: float = option(20.0, "lower edge of the filters", low=0)
    high_hz: float = option(0.0, "upper edge of the filters; 0 or less: counted from half the sample rate")
    preemphasis: float = option(0.97, "pre-emphasis coefficient (fbank, mfcc)", low=0, high=1)
    cmvn: str = option("global", "mean and variance normalisation", choices=("none", "utterance", "global"))

    @property
    def top_hz(self) -> float:
        """Upper edge of the filters in Hz."""
        return self.high_hz if self.high_hz > 0 else self.sample_rate / 2 + self.high_hz

    @property
    def dim(self) -> int:
        """Numbers in a feature frame."""
        return {"mfcc": self.cepstra, "given": self.given_dim}.get(self.kind, self.mel_bins)

    @property
    def signal_rate(self) -> float:
        """Values a second of what the front end is given: samples, or frames of given features."""
        return 1000 / self.shift_ms if self.kind == "given" else self.sample_rate


@dataclass
class CheckConfig:
    policy: str = option(
        "drop", "drop: leave the utterance out and count it; stop: refuse to train", choices=("drop", "stop")
    )
    max_seconds: float = option(30.0, "longest utterance trained on", low=0)
    min_seconds: float = option(0.1, "shortest utterance trained on", low=0)


@dataclass
class PyramidConfig:
    embed_channels: int = option(128, "width of the convolutional embedding; 0: none", low=0)
    embed_blocks: int = option(2, "residual blocks in the embedding", low=0)
    embed_stride: int = option(2, "time stride of the embedding", low=1)
    hidden: int = option(256, "LSTM cells per direction", low=1)
    layers: int = option(3, "bidirectional LSTM layers", low=1)
    pyramid_layers: int = option(1, "layers, from the second on, that first join frames in pairs", low=0)
    dropout: float = option(0.3, "dropout between layers", low=0, high=0.99)


@dataclass
class MlpConfig:
    context: int = option(12, "frames seen on either side", low=0)
    hidden: int = option(1024, "width of the layers", low=1)
    layers: int = option(3, "layers", low=1)
    dropout: float = option(0.2, "dropout after each layer", low=0, high=0.99)


@dataclass
class TransformerConfig:
    subsampling: str = option(
        "conv1d",
        "how frames are made fewer; stack: joined; conv1d: convolutions over time; conv2d: over time and "
        "frequency; separable: the same, depthwise",
        choices=("stack", "conv1d", "conv2d", "separable"),
    )
    factor: int = option(4, "feature frames to one encoder frame, a power of 2 unless stacked", low=1)
    channels: int = option(64, "channels of the convolutions (conv2d, separable)", low=1)
    dim: int = option(144, "width", low=2)
    layers: int = option(12, "blocks", low=1)
    heads: int = option(4, "attention heads", low=1)
    ff: int = option(576, "width inside the feed-forward networks", low=1)
    positions: str = option(
        "rotary",
        "rotary: attention sees distances; sinusoidal: absolute places",
        choices=("rotary", "sinusoidal"),
    )
    attention: str = option(
        "softmax",
        "softmax: exact; taylor: its first-order approximation, linear in the length",
        choices=("softmax", "taylor"),
    )
    dropout: float = option(0.1, "element-wise dropout", low=0, high=0.99)
    layer_drop: float = option(
        0.0, "probability to leave a residual branch out of an update", low=0, high=0.99
    )


@dataclass
class ConformerConfig(TransformerConfig):
    kernel: int = option(15, "width of the depthwise convolutions in frames, odd", low=1)


@dataclass
class LstmDecoderConfig:
    embed: int = option(128, "width of the token embedding", low=1)
    hidden: int = option(256, "LSTM cells and width of the attention", low=1)
    layers: int = option(1, "LSTM layers", low=1)
    attention: str = option("location", "how frames are weighed", choices=("dot", "additive", "location"))
    heads: int = option(1, "attention heads", low=1)
    input_feeding: bool = option(True, "the LSTM sees the last context beside the token")
    scheduled_sampling: float = option(
        0.1, "probability in training to go on from the model's own last token", low=0, high=1
    )
    dropout: float = option(0.2, "dropout", low=0, high=0.99)


@dataclass
class TransformerDecoderConfig:
    dim: int = option(144, "width", low=2)
    layers: int = option(4, "layers", low=1)
    heads: int = option(4, "attention heads", low=1)
    ff: int = option(576, "width inside the feed-forward networks", low=1)
    look_back: str = option(
        "attention",
        "what sees the tokens so far: causal self-attention, or an LSTM in its place",
        choices=("attention", "lstm"),
    )
    dropout: float = option(0.1, "element-wise dropout", low=0, high=0.99)
    layer_drop: float = option(
        0.0, "probability to leave a residual branch out of an update", low=0, high=0.99
    )


@dataclass
class ModelConfig:
    encoder: str = option(
        "pyramid",
        "encoder, one of asrkit.models.asr.ENCODERS",
        choices=("mlp", "pyramid", "transformer", "conformer"),
    )
    heads: list[str] = option(["ctc"], "output heads: frame, ctc, attention")
    decoder: str = option(
        "transformer",
        "attention head, one of asrkit.models.asr.ATTENTION_DECODERS",
        choices=("lstm", "transformer"),
    )
    ctc_weight: float = option(0.3, "share of CTC in the loss beside attention", low=0, high=1)
    ctc_frames: int = option(1, "CTC output frames to one encoder frame", low=1)
    label_smoothing: float = option(
        0.1, "share of the target spread over all tokens (attention)", low=0, high=1
    )
    decoder_from_lm: bool = option(
        False, "the attention head (transformer) starts with the language model's weights"
    )
    lm_share: float = option(
        0.0,
        "share of updates in which the attention head (transformer) sees no encoder, as a language model",
        low=0,
        high=0.9,
    )
    mlp: MlpConfig = section(MlpConfig)
    pyramid: PyramidConfig = section(PyramidConfig)
    transformer: TransformerConfig = section(TransformerConfig)
    conformer: ConformerConfig = section(ConformerConfig)
    lstm_decoder: LstmDecoderConfig = section(LstmDecoderConfig)
    transformer_decoder: TransformerDecoderConfig = section(TransformerDecoderConfig)


@dataclass
class AugmentConfig:
    speeds: list[float] = option(
        [0.9, 1.0, 1.1], "speed perturbation factors, one drawn per utterance and epoch"
    )
    time_masks: int = option(2, "SpecAugment time masks", low=0)
    time_width: float = option(0.05, "widest time mask, as a share of the utterance", low=0, high=1)
    freq_masks: int = option(2, "SpecAugment frequency masks", low=0)
    freq_width: int = option(15, "widest frequency mask in bins", low=0)


@dataclass
class TrainConfig:
    epochs: int = option(60, "passes over the training set", low=1)
    max_steps: int = option(0, "stop after this many updates; 0: no limit", low=0)
    max_minutes: float = option(0.0, "stop after this much training time; 0: no limit", low=0)
    batch_seconds: float = option(120.0, "audio in one batch, padding included", low=0.1)
    accumulate: int = option(1, "batches per update", low=1)
    optimizer: str = option("adamw", "optimiser", choices=("adamw", "sgd"))
    lr: float = option(1e-3, "peak learning rate", low=0)
    weight_decay: float = option(1e-2, "decoupled weight decay", low=0)
    schedule: str = option(
        "onecycle", "learning rate over time", choices=("constant", "noam", "onecycle", "plateau")
    )
    warmup_steps: int = option(300, "updates until the peak learning rate", low=0)
    plateau_patience: int = option(3, "epochs without improvement before the rate is halved (plateau)", low=0)
    clip: float = option(5.0, "largest gradient norm", low=0)
    precision: str = option(
        "auto", "arithmetic; auto: bf16 where the hardware has it", choices=("auto", "fp32", "bf16", "fp16")
    )
    early_stop: int = option(0, "stop after this many epochs without improvement; 0: never", low=0)
    average: int = option(5, "best checkpoints averaged at the end", low=1)
    save_steps: int = option(200, "updates between checkpoints, besides each epoch's end", low=1)
    log_steps: int = option(20, "updates between lines in metrics.jsonl", low=1)
    nan_patience: int = option(5, "batches with a non-finite loss skipped before training stops", low=0)
    attention_maps: int = option(
        2, "dev utterances whose attention is drawn after each epoch, into plots/attention", low=0
    )
    tensorboard: bool = option(False, "write TensorBoard events too (needs the tensorboard extra)")


@dataclass
class LmConfig:
    kind: str = option(
        "none",
        "language model; n-grams of words (for lexicon decoders) or tokens, or a neural model of tokens",
        choices=("none", "word-ngram", "token-ngram", "lstm", "transformer"),
    )
    order: int = option(3, "longest n-gram", low=1, high=5)
    text: list[str] = option(
        [],
        "text files, a sentence a line, plain, .gz or .xz, below the recipe or --data; NAME? is used where "
        "it is there; empty: the training transcripts",
    )
    max_words: int = option(
        0, "most frequent words of the texts kept beside those of the transcripts; 0: all (word-ngram)", low=0
    )
    prune: list[int] = option(
        [0], "n-grams that occur at most so often are left out: a number an order, the last for the rest"
    )
    entropy_prune: float = option(
        0.0, "n-grams that matter less to the perplexity are left out, 1e-8 or so; 0: none", low=0
    )
    bits: int = option(0, "bits of a stored n-gram value, 8 is nearly lossless; 0: exact", low=0, high=16)
    model: TransformerDecoderConfig = section(TransformerDecoderConfig)
    train: TrainConfig = section(TrainConfig)


@dataclass
class DecodeConfig:
    decoder: str = option("ctc-greedy", "decoder, one of asrkit.decoding.DECODERS")
    beam_size: int = option(10, "hypotheses kept", low=1)
    nbest: int = option(1, "hypotheses returned", low=1)
    batch_seconds: float = option(120.0, "audio decoded at once", low=0.1)
    ctc_weight: float = option(
        0.3, "weight of CTC beside attention (joint, lexicon-rescoring)", low=0, high=1
    )
    lm_weight: float = option(
        0.5, "weight of the language model, if there is one; of the label bigram (frame-viterbi)", low=0
    )
    length_bonus: float = option(0.0, "added for each token (attention-beam, joint)", low=0)
    word_bonus: float = option(0.0, "added for each word (lexicon decoders)")
    prior_weight: float = option(0.5, "share of the label priors taken off the posteriors (frame)", low=0)
    min_frames: int = option(3, "shortest label in frames (frame-viterbi)", low=1)
    also: list[str] = option([], "further decoders reported beside the first")
    tune: dict[str, list[float]] = option(
        {}, "weights tuned on the dev sets before anything is tested: name -> values tried"
    )


@dataclass
class AlignConfig:
    """Where a frame head's labels come from."""

    model: str = option(
        "default",
        "trained model whose alignments give the frame labels: a path, or the tag of another experiment",
    )
    labels: str = option(
        "",
        "file of frame labels, `id label label …`, in place of a model's alignments; corpus: those it brings",
    )


@dataclass
class ScoreConfig:
    units: list[str] = option(
        ["word", "char"], "units of error: word, char, phone; the first is the main one"
    )
    similarity: bool = option(
        False, "report string similarities (Jaccard, cosine, Damerau-Levenshtein) beside the error rates"
    )
    bootstrap: int = option(1000, "bootstrap samples for the confidence interval", low=0)


@dataclass
class Config:
    """A recipe. ``base`` maps a section to the fragment in ``conf/<section>/`` it starts from."""

    name: str = option("", "name shown in results; empty: the recipe folder's")
    seed: int = option(1, "the one source of randomness", low=0)
    base: dict[str, str] = option({}, "fragment each section starts from")
    corpus: CorpusConfig = section(CorpusConfig)
    text: TextConfig = section(TextConfig)
    features: FeatureConfig = section(FeatureConfig)
    check: CheckConfig = section(CheckConfig)
    model: ModelConfig = section(ModelConfig)
    augment: AugmentConfig = section(AugmentConfig)
    train: TrainConfig = section(TrainConfig)
    lm: LmConfig = section(LmConfig)
    align: AlignConfig = section(AlignConfig)
    decode: DecodeConfig = section(DecodeConfig)
    score: ScoreConfig = section(ScoreConfig)


def keys(config: Any, prefix: str = "") -> dict[str, dataclasses.Field[Any]]:
    """Every dotted key of a configuration (class or instance) and the field that documents it."""
    found: dict[str, dataclasses.Field[Any]] = {}
    kind = config if isinstance(config, type) else type(config)
    for item in dataclasses.fields(kind):
        name = prefix + item.name
        nested = item.default_factory
        if dataclasses.is_dataclass(nested):
            found |= keys(nested, name + ".")
        else:
            found[name] = item
    return found


def value(config: Any, key: str) -> Any:
    """The value of a dotted key."""
    for part in key.split("."):
        config = getattr(config, part)
    return config


def unused_shapes(model: ModelConfig) -> list[str]:
    """Sections of ``model`` that describe encoders and decoders which this model does not have."""
    used = {model.encoder, f"{model.decoder}_decoder" if "attention" in model.heads else ""}
    sections = [f.name for f in dataclasses.fields(model) if dataclasses.is_dataclass(f.default_factory)]
    return [name for name in sections if name not in used]


def load_config(recipe: Path, overrides: tuple[str, ...] = (), fragments: Path | None = None) -> Config:
    """Read ``recipe.yaml`` (or any YAML file of its form) with its fragments and overrides.

    Args:
        recipe: the YAML file.
        overrides: ``key=value`` words; a bare section name (``model=las``) picks a fragment, and with it the
            fragments of other sections that its ``with`` names, unless they are chosen too. The name of
            a folder of the recipe that is no section picks a variant from it: a YAML file of the recipe's
            form, whose ``with`` names fragments in the same way.
        fragments: the ``conf`` folder that ``base`` refers to.

    Raises:
        ConfigError: unknown key, wrong type, value out of range or impossible combination.
    """
    given = _read_yaml(recipe)
    base = {str(k): str(v) for k, v in (given.get("base") or {}).items()}
    variants = _variants(recipe.parent)
    chosen, dotted = {}, []
    for word in overrides:
        key, equals, setting = word.partition("=")
        if not equals:
            raise ConfigError(f"not an override: {word!r}", "write key=value, for example train.lr=1e-3")
        if key in (*_sections(), *variants):
            chosen[key] = setting
        else:
            dotted.append(word)
    for name in base:
        if name not in (*_sections(), *variants):
            raise ConfigError(f"unknown section in base: {name!r}, in {recipe}", nearest(name, _sections()))
    picked = {name: fragment for name, fragment in (base | chosen).items() if name in variants}
    own = {name: _fragment(recipe.parent, name, variant) for name, variant in picked.items()}
    base, chosen = ({n: f for n, f in names.items() if n not in picked} for names in (base, chosen))
    suited = [_fragment(fragments, name, fragment).get("with", {}) for name, fragment in chosen.items()]
    for names in (*(content.pop("with", {}) for content in own.values()), *suited, chosen):
        base |= names
    layers = []
    for name, fragment in base.items():
        content = _fragment(fragments, name, fragment)
        content.pop("with", None)
        layers.append(({name: content}, f"conf/{name}/{fragment}.yaml"))
    layers.append((given | {"base": base | picked}, str(recipe)))
    layers += [(own[name], f"{name}/{variant}.yaml") for name, variant in picked.items()]
    return _merge(layers, dotted)


def parse_config(text: str, source: str) -> Config:
    """Read a full configuration back from the YAML text that :func:`to_yaml` wrote."""
    import yaml

    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {source}", "see the file's syntax") from error
    return _merge([(content, source)], [])


def to_yaml(config: Config) -> str:
    """The complete configuration as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))


def difference(config: Config) -> dict[str, tuple[Any, Any]]:
    """Keys whose value is not the default: key -> (default, value)."""
    default = Config()
    pairs = {key: (value(default, key), value(config, key)) for key in keys(Config)}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def validate(config: Config) -> None:
    """Check every value's range and choices, and the combinations that cannot work.

    Raises:
        ConfigError: naming the key and the nearest valid choice.
    """
    for key, item in keys(Config).items():
        _validate_value(key, value(config, key), item.metadata)
    for name, numbers in config.decode.tune.items():
        with_weights(config.decode, {name: 0.0})
        if not numbers:
            raise ConfigError(f"decode.tune.{name} has no values", "write a list, for example [0.3, 0.6]")
        for number in numbers:
            _validate_value(f"decode.tune.{name}", number, keys(DecodeConfig)[name].metadata)
    _validate_names(config)
    _validate_combinations(config)


def _validate_value(key: str, current: Any, meta: Mapping[str, Any]) -> None:
    if meta["choices"] and current not in meta["choices"]:
        raise ConfigError(f"{key}={current}: not a choice", nearest(str(current), meta["choices"]))
    for bound, wrong, word in ((meta["low"], "below", "least"), (meta["high"], "above", "most")):
        if bound is not None and (current < bound if wrong == "below" else current > bound):
            raise ConfigError(f"{key}={current}: {wrong} {bound:g}", f"the {word} value is {bound:g}")


def _validate_names(config: Config) -> None:
    from asrkit.data.corpora import CORPORA
    from asrkit.decoding import refuse_idle_weights, require_decoder
    from asrkit.text.normalize import NORMALIZERS

    for key, table in (("corpus.name", CORPORA), ("text.normalizer", NORMALIZERS)):
        if value(config, key) not in table:
            raise ConfigError(f"{key}={value(config, key)}: unknown", nearest(value(config, key), table))
    for key, known in (
        ("model.heads", ("ctc", "attention", "frame")),
        ("score.units", ("word", "char", "phone")),
    ):
        for name in value(config, key):
            if name not in known:
                raise ConfigError(f"{key}: unknown {name!r}", nearest(name, known))
        if not value(config, key):
            raise ConfigError(f"{key} is empty", "choose one of: " + ", ".join(known))
    for name in [config.decode.decoder, *config.decode.also]:
        require_decoder(name, config.model.heads, config.lm.kind)
    refuse_idle_weights(config.decode.tune, config.decode.decoder, config.lm.kind)


def _validate_combinations(config: Config) -> None:
    features, model, decode = config.features, config.model, config.decode
    nyquist = features.sample_rate / 2
    problems = (
        (
            not features.low_hz < features.top_hz <= nyquist,
            "features.low_hz and features.high_hz",
            f"the filters need low_hz < high_hz <= {nyquist:g} Hz, half of features.sample_rate",
        ),
        (
            features.shift_ms > features.frame_ms,
            "features.shift_ms is longer than features.frame_ms",
            "frames would skip audio; use a shift of at most the window",
        ),
        (
            features.kind == "mfcc" and features.cepstra > features.mel_bins,
            "features.cepstra is more than features.mel_bins",
            "keep at most as many cepstra as mel bins",
        ),
        (
            model.pyramid.pyramid_layers >= model.pyramid.layers,
            "model.pyramid.pyramid_layers is not below model.pyramid.layers",
            "the first layer joins nothing; every later one may",
        ),
        (
            any(c.dim % (2 * c.heads) for c in (model.transformer, model.conformer)),
            "model.transformer.dim (or conformer) is not an even number for each head",
            "choose a width divisible by twice the heads",
        ),
        (
            any(c.dim % c.heads for c in (model.transformer_decoder, config.lm.model))
            or model.lstm_decoder.hidden % model.lstm_decoder.heads > 0,
            "a decoder's width is not divisible by its heads",
            "see model.transformer_decoder, model.lstm_decoder and lm.model",
        ),
        (
            any(
                c.subsampling != "stack" and c.factor & (c.factor - 1)
                for c in (model.transformer, model.conformer)
            ),
            "factor is not a power of 2, in model.transformer or model.conformer",
            "strided convolutions halve; subsampling=stack takes any factor",
        ),
        (
            model.conformer.kernel % 2 == 0,
            "model.conformer.kernel is even",
            "an odd kernel has a frame at its centre",
        ),
        (
            (model.encoder == "mlp") != ("frame" in model.heads) and model.encoder == "mlp",
            "model.encoder=mlp without the frame head",
            "write model.heads=[frame]; it sees too little for the others",
        ),
        (
            model.decoder_from_lm and not _decoder_fits_lm(config),
            "model.decoder_from_lm, but the attention head and the language model differ",
            "it needs lm.kind=transformer or lstm, and lm.model shaped as model.transformer_decoder",
        ),
        (
            (model.lm_share > 0 or model.decoder_from_lm) and "attention" not in model.heads,
            "model.lm_share or model.decoder_from_lm without an attention head",
            "add attention to model.heads",
        ),
        (
            model.lm_share > 0 and model.decoder != "transformer",
            "model.lm_share with an LSTM speller, which cannot do without an encoder",
            "use model.decoder=transformer",
        ),
        (
            decode.nbest > decode.beam_size,
            "decode.nbest is more than decode.beam_size",
            "a beam cannot return more hypotheses than it keeps",
        ),
        (not config.augment.speeds, "augment.speeds is empty", "write [1.0] for no speed perturbation"),
        (
            features.kind == "given" and config.augment.speeds != [1.0],
            "augment.speeds with features.kind=given, where there is no audio to perturb",
            "write augment.speeds=[1.0]",
        ),
        (
            any(not 0.5 <= s <= 2 for s in config.augment.speeds),
            "augment.speeds beyond 0.5 to 2",
            "usual factors are 0.9, 1.0 and 1.1",
        ),
        (
            config.check.min_seconds >= config.check.max_seconds,
            "check.min_seconds is not below check.max_seconds",
            "no utterance could be trained on",
        ),
    )
    for wrong, message, hint in problems:
        if wrong:
            raise ConfigError(message, hint)


def with_weights(settings: DecodeConfig, weights: Mapping[str, float]) -> DecodeConfig:
    """`settings` with other decoding weights.

    Raises:
        ConfigError: a name that is no number in ``decode``.
    """
    numbers = [f.name for f in dataclasses.fields(settings) if f.type in ("int", "float")]
    for name in weights:
        if name not in numbers:
            raise ConfigError(f"decode.{name} is not a weight", nearest(name, numbers))
    typed: dict[str, Any] = {name: type(getattr(settings, name))(x) for name, x in weights.items()}
    return dataclasses.replace(settings, **typed)


def _decoder_fits_lm(config: Config) -> bool:
    lm, decoder = neural_lm_shape(config.lm), config.model.transformer_decoder
    same = (lm.dim, lm.layers, lm.heads, lm.ff, lm.look_back) == (
        decoder.dim,
        decoder.layers,
        decoder.heads,
        decoder.ff,
        decoder.look_back,
    )
    return same and config.model.decoder == "transformer" and config.lm.kind in ("lstm", "transformer")


def neural_lm_shape(config: LmConfig) -> TransformerDecoderConfig:
    """The shape of a neural language model: what looks back follows from its kind."""
    return dataclasses.replace(config.model, look_back="lstm" if config.kind == "lstm" else "attention")


def _sections() -> list[str]:
    return [f.name for f in dataclasses.fields(Config) if dataclasses.is_dataclass(f.default_factory)]


def _variants(recipe: Path) -> list[str]:
    """Folders of a recipe that hold YAML files and are named like no section."""
    return sorted({p.parent.name for p in recipe.glob("*/*.yaml")} - {*_sections(), "conf"})


def _fragment(folder: Path | None, section: str, name: str) -> dict[str, Any]:
    place = folder / section if folder else None
    known = [p.stem for p in place.glob("*.yaml")] if place else []
    if name not in known or place is None:
        raise ConfigError(
            f"no fragment {name!r} in {folder and folder.name}/{section}",
            nearest(name, known) if known else "",
        )
    return _read_yaml(place / f"{name}.yaml")


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", "a recipe is a folder with recipe.yaml") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"not YAML: {path}: {' '.join(str(error).split())}", "mend the file's syntax"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} does not hold keys and values", "see asrkit config --help")
    return content


def _merge(layers: list[tuple[dict[str, Any], str]], dotted: list[str]) -> Config:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    merged = OmegaConf.structured(Config)
    steps: list[tuple[dict[str, Any] | str, str]] = [*layers, *((word, word) for word in dotted)]
    for layer, source in steps:
        try:
            content = OmegaConf.from_dotlist([layer]) if isinstance(layer, str) else OmegaConf.create(layer)
            one_weight = isinstance(layer, str) and layer.startswith("decode.tune.")
            if not one_weight and OmegaConf.select(content, "decode.tune") is not None:
                merged.decode.tune = {}  # a grid replaces the one before it
            merged = OmegaConf.merge(merged, content)
        except (OmegaConfBaseException, YAMLError) as error:
            raise _explained(error, source) from error
    config = OmegaConf.to_object(merged)
    assert isinstance(config, Config)
    validate(config)
    return config


def _explained(error: Exception, source: str) -> ConfigError:
    key = str(getattr(error, "full_key", "") or "")
    place = key or source
    where = "" if source.startswith(place) else f", in {source}"
    reason = str(getattr(error, "msg", None) or error).splitlines()[0]
    if "not in" in reason:
        return ConfigError(f"unknown key: {place}{where}", nearest(key, [*keys(Config), *_sections()]))
    if converted := re.match(r"Value '(.*?)'.*could not be converted to (\w+)", reason):
        reason = f"{converted[1]!r} is not of type {converted[2].lower()}"
    elif "ListConfig" in reason:
        reason = "needs a list, for example [a, b]"
    elif "Merge error" in reason:
        reason = "is a section, not a value"
    elif "while parsing" in reason:
        reason = "cannot be read as a value"
    name = key.split("[")[0]
    return ConfigError(
        f"{place}: {reason}{where}", f"asrkit config RECIPE --explain {name}" if name in keys(Config) else ""
    )
