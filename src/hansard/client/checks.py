"""Checks of lists: long ones beside the event loop, so that an agent's other work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hansard.core.ids import Clock
from hansard.core.messages import NewMessage

THREAD_MESSAGES = 256  # a longer list is checked beside the event loop, a shorter one in it

MessageList = Sequence[Mapping[str, Any]]


async def check_list(
    check: Callable[[MessageList, Clock], list[NewMessage]], messages: MessageList, clock: Clock
) -> list[NewMessage]:
    """Check a list of any length; one that others lengthen meanwhile is taken as it was."""
    if isinstance(messages, list | tuple) and len(messages) > THREAD_MESSAGES:
        return await asyncio.to_thread(check, tuple(messages), clock)
    return check(messages, clock)
