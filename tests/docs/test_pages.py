"""Links between documents lead to files, every page is in the site, and the names of the API page exist."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/*/*.md", "recipes/*/data/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
CODE = re.compile(r"^```.*?^```$|^ {4}[^\n]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if re.match(r"https?:|mailto:", link):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.is_file(), link
        assert not anchor or anchor in anchors(path), link


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = set(re.findall(r"[\w./-]+\.md", navigation))
    assert listed == {str(page.relative_to(ROOT)) for page in PAGES}
    assert yaml.safe_load("nav:\n" + navigation)["nav"]


def test_the_api_page_names_what_exists() -> None:
    names = re.findall(r"^::: ([\w.]+)$", (ROOT / "docs/api.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 8
    for name in names:
        parts = name.split(".")
        for split in range(len(parts), 0, -1):
            try:
                actual = import_module(".".join(parts[:split]))
            except ModuleNotFoundError:
                continue
            break
        for part in parts[split:]:
            actual = getattr(actual, part)
        assert actual.__doc__, name
