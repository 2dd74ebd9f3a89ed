"""Journals: the messages of a thread, read for its engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from hansard.core import strict_json
from hansard.core.errors import NotFound
from hansard.core.messages import StoredMessage
from hansard.core.paging import LIMIT_MAX
from hansard.core.threads import Thread
from hansard.offload import THREAD_BYTES, beside
from hansard.service.sessions import DatabaseSessions

Body = dict[str, Any]


async def read_journal(record: DatabaseSessions, thread: Thread) -> list[Body]:
    """Read a thread's messages, page by page."""
    messages: list[Body] = []
    while len(messages) < thread.message_count:
        page = await record.list_stored_messages(
            thread.id, after=len(messages) - 1, limit=LIMIT_MAX
        )
        if not page.items:
            raise NotFound("the journal is shorter than it was", code="changed_meanwhile")
        size_bytes = sum(len(message.text) for message in page.items)
        messages += await beside(size_bytes > THREAD_BYTES, partial(_parse, page.items))
    return messages


def _parse(page: Sequence[StoredMessage]) -> list[Body]:
    return [strict_json.loads(message.text) for message in page]
