"""The whole configuration on one page: what a recipe may say, and what it means."""

from __future__ import annotations

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


@dataclass
class TextConfig:
    normalizer: str = option("english", "text normalisation", choices=NORMALIZERS)
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
    stored: bool = option(
        True,
        "features for training are kept on disk; false: computed each time, where they would not fit",
    )

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
class SubsamplingConfig:
    subsampling: str = option(
        "conv1d",
        "how frames are made fewer; stack: joined; conv1d: convolutions over time; conv2d: over time and "
        "frequency; separable: the same, depthwise",
        choices=("stack", "conv1d", "conv2d", "separable"),
    )
    factor: int = option(4, "feature frames to one encoder frame, a power of 2 unless stacked", low=1)
    channels: int = option(64, "channels of the convolutions (conv2d, separable)", low=1)


@dataclass
class TdnnConfig(SubsamplingConfig):
    dim: int = option(256, "width between layers", low=1)
    hidden: int = option(1024, "width inside them", low=1)
    layers: int = option(10, "layers; each sees one more frame on either side", low=1)
    dropout: float = option(0.1, "dropout after each layer", low=0, high=0.99)
    layer_drop: float = option(0.0, "probability to leave a layer out of an update", low=0, high=0.99)


@dataclass
class TransformerConfig(SubsamplingConfig):
    dim: int = option(144, "width", low=2)
    layers: int = option(12, "blocks", low=1)
    halved: int = option(
        0, "how many blocks, all before the last, see frames joined in pairs: half the work", low=0
    )
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
        "encoder",
        choices=("mlp", "pyramid", "tdnn", "transformer", "conformer"),
    )
    heads: list[str] = option(["ctc"], "output heads", choices=("ctc", "attention", "frame"))
    decoder: str = option(
        "transformer",
        "decoder of the attention head",
        choices=("lstm", "transformer"),
    )
    ctc_weight: float = option(0.3, "share of CTC in the loss beside attention", low=0, high=1)
    ctc_frames: int = option(1, "CTC output frames to one encoder frame", low=1)
    crf_weight: float = option(
        0.0,
        "share in the CTC loss of CTC-CRF, which tells the transcript from all else that is likely under a "
        "trigram of the training transcripts' tokens, 0.9 or so; 0: CTC alone",
        low=0,
        high=1,
    )
    init: str = option(
        "",
        "start from the weights of this model as far as they fit: another experiment of the recipe, a path, "
        "or english, the recogniser that comes with asrkit; empty: from random weights",
    )
    consistency: float = option(
        0.0,
        "weight of how far CTC agrees on two differently masked views of each utterance, 0.2 or so; 0: one "
        "view. Doubles the work of an update",
        low=0,
    )
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
    tdnn: TdnnConfig = section(TdnnConfig)
    transformer: TransformerConfig = section(TransformerConfig)
    conformer: ConformerConfig = section(ConformerConfig)
    lstm_decoder: LstmDecoderConfig = section(LstmDecoderConfig)
    transformer_decoder: TransformerDecoderConfig = section(TransformerDecoderConfig)


@dataclass
class AugmentConfig:
    speeds: list[float] = option(
        [0.9, 1.0, 1.1], "speed perturbation factors, one drawn per utterance and epoch"
    )
    warp: float = option(
        0.0,
        "speakers' vocal tracts are made up to so much shorter or longer, a share, 0.1 or so (fbank, mel)",
        low=0,
        high=0.5,
    )
    volume_db: float = option(
        0.0, "utterances are made up to so much louder or softer, in dB (fbank, mel)", low=0
    )
    noise_share: float = option(0.0, "share of utterances that noise is put on (fbank, mel)", low=0, high=1)
    noise_snr_db: float = option(
        10.0, "the loudest noise is so much softer than the speech, in dB; down to 20 more"
    )
    reverb_share: float = option(0.0, "share of utterances put into a room (fbank, mel)", low=0, high=1)
    reverb_frames: int = option(60, "longest time in frames until the room's echo is 60 dB softer", low=1)
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
    average_bits: int = option(16, "bits of each weight of the averaged model", choices=(8, 16))
    loaders: int = option(
        0, "threads that make batches ahead of the training, to keep a GPU busy; 0: none", low=0
    )
    save_steps: int = option(200, "updates between checkpoints, besides each epoch's end", low=1)
    log_steps: int = option(20, "updates between lines in metrics.jsonl", low=1)
    nan_patience: int = option(5, "batches with a non-finite loss skipped before training stops", low=0)
    attention_maps: int = option(
        2, "dev utterances whose attention is drawn after each epoch, into plots/attention", low=0
    )
    tensorboard: bool = option(False, "write TensorBoard events too (needs the tensorboard extra)")


@dataclass
class RescorerConfig:
    kind: str = option(
        "none",
        "neural model of sub-words, which orders what ctc-lexicon finds anew",
        choices=("none", "lstm", "transformer"),
    )
    vocab_size: int = option(2000, "its sub-words (byte-pair encoding)", low=10)
    max_lines: int = option(2_000_000, "it learns from the first so many lines; 0: all", low=0)
    model: TransformerDecoderConfig = section(TransformerDecoderConfig)
    train: TrainConfig = section(TrainConfig)


@dataclass
class LmConfig:
    kind: str = option(
        "none",
        "language model; n-grams of words (for lexicon decoders) or tokens, or a neural model of tokens",
        choices=("none", "word-ngram", "token-ngram", "lstm", "transformer"),
    )
    order: int = option(3, "longest n-gram", low=1, high=8)
    text: list[str] = option(
        [],
        "text files, a sentence a line, plain, .gz or .xz, below the recipe or --data; NAME? is used where "
        "it is there; empty: the training transcripts",
    )
    line_words: int = option(
        0,
        "neighbouring sentences of lm.text are joined into lines of up to so many words, since utterances "
        "run over sentences; 0: a line is a sentence",
        low=0,
    )
    arpa: str = option(
        "",
        "an n-gram model in the ARPA format, gzipped or not, below the recipe or --data, in place of one "
        "estimated from texts: lm.text, order, max_words and pruning are then not used",
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
    rescorer: RescorerConfig = section(RescorerConfig)


@dataclass
class DecodeConfig:
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
    also: list[str] = option([], "further decoders reported beside the first", choices=tuple(DECODERS))
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
        ["word", "char"],
        "units of error; phone39: phones folded as TIMIT's; the first is the main one",
        choices=("word", "char", "phone", "phone39"),
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


def neural_lm_shape(config: LmConfig | RescorerConfig) -> TransformerDecoderConfig:
    """The shape of a neural language model: what looks back follows from its kind."""
    return dataclasses.replace(config.model, look_back="lstm" if config.kind == "lstm" else "attention")


def difference(config: Config) -> dict[str, tuple[Any, Any]]:
    """Keys whose value is not the default: key -> (default, value)."""
    default = Config()
    pairs = {key: (value(default, key), value(config, key)) for key in keys(Config)}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}
