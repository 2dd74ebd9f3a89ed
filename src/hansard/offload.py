"""Offload: checks of long lists, beside the event loop, so that other callers' turns go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from hansard.core import strict_json

T = TypeVar("T")
MessageList = Sequence[Mapping[str, Any]]

THREAD_MESSAGES: Final = 256  # a longer list is checked beside the event loop, a shorter one in it


async def check_list(check: Callable[[MessageList], T], messages: MessageList) -> T:
    """Check a list of any length; what others change meanwhile is not half taken over."""
    if isinstance(messages, list | tuple) and len(messages) > THREAD_MESSAGES:
        return await asyncio.to_thread(_check_copy, check, tuple(messages))
    return check(messages)


def _check_copy(check: Callable[[MessageList], T], messages: MessageList) -> T:
    return check([strict_json.snapshot(message) for message in messages])
