"""Checking a configuration: ranges, choices, names, and combinations that cannot work."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from asrkit.config.schema import Config, DecodeConfig, keys, neural_lm_shape, value
from asrkit.errors import ConfigError, nearest


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
        raise ConfigError(f"{key}={current}: not a choice", nearest(str(current), map(str, meta["choices"])))
    for bound, wrong, word in ((meta["low"], "below", "least"), (meta["high"], "above", "most")):
        if bound is not None and (current < bound if wrong == "below" else current > bound):
            raise ConfigError(f"{key}={current}: {wrong} {bound:g}", f"the {word} value is {bound:g}")


def _validate_names(config: Config) -> None:
    from asrkit.config.decoders import refuse_idle_weights, require_decoder
    from asrkit.learning.data.corpora import CORPORA
    from asrkit.recognition.text.normalize import NORMALIZERS

    for key, table in (("corpus.name", CORPORA), ("text.normalizer", NORMALIZERS)):
        if value(config, key) not in table:
            raise ConfigError(f"{key}={value(config, key)}: unknown", nearest(value(config, key), table))
    for key, known in (
        ("model.heads", ("ctc", "attention", "frame")),
        ("score.units", ("word", "char", "phone", "phone39")),
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
    features, model, decode, augment = config.features, config.model, config.decode, config.augment
    lm, nyquist = config.lm, features.sample_rate / 2
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
            any(c.dim % c.heads for c in (model.transformer_decoder, lm.model, lm.rescorer.model))
            or model.lstm_decoder.hidden % model.lstm_decoder.heads > 0,
            "a decoder's width is not divisible by its heads",
            "see model.transformer_decoder, model.lstm_decoder, lm.model and lm.rescorer.model",
        ),
        (
            any(
                c.subsampling != "stack" and c.factor & (c.factor - 1)
                for c in (model.tdnn, model.transformer, model.conformer)
            ),
            "factor is not a power of 2, in model.tdnn, model.transformer or model.conformer",
            "strided convolutions halve; subsampling=stack takes any factor",
        ),
        (
            any(c.halved >= c.layers for c in (model.transformer, model.conformer)),
            "halved is not below layers, in model.transformer or model.conformer",
            "the last block sees every frame",
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
            (model.consistency > 0 or model.crf_weight > 0) and "ctc" not in model.heads,
            "model.consistency or model.crf_weight without a CTC head",
            "add ctc to model.heads",
        ),
        (
            any((augment.warp, augment.volume_db, augment.noise_share, augment.reverb_share))
            and config.features.kind not in ("fbank", "mel"),
            "augment.warp, volume_db, noise_share or reverb_share with features of kind "
            f"{config.features.kind}",
            "they need fbank or mel",
        ),
        (
            bool(config.lm.arpa) and not config.lm.kind.endswith("-ngram"),
            "lm.arpa, but lm.kind is not an n-gram model",
            "write lm.kind=word-ngram, or token-ngram where it is of tokens",
        ),
        (
            lm.rescorer.kind != "none" and lm.kind != "word-ngram",
            "lm.rescorer without an n-gram model of words for the search before it",
            "write lm.kind=word-ngram, or lm.rescorer.kind=none",
        ),
        (
            decode.rescorer_share > 0 and lm.rescorer.kind == "none",
            "decode.rescorer_share, but there is no lm.rescorer",
            "write lm.rescorer.kind=transformer",
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
