"""Checking a configuration: ranges, choices, names, and combinations that cannot work."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from asrkit.config.decoders import refuse_idle_weights, require_decoder
from asrkit.config.schema import (
    Config,
    ConformerConfig,
    DecodeConfig,
    LstmDecoderConfig,
    PyramidConfig,
    SubsamplingConfig,
    TransformerConfig,
    keys,
    neural_lm_shape,
    value,
)
from asrkit.errors import ConfigError, nearest


def validate(config: Config) -> None:
    """Check every value's range and choices, and the combinations that cannot work.

    Raises:
        ConfigError: naming the key and the nearest valid choice.
        UsageError: a decoder that the model's heads or the language model do not allow.
    """
    for key, item in keys(Config).items():
        _validate_value(key, value(config, key), item.metadata)
    for key in ("model.heads", "score.units", "augment.speeds"):
        if not value(config, key):
            raise ConfigError(f"{key} is empty", f"the default is {value(Config(), key)}")
    for name, numbers in config.decode.tune.items():
        with_weights(config.decode, {name: 0.0})
        if not numbers:
            raise ConfigError(f"decode.tune.{name} has no values", "write a list, for example [0.3, 0.6]")
        for number in numbers:
            _validate_value(f"decode.tune.{name}", number, keys(DecodeConfig)[name].metadata)
    for name in [config.decode.decoder, *config.decode.also]:
        require_decoder(name, config.model.heads, config.lm.kind)
    refuse_idle_weights(config.decode.tune, config.decode.decoder, config.lm.kind)
    for problems in (_in_features, _in_encoder, _in_heads, _in_decoding, _in_data):
        for wrong, message, hint in problems(config):
            if wrong:
                raise ConfigError(message, hint)


def _validate_value(key: str, current: Any, meta: Mapping[str, Any]) -> None:
    for item in current if meta["choices"] and isinstance(current, list) else [current]:
        if meta["choices"] and item not in meta["choices"]:
            raise ConfigError(f"{key}={item}: not a choice", nearest(str(item), map(str, meta["choices"])))
    for bound, wrong, word in ((meta["low"], "below", "least"), (meta["high"], "above", "most")):
        if bound is not None and (current < bound if wrong == "below" else current > bound):
            raise ConfigError(f"{key}={current}: {wrong} {bound:g}", f"the {word} value is {bound:g}")


Problems = Iterator[tuple[bool, str, str]]
"""Each combination that cannot work: whether it is the case, the message and the hint."""


def _in_features(config: Config) -> Problems:
    features, augment = config.features, config.augment
    nyquist = features.sample_rate / 2
    yield (
        not features.low_hz < features.top_hz <= nyquist,
        "features.low_hz and features.high_hz",
        f"the filters need low_hz < high_hz <= {nyquist:g} Hz, half of features.sample_rate",
    )
    yield (
        features.shift_ms > features.frame_ms,
        "features.shift_ms is longer than features.frame_ms",
        "frames would skip audio; use a shift of at most the window",
    )
    yield (
        features.kind == "mfcc" and features.cepstra > features.mel_bins,
        "features.cepstra is more than features.mel_bins",
        "keep at most as many cepstra as mel bins",
    )
    yield (
        features.kind not in ("fbank", "mel")
        and any((augment.warp, augment.volume_db, augment.noise_share, augment.reverb_share)),
        f"augment.warp, volume_db, noise_share or reverb_share with features.kind={features.kind}",
        "they need fbank or mel",
    )
    yield (
        features.kind == "given" and augment.speeds != [1.0],
        "augment.speeds with features.kind=given: without audio there is no speed perturbation",
        "write augment.speeds=[1.0]",
    )


def _in_encoder(config: Config) -> Problems:
    model, name = config.model, f"model.{config.model.encoder}"
    encoder = value(config, name)
    if isinstance(encoder, PyramidConfig):
        yield (
            encoder.pyramid_layers >= encoder.layers,
            f"{name}.pyramid_layers is not below {name}.layers",
            "the first layer joins no frames; every later one may",
        )
    if isinstance(encoder, SubsamplingConfig):
        yield (
            encoder.subsampling != "stack" and encoder.factor & (encoder.factor - 1) > 0,
            f"{name}.factor is not a power of 2",
            "strided convolutions halve; subsampling=stack takes any factor",
        )
    if isinstance(encoder, TransformerConfig):
        yield (
            encoder.dim % (2 * encoder.heads) > 0,
            f"{name}.dim is not an even number for each head",
            f"choose a multiple of {2 * encoder.heads}, twice {name}.heads",
        )
        yield (
            encoder.halved >= encoder.layers,
            f"{name}.halved is not below {name}.layers",
            "the last block sees every frame",
        )
    if isinstance(encoder, ConformerConfig):
        yield (encoder.kernel % 2 == 0, f"{name}.kernel is even", "an odd kernel has a frame at its centre")
    yield (
        model.encoder == "mlp" and "frame" not in model.heads,
        "model.encoder=mlp without the frame head",
        "write model.heads=[frame]; it sees too little context for the others",
    )


def _in_heads(config: Config) -> Problems:
    model = config.model
    yield (
        (model.consistency > 0 or model.crf_weight > 0) and "ctc" not in model.heads,
        "model.consistency or model.crf_weight without a CTC head",
        "add ctc to model.heads",
    )
    yield (
        model.decoder_from_lm and not _decoder_fits_lm(config),
        "model.decoder_from_lm, but the attention head and the language model differ",
        "it needs lm.kind=transformer or lstm, and lm.model shaped as model.transformer_decoder",
    )
    if "attention" not in model.heads:
        yield (
            model.lm_share > 0 or model.decoder_from_lm,
            "model.lm_share or model.decoder_from_lm without an attention head",
            "add attention to model.heads",
        )
        return
    name = f"model.{model.decoder}_decoder"
    decoder = value(config, name)
    yield (
        (decoder.hidden if isinstance(decoder, LstmDecoderConfig) else decoder.dim) % decoder.heads > 0,
        f"{name}: its width is not divisible by its heads",
        f"see {name}.heads",
    )
    yield (
        model.lm_share > 0 and model.decoder != "transformer",
        "model.lm_share with an LSTM decoder, which needs an encoder",
        "use model.decoder=transformer",
    )


def _in_decoding(config: Config) -> Problems:
    lm, decode = config.lm, config.decode
    yield (
        decode.nbest > decode.beam_size,
        "decode.nbest is more than decode.beam_size",
        "a beam cannot return more hypotheses than it keeps",
    )
    for name, shape in (("lm.model", lm.model), ("lm.rescorer.model", lm.rescorer.model)):
        yield (
            shape.dim % shape.heads > 0,
            f"{name}: its width is not divisible by its heads",
            f"see {name}.dim and {name}.heads",
        )
    yield (
        bool(lm.arpa) and not lm.kind.endswith("-ngram"),
        "lm.arpa, but lm.kind is not an n-gram model",
        "write lm.kind=word-ngram, or token-ngram for an n-gram model of tokens",
    )
    yield (
        lm.rescorer.kind != "none" and lm.kind != "word-ngram",
        "lm.rescorer without an n-gram model of words for the first pass",
        "write lm.kind=word-ngram, or lm.rescorer.kind=none",
    )
    yield (
        decode.rescorer_share > 0 and lm.rescorer.kind == "none",
        "decode.rescorer_share, but lm.rescorer.kind is none",
        "write lm.rescorer.kind=transformer",
    )


def _in_data(config: Config) -> Problems:
    yield (
        any(not 0.5 <= speed <= 2 for speed in config.augment.speeds),
        "augment.speeds beyond 0.5 to 2",
        "usual factors are 0.9, 1.0 and 1.1",
    )
    yield (
        config.check.min_seconds >= config.check.max_seconds,
        "check.min_seconds is not below check.max_seconds",
        "no utterance could be trained on",
    )


def with_weights(settings: DecodeConfig, weights: Mapping[str, float]) -> DecodeConfig:
    """`settings` with these decoding weights.

    Raises:
        ConfigError: a name that is not a numeric key of ``decode``.
    """
    numbers = [f.name for f in dataclasses.fields(settings) if f.type in (int, float)]
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
