"""Offload: checks of long lists, beside the event loop, so that other callers' turns go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")
MessageList = Sequence[Mapping[str, Any]]

THREAD_MESSAGES: Final = 256  # a longer list is checked beside the event loop, a shorter one in it


async def check_list(check: Callable[[MessageList], T], messages: MessageList) -> T:
    """Check a list of any length; one that others lengthen meanwhile is taken as it was."""
    if isinstance(messages, list | tuple) and len(messages) > THREAD_MESSAGES:
        return await asyncio.to_thread(check, tuple(messages))
    return check(messages)
