"""Every link of the documentation leads somewhere."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.docs.pages import ROOT, anchors, links, name, pages


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [link for link in links(page) if not _leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=name)
def test_every_page_is_reached_from_the_readme(page: Path) -> None:
    assert page in _reachable(ROOT / "README.md", set())


def _leads_somewhere(page: Path, link: str) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return parts.scheme == "https" and bool(parts.netloc)
    target = page.parent / parts.path if parts.path else page
    if not parts.fragment:
        return target.exists()
    return target.suffix == ".md" and target.exists() and parts.fragment in anchors(target)


def _reachable(page: Path, seen: set[Path]) -> set[Path]:
    if page in seen or page.suffix != ".md" or not page.exists():
        return seen
    seen.add(page)
    for link in links(page):
        parts = urlsplit(link)
        if not parts.scheme and parts.path:
            _reachable((page.parent / parts.path).resolve(), seen)
    return seen
