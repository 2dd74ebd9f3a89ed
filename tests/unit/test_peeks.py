"""Peeks: short, and without what opens doors."""

from __future__ import annotations

from typing import Any

import pytest

from hansard.core.peeks import MASK, TEXT_MAX, mask, peek
from tests.samples import assistant, user

WORDS = "word " * 200


def shown(*messages: dict[str, Any], count: int = 12) -> list[tuple[str, str]]:
    return [(entry.kind, entry.text) for entry in peek(messages, count)]


def test_what_was_said_last_is_shown_in_its_order() -> None:
    calls = [{"id": "c", "function": {"name": "book", "arguments": '{"seat":"1A"}'}}]
    said = {**assistant("here"), "reasoning_content": "hm", "tool_calls": calls}
    result = {"role": "tool", "tool_call_id": "c", "content": "booked"}
    told = [("reasoning", "hm"), ("assistant", "here"), ("tool", "book, 13 characters")]
    whole = [("user", "hi"), *told, ("tool", "result, 6 characters")]
    assert shown({"role": "system", "content": "be kind"}, user("hi"), said, result) == whole
    assert shown(user("hi"), said, result, count=2) == whole[-2:]


def test_parts_of_a_message_are_shown_by_their_kind() -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "text", "text": ""},
        {"type": "thinking", "thinking": "well"},
        {"type": "thinking", "text": "so"},
        {"type": "tool_use", "id": "c", "name": "find", "input": {"a": 1}},
        {"type": "image_url", "image_url": "data:"},
        {"type": "empty"},
        "no part",
    ]
    texts = shown({"role": "assistant", "content": parts})
    assert texts[:3] == [("assistant", "look"), ("reasoning", "well"), ("reasoning", "so")]
    assert [text.split(",")[0] for kind, text in texts[3:]] == ["find", "image_url"]
    assert {kind for kind, _ in texts[3:]} == {"tool"}
    assert shown({"role": "assistant", "content": None}, {"content": "nobody"}) == []


def test_long_text_is_cut() -> None:
    (entry,) = peek([user(WORDS)], 1)
    assert (entry.text, entry.truncated, entry.redacted) == (WORDS[:TEXT_MAX], True, False)
    name = {"function": {"name": "n" * 500, "arguments": ""}}
    (entry,) = peek([{"role": "assistant", "tool_calls": [name]}], 1)
    assert (entry.text, entry.truncated, entry.redacted) == ("n" * TEXT_MAX, True, True)


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-0123456789abcdef",
        "ghp_0123456789abcdefghij",
        "xoxb-123456789-abcdef",
        "AKIAIOSFODNN7EXAMPLE",
        "AIzaSyA0123456789abcdefghijk",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "hansard.default.01J0000000000000.c2VjcmV0c2VjcmV0",
        "0123456789abcdef0123456789abcdef",
        "aB3" * 12,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nMIIE",
    ],
)
def test_credential_is_masked(secret: str) -> None:
    (entry,) = peek([user(f"take {secret}")], 1)
    assert (entry.text, entry.redacted) == (f"take {MASK}", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abcdefghijk", f"Authorization: Bearer {MASK}"),
        ("postgres://me:hunter2@host/db", f"postgres://{MASK}@host/db"),
        ('{"password": "two words"}', f'{{"password": {MASK}}}'),
        ("PASSWORD=hunter2, API_KEY: 'x'", f"PASSWORD={MASK}, API_KEY: {MASK}"),
        ("my password is hunter2", f"my password is {MASK}"),
        ("Server=db;Pwd=hunter2;", f"Server=db;Pwd={MASK};"),
        ("the token of the thread", "the token of the thread"),
        ("task-forces ask a risky desk-clerk", "task-forces ask a risky desk-clerk"),
        ("https://example.org/a/b?c=d", "https://example.org/a/b?c=d"),
    ],
)
def test_what_is_named_a_secret_is_masked_and_nothing_else(text: str, expected: str) -> None:
    assert mask(text) == expected


def test_secret_that_is_cut_is_no_part_of_what_is_shown() -> None:
    block = "-----BEGIN PRIVATE KEY-----" + "a" * 1_400 + "-----END PRIVATE KEY-----"
    (entry,) = peek([user(f"{block} {'w ' * 66} sk-proj-0123456789abcdef")], 1)
    assert entry.text == f"{MASK} {'w ' * 66} "
    assert entry.truncated
