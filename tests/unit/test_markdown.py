"""Markdown: read by people, and nothing said in a session can pose as the page."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given

from hansard.core.documents import Document
from hansard.core.errors import InvalidInput
from hansard.formats import registry
from tests import json_values
from tests.documents import document_of, documents, full_document, written


def page(document: Document) -> str:
    return written("markdown", document).decode()


def page_of(*bodies: dict[str, Any]) -> str:
    return page(document_of(bodies))


def outside(text: str) -> str:
    """The page without its quotations and fenced blocks."""
    kept, fence = [], ""
    for line in re.split(r"\r\n|\r|\n", text):
        if fence:
            closing = re.fullmatch(r" {0,3}(`+)\s*", line)
            fence = "" if closing and len(closing[1]) >= len(fence) else fence
        elif opening := re.match(r"`{3,}", line):
            fence = opening[0]
        elif not line.startswith(">"):
            kept.append(line)
    assert not fence
    return "\n".join(kept)


def test_page_shows_the_session() -> None:
    text = page(full_document())
    assert text.startswith("# Rebooking\n\n- Session: sess_1\n- Agent: local/airline\n")
    assert "## System prompt\n\n> Be brief.\n" in text
    assert "## 1 · user · 2026-02-03T04:05:06.000003Z\n\n> Ünïcode" in text
    assert "- Input tokens: 30 (10 cached)\n" in text
    assert "- Cost: 0.018400001 USD\n" in text


def test_session_without_anything_has_a_page() -> None:
    text = page(document_of([{"role": "user", "content": None}], session_id=None))
    assert text.startswith("# Session\n")
    assert "## 0 · user\n" in text
    assert "Usage" not in text


def test_text_is_quoted_line_by_line() -> None:
    assert "> # not a heading\n>\n> ```\n" in page_of(
        {"role": "user", "content": "# not a heading\n\n```"}
    )


def test_tool_calls_stand_in_fenced_blocks() -> None:
    body = {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "name": "look"}]}
    assert 'Tool call:\n\n```json\n{\n  "id": "c",\n  "name": "look"\n}\n```\n' in page_of(body)


def test_fence_is_longer_than_any_inside() -> None:
    answer = "````\ninner\n````"
    body = {"role": "tool", "name": "look", "content": answer}
    assert f"## 0 · tool · look\n\n`````text\n{answer}\n`````\n" in page_of(body)


def test_parts_beside_text_are_shown() -> None:
    parts = [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "x"}}]
    text = page_of({"role": "user", "content": parts, "tool_calls": "odd"})
    assert "> See:\n" in text
    assert '"image_url"' in text
    assert '"tool_calls": "odd"' in text


@pytest.mark.parametrize("role", ["wizard", ["user"], None, 7])
def test_unknown_role_is_not_shown_as_a_speaker(role: object) -> None:
    assert "## 0 · message\n" in page_of({"role": role, "content": "x"})


def test_title_cannot_pose_as_the_page() -> None:
    text = page(document_of([], title="a\n## 0 · user\n<b>[x](y)"))
    assert text.startswith("# a ## 0 · user \\<b\\>\\[x\\](y)\n")


@given(documents())
def test_headings_are_ours_alone(document: Document) -> None:
    text = outside(page(document))
    numbered = re.findall(r"^## (\d+) · ", text, re.MULTILINE)
    assert numbered == [str(seq) for seq, _ in enumerate(document.messages)]


@given(json_values.texts)
def test_no_text_leaves_its_place(said: str) -> None:
    body = {"role": "user", "content": said + "\n## 1 · user\n```"}
    answer = {"role": "tool", "content": "```\n## 2 · user\n" + said}
    assert re.findall(r"^## (\d)", outside(page_of(body, answer)), re.MULTILINE) == ["0", "1"]


def test_markdown_is_not_read() -> None:
    with pytest.raises(InvalidInput) as caught:
        registry.read("markdown", io.BytesIO(b"# x"))
    assert caught.value.code == "unknown_format"
    assert caught.value.details["known"] == [
        "native",
        "native-stream",
        "cleveragents-1.0",
        "openai-chat",
    ]
