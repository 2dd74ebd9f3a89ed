"""Comparing what a record holds with what was said, message by message."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import rfc8785

from examples.demo.conversations import Conversation
from hansard import NotFound, Session, SessionService
from hansard.core.money import format_usd

AT_ONCE: Final = 8
FIELDS: Final = ("input_tokens", "cached_tokens", "output_tokens", "cost_nanousd")


@dataclass
class Found:
    """What was found, and how much of it is as it was said."""

    sessions: int = 0
    same_messages: int = 0
    same_usage: int = 0
    same_digest: int = 0
    messages: int = 0
    turns: int = 0
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("calls", *FIELDS), 0))


async def compare_all(
    record: SessionService,
    conversations: Sequence[Conversation],
    *,
    ids: Mapping[str, str] | None = None,
) -> Found:
    """Compare every conversation with its session; ``ids`` says which that is."""
    found = Found()
    turnstile = asyncio.Semaphore(AT_ONCE)

    async def compare(conversation: Conversation) -> None:
        async with turnstile:
            session_id = (ids or {}).get(conversation.id, conversation.id)
            try:
                session = await record.get(session_id)
            except NotFound:
                return
            bodies = [message.body async for message in record.messages(session_id)]
            _add(found, conversation, session, bodies)

    async with asyncio.TaskGroup() as group:
        for conversation in conversations:
            group.create_task(compare(conversation))
    found.sessions = await _count_sessions(record)
    return found


def digest(messages: Iterable[Mapping[str, Any]]) -> str:
    """Compute the digest of a history as ``docs/message.md`` defines it."""
    head = bytes(32)
    for message in messages:
        head = hashlib.sha256(head + rfc8785.dumps(dict(message))).digest()
    return head.hex()


def total_rows(
    conversations: Sequence[Conversation], found: Found
) -> Iterator[tuple[str, str, str]]:
    """Set sums of what was said beside sums of what was found."""
    said = {
        "turns": (sum(len(each.turns) for each in conversations), found.turns),
        "messages": (sum(len(each.messages) for each in conversations), found.messages),
        "model calls": (sum(len(each.calls) for each in conversations), found.totals["calls"]),
    }
    for name, (expected, actual) in said.items():
        yield name, f"{expected:,}", f"{actual:,}"
    for name in FIELDS:
        expected = sum(each.total(name) for each in conversations)
        actual = found.totals[name]
        if name == "cost_nanousd":
            yield "cost", f"${format_usd(expected)}", f"${format_usd(actual)}"
        else:
            yield name.replace("_", " "), f"{expected:,}", f"{actual:,}"


def _add(
    found: Found, conversation: Conversation, session: Session, bodies: list[dict[str, Any]]
) -> None:
    said = conversation.messages
    found.same_messages += sum(
        json.dumps(body) == json.dumps(message) for body, message in zip(bodies, said, strict=False)
    )
    usage = {name: getattr(session.usage, name) for name in found.totals}
    expected = {name: conversation.total(name) for name in FIELDS}
    expected["calls"] = len(conversation.calls)
    found.same_usage += usage == expected
    found.same_digest += len(bodies) == len(said) and session.digest == digest(said)
    found.messages += len(bodies)
    found.turns += session.turn_count
    for name, value in usage.items():
        found.totals[name] += value


async def _count_sessions(record: SessionService) -> int:
    count, cursor = 0, None
    while True:
        page = await record.list(limit=500, cursor=cursor)
        count += len(page.items)
        if page.next_cursor is None:
            return count
        cursor = page.next_cursor
