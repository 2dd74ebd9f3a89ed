"""Conversations and helpers that many tests share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from msgspec import Struct, structs

from hansard import HansardError, SessionService
from hansard.core.budgets import NewHold

T = TypeVar("T")

Body = dict[str, Any]


def user(content: Any) -> Body:
    return {"role": "user", "content": content}


def assistant(content: Any) -> Body:
    return {"role": "assistant", "content": content}


def dialogue(count: int, word: str = "message") -> list[Body]:
    """So many messages, of two speakers in turn."""
    return [(user, assistant)[n % 2](f"{word} {n}") for n in range(count)]


def call(event_id: str, input_tokens: int = 0, **more: Any) -> dict[str, Any]:
    """One model call."""
    return {"event_id": event_id, "input_tokens": input_tokens, **more}


def new_hold(call_id: str, cost_nanousd: int | None = 0, **more: Any) -> NewHold:
    """What a call takes of a budget that may cost so much, and whose answer has no length."""
    fields: dict[str, Any] = {
        "session_id": None,
        "turn_id": f"turn-of-{call_id}",
        "agent": None,
        "provider": "openai",
        "model_asked": "m",
        "fixed_nanousd": cost_nanousd,
        "fixed_tokens": 0,
        "output_pico_per_token": 0,
        "output_tokens": 0,
        "least_output_tokens": None,
        "expires_at_us": 2**62,
    }
    return NewHold(call_id=call_id, **(fields | more))


async def collect(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


async def take(items: AsyncIterator[T], count: int) -> list[T]:
    """The first ``count`` of an endless iterator; fails if they do not come."""
    found = []
    async with asyncio.timeout(30):
        async for item in items:
            found.append(item)
            if len(found) == count:
                break
    close = getattr(items, "aclose", None)
    if close:
        await close()
    return found


async def together(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Await all at once; all must succeed."""
    return await asyncio.gather(*calls)


async def compete(calls: Sequence[Awaitable[T]]) -> tuple[list[T], list[HansardError]]:
    """Await all at once; return what succeeded, and the errors of the others."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, HansardError)]
    results = [outcome for outcome in outcomes if not isinstance(outcome, HansardError)]
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if not isinstance(result, BaseException)], errors


async def bodies(record: SessionService, session_id: str) -> list[Body]:
    return [message.body async for message in record.messages(session_id)]


async def snapshot(record: SessionService, session_id: str) -> tuple[Any, ...]:
    """Everything that can be asked about one session."""
    return (
        await record.get(session_id),
        await collect(record.messages(session_id)),
        await record.list_turns(session_id, limit=1_000),
        await record.usage(session_id),
        await record.verify(session_id),
    )


async def told(answer: Awaitable[object]) -> Any:
    """What a place answers, without what must differ: times, and ids made on the way."""
    try:
        return plain(await answer)
    except HansardError as error:
        return type(error).__name__, error.code, error.details


def plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        value = asdict(value)
    if isinstance(value, Struct):
        value = structs.asdict(value)
    match value:
        case dict():
            return {
                name: plain(item) for name, item in value.items() if not name.endswith("_at_us")
            }
        case list() | tuple():
            return [plain(item) for item in value]
        case str():
            return re.sub(r"^(sess|msg|turn)_[0-9A-Z]{26}$", r"\1_…", value)
        case _:
            return value
