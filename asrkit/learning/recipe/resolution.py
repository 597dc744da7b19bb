"""What a recipe leaves to the data: subsets and texts used where they are there, the size of features."""

from __future__ import annotations

from dataclasses import replace

from asrkit.config import Config
from asrkit.learning.data.corpora import CORPORA
from asrkit.learning.recipe.layout import lm_text_paths, source_path
from asrkit.learning.recipe.workspace import Workspace

OPTIONAL = "?"


def settle(workspace: Workspace) -> Workspace:
    """`workspace` with a configuration that leaves nothing to be looked up.

    A subset, or a file in ``lm.text``, whose name ends in ``?`` is used where it is there. If of
    ``corpus.train`` or ``corpus.dev`` none is there, the first is wanted, and may be downloaded.

    Raises:
        DataError: the corpus of given features is not there.
    """
    config, corpus = workspace.config, workspace.config.corpus
    source, reader = source_path(workspace), CORPORA[corpus.name]

    def there(name: str) -> bool:
        return all(path.exists() for path in reader.parts(source, [name]))

    def chosen(names: list[str]) -> list[str]:
        return [
            name.removesuffix(OPTIONAL)
            for name in names
            if not name.endswith(OPTIONAL) or there(name.removesuffix(OPTIONAL))
        ]

    train, dev = (chosen(names) or [names[0].removesuffix(OPTIONAL)] for names in (corpus.train, corpus.dev))
    settled = replace(config, corpus=replace(corpus, train=train, dev=dev, test=chosen(corpus.test)))
    plain = [name.removesuffix(OPTIONAL) for name in config.lm.text]
    paths = lm_text_paths(replace(workspace, config=with_texts(config, plain)))
    kept = [
        name
        for name, path, given in zip(plain, paths, config.lm.text, strict=True)
        if not given.endswith(OPTIONAL) or path.exists()
    ]
    settled = with_texts(settled, kept)
    if config.features.kind == "given" and not config.features.given_dim:
        dim = reader.feature_dim(source, train[0])
        settled = replace(settled, features=replace(config.features, given_dim=dim))
    return replace(workspace, config=settled)


def with_texts(config: Config, texts: list[str]) -> Config:
    return replace(config, lm=replace(config.lm, text=texts))
