"""Settings that depend on the data: optional subsets and texts, and the size of features."""

from dataclasses import replace

from asrkit.config import Config
from asrkit.learning.data.corpora import CORPORA
from asrkit.learning.recipe.layout import lm_text_paths, source_path
from asrkit.learning.recipe.workspace import Workspace

OPTIONAL = "?"


def resolve(workspace: Workspace) -> Workspace:
    """`workspace` with a configuration in which all of these are known.

    A trailing ``?`` marks a subset, or a file in ``lm.text``, as optional. If every subset in
    ``corpus.train`` or ``corpus.dev`` is optional and missing, the first is required, and may be downloaded.

    Raises:
        DataError: a corpus of features is missing.
    """
    config, corpus = workspace.config, workspace.config.corpus
    source, reader = source_path(workspace), CORPORA[corpus.name]

    def exists(name: str) -> bool:
        return all(path.exists() for path in reader.parts(source, [name]))

    def chosen(names: list[str]) -> list[str]:
        return [
            name.removesuffix(OPTIONAL)
            for name in names
            if not name.endswith(OPTIONAL) or exists(name.removesuffix(OPTIONAL))
        ]

    train, dev = (chosen(names) or [names[0].removesuffix(OPTIONAL)] for names in (corpus.train, corpus.dev))
    resolved = replace(config, corpus=replace(corpus, train=train, dev=dev, test=chosen(corpus.test)))
    plain = [name.removesuffix(OPTIONAL) for name in config.lm.text]
    paths = lm_text_paths(replace(workspace, config=with_texts(config, plain)))
    kept = [
        name
        for name, path, written in zip(plain, paths, config.lm.text, strict=True)
        if not written.endswith(OPTIONAL) or path.exists()
    ]
    resolved = with_texts(resolved, kept)
    if config.features.kind == "given" and not config.features.given_dim:
        dim = reader.feature_dim(source, train[0])
        resolved = replace(resolved, features=replace(config.features, given_dim=dim))
    return replace(workspace, config=resolved)


def with_texts(config: Config, texts: list[str]) -> Config:
    """The configuration with other texts for the language model."""
    return replace(config, lm=replace(config.lm, text=texts))
