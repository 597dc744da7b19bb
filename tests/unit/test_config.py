"""Reading, overriding and refusing configurations."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from asrkit import load
from asrkit.config import (
    Config,
    difference,
    keys,
    load_config,
    parse_config,
    schema,
    to_yaml,
    validate,
    value,
)
from asrkit.errors import ConfigError, UsageError
from asrkit.learning.data.corpora import CORPORA
from asrkit.learning.models.asr import ATTENTION_DECODERS, ENCODERS
from asrkit.learning.recipe.library import find_recipe, fragments, recipes
from asrkit.recognition.text.normalize import NORMALIZERS

WRONG = {
    "train.lrr=1": ("unknown key: train.lrr", "train.lr"),
    "modle.encoder=pyramid": ("unknown key: modle", "model"),
    "train.lr=fast": ("train.lr: 'fast' is not of type float", "--explain train.lr"),
    "train.epochs=2.5": ("train.epochs: '2.5' is not of type integer", "--explain train.epochs"),
    "model.pyramid.hidden=-4": ("model.pyramid.hidden=-4: below 1", "1"),
    "train.precision=bf17": ("not a choice", "bf16"),
    "train.schedule=onecycel": ("not a choice", "onecycle"),
    "decode.nbest=20": ("decode.nbest", "beam"),
    "features.high_hz=9000": ("features.low_hz and features.high_hz", "8000"),
    "model.pyramid.pyramid_layers=3": ("pyramid_layers", "layer"),
    "decode.decoder=ctc-bean": ("ctc-bean", "ctc-beam"),
    "corpus.name=an5": ("corpus.name=an5", "an4"),
    "text.normalizer=englich": ("text.normalizer", "english"),
    "model.heads=[ctcc]": ("model.heads", "ctc"),
    "model.heads=[]": ("model.heads is empty", "ctc"),
    "model.heads=ctc": ("needs a list", "model.heads"),
    "augment.speeds=[quick]": ("augment.speeds", ""),
    "train=3": ("no fragment '3'", "cpu"),
    "model=pyramid": ("no fragment 'pyramid' in conf/model", "pyramid-ctc"),
    "train.lr": ("not an override", "key=value"),
    "train.lr=[1": ("cannot be read", ""),
}


@pytest.mark.parametrize("word", WRONG)
def test_wrong_settings_are_refused_with_the_nearest_choice(word: str) -> None:
    path = find_recipe("an4")
    with pytest.raises(UsageError) as caught:
        load_config(path, (word,), fragments(path))
    message, hint = WRONG[word]
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint


def test_names_are_those_of_the_tables_they_choose_from() -> None:
    assert tuple(CORPORA) == schema.CORPORA
    assert tuple(NORMALIZERS) == schema.NORMALIZERS
    known = keys(Config)
    assert known["model.encoder"].metadata["choices"] == tuple(ENCODERS)
    assert set(known["model.decoder"].metadata["choices"]) == ATTENTION_DECODERS.keys()


@pytest.mark.parametrize(
    ("used", "wrong", "message"),
    [
        ("model.encoder=conformer", "model.conformer.kernel=4", "model.conformer.kernel is even"),
        ("model.encoder=transformer", "model.transformer.dim=146", "model.transformer.dim"),
        ("model.encoder=tdnn", "model.tdnn.factor=3", "model.tdnn.factor is not a power of 2"),
        ("model.encoder=pyramid", "model.pyramid.pyramid_layers=3", "model.pyramid.pyramid_layers"),
        ("model.heads=[ctc,attention]", "model.transformer_decoder.heads=5", "model.transformer_decoder"),
    ],
)
def test_only_shapes_in_use_are_checked(tmp_path: Path, used: str, wrong: str, message: str) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.touch()
    other = "model.encoder=tdnn" if "pyramid" in used else "model.encoder=pyramid"
    load_config(recipe, (other, wrong))
    with pytest.raises(ConfigError, match=message):
        load_config(recipe, (used, wrong))


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_valid_and_survives_a_round_trip(name: str) -> None:
    path = find_recipe(name)
    config = load_config(path, (), fragments(path))
    assert parse_config(to_yaml(config), "copy") == config


def test_layers_override_in_order(tmp_path: Path) -> None:
    (tmp_path / "conf/train").mkdir(parents=True)
    (tmp_path / "conf/train/slow.yaml").write_text("lr: 1.0e-5\nclip: 1.0\nepochs: 7\n")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("base: {train: slow}\ntrain: {clip: 2.0, epochs: 8}\n")
    config = load_config(recipe, ("train.epochs=9",), tmp_path / "conf")
    assert (config.train.lr, config.train.clip, config.train.epochs) == (1e-5, 2.0, 9)
    assert difference(config)["train.epochs"] == (Config().train.epochs, 9)


def test_settings_of_decoding_are_frozen(experiment: Path) -> None:
    recognizer = load(experiment, device="cpu")
    with pytest.raises(dataclasses.FrozenInstanceError):
        recognizer.settings.beam_size = 2000  # type: ignore[misc]
    recognizer.settings = dataclasses.replace(recognizer.settings, beam_size=2000)
    assert recognizer.config.decode.beam_size != 2000


def test_fragment_can_be_changed_by_one_override() -> None:
    path = find_recipe("an4")
    config = load_config(path, ("model=pyramid-ctc-tiny",), fragments(path))
    assert config.base["model"] == "pyramid-ctc-tiny"
    assert config.model.pyramid.hidden == 96


def test_every_key_is_documented_and_its_default_valid() -> None:
    validate(Config())
    for key, field in keys(Config).items():
        assert field.metadata["help"], key
        value(Config(), key)


@pytest.mark.parametrize("content", ["train: [1", "- a\n- b", "base: {train: nothing}", "base: {trian: cpu}"])
def test_broken_recipe_files_are_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(ConfigError):
        load_config(tmp_path / "recipe.yaml", (), find_recipe("an4").parents[2] / "conf")
