"""Offload: work on what may be large, beside the event loop, so that other callers' turns go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from hansard.core import strict_json

T = TypeVar("T")
MessageList = Sequence[Mapping[str, Any]]

THREAD_MESSAGES: Final = 256  # a longer list is worked on beside the event loop
THREAD_BYTES: Final = 64 * 1024  # likewise; to parse and write as much takes a millisecond
_VALUE_BYTES = 8  # that every value counts beside its text


async def check_list(check: Callable[[MessageList], T], messages: MessageList) -> T:
    """Check a list of any length; what others change meanwhile is not half taken over."""
    if isinstance(messages, list | tuple) and is_long(messages):
        return await asyncio.to_thread(_check_copy, check, tuple(messages))
    return check(messages)


async def beside(is_large: bool, work: Callable[[], T]) -> T:  # noqa: FBT001
    """Do work beside the event loop if it is large; nobody else may change what it is on."""
    return await asyncio.to_thread(work) if is_large else work()


def is_long(values: Sequence[Any], *, size_bytes: int = THREAD_BYTES) -> bool:
    """Tell whether a list is long, or holds much text; looks no further than it must.

    >>> is_long([{"role": "user", "content": "Hi"}]), is_long([["x" * 70_000]])
    (False, True)
    """
    if len(values) > THREAD_MESSAGES:
        return True
    todo: list[Any] = list(values)
    while todo and size_bytes > 0:
        value = todo.pop()
        size_bytes -= _VALUE_BYTES
        if isinstance(value, str):
            size_bytes -= len(value)
        elif isinstance(value, Mapping):
            todo += value.values()
        elif isinstance(value, list | tuple):
            todo += value
    return size_bytes <= 0


def _check_copy(check: Callable[[MessageList], T], messages: MessageList) -> T:
    return check([strict_json.snapshot(message) for message in messages])
