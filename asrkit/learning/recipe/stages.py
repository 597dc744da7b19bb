"""The stages of every recipe: from a corpus to a scored and packed recogniser.

One implementation serves all recipes; they differ in their configuration and the corpus reader it names.
"""

from collections.abc import Callable
from typing import Any

from asrkit.config import Config, to_yaml
from asrkit.files import atomic_write, write_json
from asrkit.learning.data.corpora import CORPORA
from asrkit.learning.recipe import data_stages, decode_stages, lm_stage, train_stages
from asrkit.learning.recipe.layout import (
    CARD,
    alignment_source,
    averaged,
    bundle_path,
    checked,
    decode_folder,
    decoders,
    file_state,
    labels_folder,
    labels_path,
    lm_folder,
    lm_sources,
    lm_text_paths,
    manifest,
    reported_sets,
    source_path,
    start_source,
    tuned,
)
from asrkit.learning.recipe.plan import Stage
from asrkit.learning.recipe.workspace import Workspace
from asrkit.recognition.stored_lm import RESCORER


def start(workspace: Workspace) -> None:
    """Write config.yaml and env.json, which identify this run."""
    from asrkit.learning.report.results import environment

    with atomic_write(workspace.folder / "config.yaml") as file:
        file.write(to_yaml(workspace.config))
    write_json(workspace.folder / "env.json", environment())


def corpus_state(workspace: Workspace) -> Any:
    """State of the training and dev data; another test set, or a change to one, trains nothing again.

    For downloaded data it is the path alone, which is the same before and after the download.
    """
    settings, source = workspace.config.corpus, source_path(workspace)
    corpus = CORPORA[settings.name]
    parts = corpus.parts(source, [*settings.train, *settings.dev])
    fetched = workspace.exp / "data" / "download"
    return [
        str(path.resolve()) if path.name in corpus.archives or fetched in path.parents else file_state(path)
        for path in dict.fromkeys(parts)
    ]


def after(*names: str) -> Callable[[Config], tuple[str, ...]]:
    """Dependencies that do not vary with the configuration."""
    return lambda _: names


def _train_after(config: Config) -> tuple[str, ...]:
    """A decoder initialised from the language model needs it, a frame head needs labels."""
    lm = ("lm",) if config.model.decoder_from_lm else ()
    return ("check", *lm, *(("align",) if "frame" in config.model.heads else ()))


def _tune_after(config: Config) -> tuple[str, ...]:
    lm = ("lm",) if config.lm.kind != "none" else ()
    return ("average", *lm, *(("rescorer",) if config.lm.rescorer.kind != "none" else ()))


def _decode_after(config: Config) -> tuple[str, ...]:
    return (*_tune_after(config), *(("tune",) if config.decode.tune else ()))


STAGES: tuple[Stage, ...] = (
    Stage(
        0,
        "download",
        "find or download the corpus",
        ("corpus.name", "corpus.path", "corpus.url"),
        after(),
        data_stages.download,
        lambda w, p: CORPORA[w.config.corpus.name].parts(source_path(w), w.sets),
        addressed=True,
    ),
    Stage(
        1,
        "prepare",
        "read the corpus into manifests",
        ("corpus.name", "corpus.path", "text.normalizer", "features.sample_rate"),
        after("download"),
        data_stages.prepare,
        lambda w, p: [manifest(w, p, n) for n in w.sets],
        corpus_state,
        addressed=True,
    ),
    Stage(
        2,
        "tokenizer",
        "learn the token inventory",
        ("text", "corpus.train"),
        after("prepare"),
        data_stages.tokenizer,
        lambda w, p: [w.folder / "tokenizer" / "tokens.txt"],
    ),
    Stage(
        3,
        "features",
        "compute features at every speed",
        ("features", "augment.speeds", "corpus.train", "corpus.dev"),
        after("prepare"),
        data_stages.features,
        lambda w, p: [w.shared("features", p["features"]) / "cmvn.json"],
        addressed=True,
    ),
    Stage(
        4,
        "check",
        "report and exclude unusable utterances",
        ("check", "model", "-model.init", "augment.speeds"),
        after("tokenizer", "features"),
        data_stages.check,
        lambda w, p: [checked(w, "train"), checked(w, "dev")],
    ),
    Stage(
        5,
        "lm",
        "estimate or train the language model",
        ("lm", "-lm.rescorer", "seed", "corpus.dev"),
        after("tokenizer"),
        lm_stage.lm,
        lambda w, p: [lm_folder(w) / lm_stage.PERPLEXITY],
        lambda w: [file_state(path) for path in lm_sources(w)],
        idle=lambda c: "" if c.lm.kind != "none" else "lm.kind=none",
    ),
    Stage(
        6,
        "rescorer",
        "train the neural language model that rescores",
        ("lm.rescorer", "lm.text", "lm.line_words", "seed", "corpus.dev"),
        after("prepare"),
        lm_stage.rescorer,
        lambda w, p: [lm_folder(w) / RESCORER / lm_stage.PERPLEXITY],
        lambda w: [file_state(path) for path in lm_text_paths(w)] or w.config.corpus.train,
        idle=lambda c: "" if c.lm.rescorer.kind != "none" else "lm.rescorer.kind=none",
    ),
    Stage(
        7,
        "align",
        "label every frame by forced alignment",
        ("align",),
        after("check"),
        data_stages.align,
        lambda w, p: [labels_folder(w) / "counts.json", *(labels_path(w, n) for n in reported_sets(w))],
        lambda w: [file_state(path) for path in alignment_source(w)],
        idle=lambda c: "" if "frame" in c.model.heads else "no frame head",
    ),
    Stage(
        8,
        "train",
        "train the model",
        (
            "model",
            "-model.init",
            "augment",
            "features.cmvn",
            "seed",
            "train",
            "-train.average",
            "-train.average_bits",
            "-train.tensorboard",
            "-train.attention_maps",
            "-train.log_steps",
            "-train.save_steps",
        ),
        _train_after,
        train_stages.train,
        lambda w, p: [w.folder / "checkpoints" / "fingerprint", w.folder / "cmvn.json"],
        lambda w: [file_state(path) for path in start_source(w)] or None,
    ),
    Stage(
        9,
        "average",
        "average the best checkpoints",
        ("train.average", "train.average_bits"),
        after("train"),
        train_stages.average,
        lambda w, p: [averaged(w)],
    ),
    Stage(
        10,
        "tune",
        "tune decoding weights on the dev sets",
        ("decode", "-decode.also"),
        _tune_after,
        decode_stages.tune,
        lambda w, p: [tuned(w)],
        idle=lambda c: "" if c.decode.tune else "decode.tune is empty",
    ),
    Stage(
        11,
        "decode",
        "decode the dev and test sets",
        ("decode", "corpus.dev", "corpus.test"),
        _decode_after,
        decode_stages.decode,
        lambda w, p: [decode_folder(w, d, n) / "hyp.trn" for d in decoders(w) for n in reported_sets(w)],
        # With decode.tune, tuning is a stage before this one; else `asrkit tune` may have written the file.
        lambda w: None if w.config.decode.tune else file_state(tuned(w)),
    ),
    Stage(
        12,
        "score",
        "count errors and write RESULTS.md",
        ("score",),
        after("decode"),
        decode_stages.score,
        lambda w, p: [w.folder / "RESULTS.md"],
    ),
    Stage(
        13,
        "pack",
        "pack the recogniser into one file",
        (),
        _decode_after,
        decode_stages.pack,
        lambda w, p: [bundle_path(w)],
        lambda w: file_state(w.recipe / CARD),
    ),
)
