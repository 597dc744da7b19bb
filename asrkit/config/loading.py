"""Reading a configuration from a recipe, its fragments and the command line.

A configuration is built in layers, each refusing keys the schema does not know:

1. the defaults of the schema,
2. the fragments that the recipe's ``base`` names, from ``conf/<section>/<name>.yaml``, then the recipe,
3. the recipe's variant, if it has any: ``task=NAME`` for ``<recipe>/task/NAME.yaml``,
4. overrides from the command line: ``train.lr=1e-3``, or ``model=NAME`` to change a fragment.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from asrkit.config.checks import validate
from asrkit.config.schema import Config, keys
from asrkit.errors import ConfigError, nearest

PRESETS = ("model", "decode")
"""Sections in which settings of a recipe are meant for its fragment alone."""


def load_config(recipe: Path, overrides: tuple[str, ...] = (), fragments: Path | None = None) -> Config:
    """Read ``recipe.yaml`` (or any YAML file in its format) with its fragments and overrides.

    Args:
        recipe: the YAML file.
        overrides: ``key=value`` words; a bare section name (``model=las``) picks a fragment, and with it the
            fragments of other sections listed in its ``with``, unless chosen explicitly. The name of any
            other folder of the recipe picks a variant from it: a YAML file in the recipe's format, with
            fragments in its ``with`` likewise. Settings of the recipe under ``model`` and ``decode`` are
            dropped with the fragment that they refine.
        fragments: the ``conf`` folder that ``base`` refers to.

    Raises:
        ConfigError: unknown key, wrong type, value out of range or impossible combination.
    """
    content = _read_yaml(recipe)
    base = {str(k): str(v) for k, v in (content.get("base") or {}).items()}
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
    for variant in own.values():
        base |= variant.pop("with", {})
    recipe_base = dict(base)
    for name, fragment in chosen.items():
        if recipe_base.get(name) != fragment:
            base |= _fragment(fragments, name, fragment).get("with", {})
    base |= chosen
    for name in (name for name in PRESETS if base.get(name) != recipe_base.get(name)):
        for settings in (content, *own.values()):
            settings.pop(name, None)
    layers = []
    for name, fragment in base.items():
        part = _fragment(fragments, name, fragment)
        part.pop("with", None)
        layers.append(({name: part}, f"conf/{name}/{fragment}.yaml"))
    layers.append((content | {"base": base | picked}, str(recipe)))
    layers += [(own[name], f"{name}/{variant}.yaml") for name, variant in picked.items()]
    return _merge(layers, dotted)


def parse_config(text: str, source: str) -> Config:
    """Read a full configuration back from the YAML text that :func:`to_yaml` wrote."""
    import yaml

    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML: {source}", "fix the YAML syntax") from error
    if isinstance(content, dict) and isinstance(corpus := content.get("corpus"), dict):
        corpus.pop("submission", None)  # a key of models packed by 0.1
    return _merge([(content, source)], [])


def to_yaml(config: Config) -> str:
    """The complete configuration as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _sections() -> list[str]:
    return [f.name for f in dataclasses.fields(Config) if dataclasses.is_dataclass(f.default_factory)]


def _variants(recipe: Path) -> list[str]:
    """Folders of a recipe with YAML files, other than those named as a section."""
    return sorted({p.parent.name for p in recipe.glob("*/*.yaml")} - {*_sections(), "conf"})


def _fragment(folder: Path | None, section: str, name: str) -> dict[str, Any]:
    path = folder / section if folder else None
    known = [p.stem for p in path.glob("*.yaml")] if path else []
    if name not in known or path is None:
        raise ConfigError(
            f"no fragment {name!r} in {folder and folder.name}/{section}",
            nearest(name, known) if known else "",
        )
    return _read_yaml(path / f"{name}.yaml")


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}", "a recipe is a folder with recipe.yaml") from error
    except yaml.YAMLError as error:
        raise ConfigError(
            f"not YAML: {path}: {' '.join(str(error).split())}", "fix the YAML syntax"
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is not a mapping of keys to values", "see asrkit config --help")
    return content


def _merge(layers: list[tuple[dict[str, Any], str]], dotted: list[str]) -> Config:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    merged = OmegaConf.structured(Config)
    OmegaConf.set_readonly(merged.decode, False)  # as long as it is merged
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
    name = key.split("[", maxsplit=1)[0]
    return ConfigError(
        f"{place}: {reason}{where}", f"asrkit config RECIPE --explain {name}" if name in keys(Config) else ""
    )
