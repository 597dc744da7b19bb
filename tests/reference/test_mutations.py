"""The tests can tell right from wrong: of the bugs planted in the fast code none survives."""

from __future__ import annotations

import mutation
import pytest


def test_every_text_to_replace_is_there_once() -> None:
    mutation.sources()
    assert len(mutation.BUGS) == 32


@pytest.mark.slow
def test_every_planted_bug_is_caught() -> None:
    assert mutation.survivors([]) == []
