"""The whole configuration on one page: every key of a recipe, its meaning, default and range."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from asrkit.config.decoders import DECODERS

CORPORA = (
    "an4",
    "cmu11785",
    "folder",
    "jsonl",
    "kaldi",
    "librispeech",
    "ljspeech",
    "prompts",
    "shar",
    "table",
    "wsj",
)
NORMALIZERS = ("none", "english", "upper", "lower")


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | tuple[int, ...] = (),
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
    """A nested section with its defaults."""
    return field(default_factory=kind)


@dataclass
class CorpusConfig:
    name: str = option("folder", "corpus reader", choices=CORPORA)
    path: str = option(
        "", "folder or archive below --data, or an absolute path; empty: the corpus's default name"
    )
    url: str = option(
        "",
        "download URL; empty: the corpus's default. For a corpus with one archive per subset: the URL of "
        "their directory",
    )
    sha256: str = option("", "expected checksum of the download; empty: the corpus's default")
    train: list[str] = option(["train"], "subsets to train on; a trailing ? marks a subset optional")
    dev: list[str] = option(["dev"], "subsets for early stopping and tuning; ? as in corpus.train")
    test: list[str] = option(["test"], "subsets to report results on; ? as in corpus.train")


@dataclass
class TextConfig:
    normalizer: str = option("english", "text normalisation", choices=NORMALIZERS)
    tokenizer: str = option("char", "token unit", choices=("char", "phone", "word", "bpe", "unigram"))
    vocab_size: int = option(500, "sub-word vocabulary size (bpe, unigram)", low=8)
    lexicon: str = option("", "pronunciation lexicon, lines of `word p h o n e s`; empty: CMUdict (phone)")
    cmudict: bool = option(False, "look up words missing from text.lexicon in CMUdict (phone)")
    g2p: bool = option(True, "predict the pronunciations of words missing from the lexicon (phone)")
    stress: bool = option(False, "keep stress digits on vowels (phone)")


@dataclass
class FeatureConfig:
    kind: str = option(
        "fbank",
        "fbank: Kaldi log-mel; mel: librosa log-mel; mfcc: Kaldi MFCC; given: precomputed by the corpus",
        choices=("fbank", "mel", "mfcc", "given"),
    )
    given_dim: int = option(0, "feature dimension (given); 0: that of the corpus's first file", low=0)
    sample_rate: int = option(16000, "sample rate in Hz; audio at other rates is resampled", low=1000)
    mel_bins: int = option(80, "mel filters", low=1)
    cepstra: int = option(13, "cepstral coefficients kept (mfcc)", low=1)
    frame_ms: float = option(25.0, "window length in milliseconds", low=1)
    shift_ms: float = option(10.0, "frame shift in milliseconds", low=1)
    low_hz: float = option(20.0, "lower edge of the filters in Hz", low=0)
    high_hz: float = option(
        0.0, "upper edge of the filters in Hz; 0 or less: offset from half the sample rate"
    )
    preemphasis: float = option(0.97, "pre-emphasis coefficient (fbank, mfcc)", low=0, high=1)
    cmvn: str = option("global", "mean and variance normalisation", choices=("none", "utterance", "global"))
    stored: bool = option(True, "store the training features on disk; false: compute them on the fly")

    @property
    def top_hz(self) -> float:
        """Upper edge of the filters in Hz."""
        return self.high_hz if self.high_hz > 0 else self.sample_rate / 2 + self.high_hz

    @property
    def dim(self) -> int:
        """Feature dimension."""
        return {"mfcc": self.cepstra, "given": self.given_dim}.get(self.kind, self.mel_bins)

    @property
    def signal_rate(self) -> float:
        """Input rate of the front end in Hz: samples, or frames of given features."""
        return 1000 / self.shift_ms if self.kind == "given" else self.sample_rate


@dataclass
class CheckConfig:
    policy: str = option(
        "drop",
        "utterances that fail the check; drop: exclude and count them; stop: refuse to train",
        choices=("drop", "stop"),
    )
    max_seconds: float = option(30.0, "longest utterance to train on, in seconds", low=0)
    min_seconds: float = option(0.1, "shortest utterance to train on, in seconds", low=0)


@dataclass
class PyramidConfig:
    embed_channels: int = option(128, "width of the convolutional embedding; 0: none", low=0)
    embed_blocks: int = option(2, "residual blocks in the embedding", low=0)
    embed_stride: int = option(2, "time stride of the embedding", low=1)
    hidden: int = option(256, "LSTM cells per direction", low=1)
    layers: int = option(3, "bidirectional LSTM layers", low=1)
    pyramid_layers: int = option(
        1, "layers, from the second on, that first concatenate frames in pairs", low=0
    )
    dropout: float = option(0.3, "dropout between layers", low=0, high=0.99)


@dataclass
class MlpConfig:
    context: int = option(12, "context frames on either side", low=0)
    hidden: int = option(1024, "width of the layers", low=1)
    layers: int = option(3, "layers", low=1)
    dropout: float = option(0.2, "dropout after each layer", low=0, high=0.99)


@dataclass
class SubsamplingConfig:
    subsampling: str = option(
        "conv1d",
        "subsampling; stack: concatenated frames; conv1d: convolutions over time; conv2d: over time and "
        "frequency; separable: the same, depthwise",
        choices=("stack", "conv1d", "conv2d", "separable"),
    )
    factor: int = option(
        4, "subsampling factor: feature frames per encoder frame, a power of 2 unless stacked", low=1
    )
    channels: int = option(64, "channels of the convolutions (conv2d, separable)", low=1)


@dataclass
class TdnnConfig(SubsamplingConfig):
    dim: int = option(256, "dimension between layers", low=1)
    hidden: int = option(1024, "dimension inside layers", low=1)
    layers: int = option(10, "layers; each adds one frame of context on either side", low=1)
    dropout: float = option(0.1, "dropout after each layer", low=0, high=0.99)
    layer_drop: float = option(0.0, "probability of skipping a layer in an update", low=0, high=0.99)


@dataclass
class TransformerConfig(SubsamplingConfig):
    dim: int = option(144, "model dimension", low=2)
    layers: int = option(12, "blocks", low=1)
    halved: int = option(
        0, "blocks, just before the last, that run on pairs of frames, at half the cost", low=0
    )
    heads: int = option(4, "attention heads", low=1)
    ff: int = option(576, "dimension inside the feed-forward networks", low=1)
    positions: str = option(
        "rotary",
        "position encoding; rotary: relative; sinusoidal: absolute",
        choices=("rotary", "sinusoidal"),
    )
    attention: str = option(
        "softmax",
        "self-attention; softmax: exact; taylor: its first-order approximation, linear in the length",
        choices=("softmax", "taylor"),
    )
    dropout: float = option(0.1, "element-wise dropout", low=0, high=0.99)
    layer_drop: float = option(
        0.0, "probability of skipping a residual branch in an update", low=0, high=0.99
    )


@dataclass
class ConformerConfig(TransformerConfig):
    kernel: int = option(15, "kernel size of the depthwise convolutions in frames, odd", low=1)


@dataclass
class LstmDecoderConfig:
    embed: int = option(128, "dimension of the token embedding", low=1)
    hidden: int = option(256, "LSTM cells and attention dimension", low=1)
    layers: int = option(1, "LSTM layers", low=1)
    attention: str = option("location", "attention scores", choices=("dot", "additive", "location"))
    heads: int = option(1, "attention heads", low=1)
    input_feeding: bool = option(True, "feed the last context vector to the LSTM, with the token")
    scheduled_sampling: float = option(
        0.1, "probability in training of feeding the token that the model predicted", low=0, high=1
    )
    dropout: float = option(0.2, "dropout", low=0, high=0.99)


@dataclass
class TransformerDecoderConfig:
    dim: int = option(144, "model dimension", low=2)
    layers: int = option(4, "layers", low=1)
    heads: int = option(4, "attention heads", low=1)
    ff: int = option(576, "dimension inside the feed-forward networks", low=1)
    look_back: str = option(
        "attention", "history: causal self-attention, or an LSTM in its place", choices=("attention", "lstm")
    )
    dropout: float = option(0.1, "element-wise dropout", low=0, high=0.99)
    layer_drop: float = option(
        0.0, "probability of skipping a residual branch in an update", low=0, high=0.99
    )


@dataclass
class ModelConfig:
    encoder: str = option(
        "pyramid", "encoder", choices=("mlp", "pyramid", "tdnn", "transformer", "conformer")
    )
    heads: list[str] = option(["ctc"], "output heads", choices=("ctc", "attention", "frame"))
    decoder: str = option("transformer", "decoder of the attention head", choices=("lstm", "transformer"))
    ctc_weight: float = option(0.3, "weight of CTC in the loss, against attention", low=0, high=1)
    ctc_frames: int = option(1, "CTC output frames per encoder frame", low=1)
    crf_weight: float = option(
        0.0,
        "weight of CTC-CRF in the CTC loss, about 0.9; 0: CTC alone. Its denominator is a token trigram of "
        "the training transcripts",
        low=0,
        high=1,
    )
    init: str = option(
        "",
        "initialise from the weights of this model that fit: another experiment of the recipe, a path, or "
        "english, the model that comes with asrkit; empty: random weights",
    )
    consistency: float = option(
        0.0,
        "weight of the consistency loss between the CTC posteriors of two masked views of each utterance, "
        "about 0.2; 0: one view. Doubles the cost of an update",
        low=0,
    )
    label_smoothing: float = option(0.1, "label smoothing (attention)", low=0, high=1)
    decoder_from_lm: bool = option(
        False, "initialise the attention head (transformer) with the language model's weights"
    )
    lm_share: float = option(
        0.0,
        "share of updates that train the attention head (transformer) without encoder, as a language model",
        low=0,
        high=0.9,
    )
    mlp: MlpConfig = section(MlpConfig)
    pyramid: PyramidConfig = section(PyramidConfig)
    tdnn: TdnnConfig = section(TdnnConfig)
    transformer: TransformerConfig = section(TransformerConfig)
    conformer: ConformerConfig = section(ConformerConfig)
    lstm_decoder: LstmDecoderConfig = section(LstmDecoderConfig)
    transformer_decoder: TransformerDecoderConfig = section(TransformerDecoderConfig)


@dataclass
class AugmentConfig:
    speeds: list[float] = option(
        [0.9, 1.0, 1.1], "speed perturbation factors, one drawn per utterance and epoch, from 0.5 to 2"
    )
    warp: float = option(
        0.0, "largest relative warp of the vocal tract length (VTLP), about 0.1 (fbank, mel)", low=0, high=0.5
    )
    volume_db: float = option(0.0, "largest change of volume, up or down, in dB (fbank, mel)", low=0)
    noise_share: float = option(0.0, "share of utterances with added noise (fbank, mel)", low=0, high=1)
    noise_snr_db: float = option(10.0, "lowest SNR of added noise in dB; the highest is 20 dB above")
    reverb_share: float = option(
        0.0, "share of utterances with added reverberation (fbank, mel)", low=0, high=1
    )
    reverb_frames: int = option(60, "longest reverberation time (RT60) in frames", low=1)
    time_masks: int = option(2, "SpecAugment time masks", low=0)
    time_width: float = option(0.05, "widest time mask, as a fraction of the utterance", low=0, high=1)
    freq_masks: int = option(2, "SpecAugment frequency masks", low=0)
    freq_width: int = option(15, "widest frequency mask in bins", low=0)


@dataclass
class TrainConfig:
    epochs: int = option(60, "passes over the training set", low=1)
    max_steps: int = option(0, "stop after this many updates; 0: no limit", low=0)
    max_minutes: float = option(0.0, "stop after this much training time; 0: no limit", low=0)
    batch_seconds: float = option(120.0, "seconds of audio in one batch, padding included", low=0.1)
    accumulate: int = option(1, "gradient accumulation: batches per update", low=1)
    optimizer: str = option("adamw", "optimiser", choices=("adamw", "sgd"))
    lr: float = option(1e-3, "peak learning rate", low=0)
    weight_decay: float = option(1e-2, "weight decay, decoupled (adamw)", low=0)
    schedule: str = option(
        "onecycle", "learning rate schedule", choices=("constant", "noam", "onecycle", "plateau")
    )
    warmup_steps: int = option(300, "warm-up: updates until the peak learning rate", low=0)
    plateau_patience: int = option(3, "epochs without improvement before the rate is halved (plateau)", low=0)
    clip: float = option(5.0, "largest gradient norm", low=0)
    precision: str = option(
        "auto", "precision; auto: bf16 if the hardware supports it", choices=("auto", "fp32", "bf16", "fp16")
    )
    early_stop: int = option(0, "stop after this many epochs without improvement; 0: never", low=0)
    average: int = option(5, "number of best checkpoints averaged at the end", low=1)
    average_bits: int = option(16, "bits of each weight of the averaged model", choices=(8, 16))
    loaders: int = option(
        0, "threads that prepare batches in the background, to keep a GPU busy; 0: none", low=0
    )
    save_steps: int = option(200, "updates between checkpoints, in addition to one per epoch", low=1)
    log_steps: int = option(20, "updates between lines in metrics.jsonl", low=1)
    nan_patience: int = option(5, "batches with a non-finite loss skipped before training stops", low=0)
    attention_maps: int = option(
        2, "dev utterances whose attention is plotted after each epoch, in plots/attention", low=0
    )
    tensorboard: bool = option(False, "also write TensorBoard events (needs the tensorboard extra)")


@dataclass
class RescorerConfig:
    kind: str = option(
        "none",
        "neural language model of sub-words that rescores the hypotheses of ctc-lexicon",
        choices=("none", "lstm", "transformer"),
    )
    vocab_size: int = option(2000, "size of its vocabulary (byte-pair encoding)", low=10)
    max_lines: int = option(2_000_000, "train on the first N lines; 0: all", low=0)
    model: TransformerDecoderConfig = section(TransformerDecoderConfig)
    train: TrainConfig = section(TrainConfig)


@dataclass
class LmConfig:
    kind: str = option(
        "none",
        "language model; n-grams of words (for lexicon decoders) or tokens, or a neural model of tokens",
        choices=("none", "word-ngram", "token-ngram", "lstm", "transformer"),
    )
    order: int = option(3, "order of the longest n-grams", low=1, high=8)
    text: list[str] = option(
        [],
        "text files, one sentence per line, plain, .gz or .xz, below the recipe or --data; a trailing ? "
        "marks a file optional; empty: the training transcripts",
    )
    line_words: int = option(
        0,
        "join neighbouring sentences of lm.text into lines of up to N words, since utterances run over "
        "sentences; 0: one sentence per line",
        low=0,
    )
    arpa: str = option(
        "",
        "n-gram model in ARPA format, gzipped or not, below the recipe or --data, instead of one estimated "
        "from texts: lm.text, order, max_words and pruning are then ignored",
    )
    max_words: int = option(
        0,
        "keep the N most frequent words of the texts, and those of the transcripts; 0: all (word-ngram)",
        low=0,
    )
    prune: list[int] = option(
        [0],
        "prune n-grams that occur at most N times: one threshold per order, the last for all higher orders",
    )
    entropy_prune: float = option(
        0.0, "entropy pruning threshold: largest relative increase in perplexity, about 1e-8; 0: none", low=0
    )
    bits: int = option(
        0, "bits per n-gram weight in a .ngram file; 8 is nearly lossless; 0: exact", low=0, high=16
    )
    model: TransformerDecoderConfig = section(TransformerDecoderConfig)
    train: TrainConfig = section(TrainConfig)
    rescorer: RescorerConfig = section(RescorerConfig)


@dataclass(frozen=True)
class DecodeConfig:
    """How to decode. Frozen: change it with dataclasses.replace or with_weights."""

    decoder: str = option("ctc-greedy", "decoder", choices=tuple(DECODERS))
    beam_size: int = option(10, "beam size: hypotheses kept in the search", low=1)
    beam_threshold: float = option(
        50.0, "drop hypotheses more than N nats below the best (lexicon decoders of CTC)", low=1
    )
    nbest: int = option(1, "length of the n-best list", low=1)
    batch_seconds: float = option(120.0, "seconds of audio decoded in one batch", low=0.1)
    ctc_weight: float = option(
        0.3, "weight of CTC against attention (joint, lexicon-rescoring)", low=0, high=1
    )
    lm_weight: float = option(
        0.5, "weight of the language model, if any; of the label bigram (frame-viterbi)", low=0
    )
    length_bonus: float = option(0.0, "bonus for each token (attention-beam, joint)", low=0)
    word_bonus: float = option(0.0, "bonus for each word (lexicon decoders)")
    prior_weight: float = option(
        0.5, "weight of the label priors that are subtracted from the posteriors (frame)", low=0
    )
    ctc_prior_weight: float = option(
        0.0, "weight of the CTC label priors that are subtracted (lexicon decoders of CTC)", low=0
    )
    min_frames: int = option(3, "shortest label in frames (frame-viterbi, frame-lexicon)", low=1)
    rescorer_share: float = option(
        0.0,
        "share of lm_weight that goes from the n-gram model to lm.rescorer in rescoring (ctc-lexicon)",
        low=0,
        high=1,
    )
    rescorer_nbest: int = option(400, "hypotheses that lm.rescorer rescores (ctc-lexicon)", low=1)
    shifts: int = option(
        0, "also encode the audio shifted by up to N feature frames, and average", low=0, high=8
    )
    also: list[str] = option([], "further decoders to report results of", choices=tuple(DECODERS))
    tune: dict[str, list[float]] = option({}, "weights tuned on the dev sets before testing: name -> values")


@dataclass
class AlignConfig:
    """Source of a frame head's labels."""

    model: str = option(
        "default",
        "model whose forced alignments give the frame labels: a path, or the tag of another experiment",
    )
    labels: str = option(
        "",
        "file of frame labels, `id label label …`, instead of forced alignments; corpus: those of the corpus",
    )


@dataclass
class ScoreConfig:
    units: list[str] = option(
        ["word", "char"],
        "units of error; phone39: phones folded as TIMIT's; the first is the main one",
        choices=("word", "char", "phone", "phone39"),
    )
    similarity: bool = option(False, "also report string similarities (Jaccard, cosine, Damerau-Levenshtein)")
    bootstrap: int = option(1000, "bootstrap samples for the confidence interval", low=0)


@dataclass
class Config:
    """A recipe."""

    name: str = option("", "name shown in results; empty: the name of the recipe's folder")
    seed: int = option(1, "random seed", low=0)
    base: dict[str, str] = option({}, "section -> fragment in conf/<section>/ it starts from")
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
    fields: dict[str, dataclasses.Field[Any]] = {}
    kind = config if isinstance(config, type) else type(config)
    for item in dataclasses.fields(kind):
        name = prefix + item.name
        nested = item.default_factory
        if dataclasses.is_dataclass(nested):
            fields |= keys(nested, name + ".")
        else:
            fields[name] = item
    return fields


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


def neural_lm_shape(config: LmConfig | RescorerConfig) -> TransformerDecoderConfig:
    """The shape of a neural language model; its history encoder follows from its kind."""
    return dataclasses.replace(config.model, look_back="lstm" if config.kind == "lstm" else "attention")


def difference(config: Config) -> dict[str, tuple[Any, Any]]:
    """Keys whose value is not the default: key -> (default, value)."""
    default = Config()
    pairs = {key: (value(default, key), value(config, key)) for key in keys(Config)}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
