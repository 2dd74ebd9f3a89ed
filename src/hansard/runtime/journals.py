"""Journals: the messages of a thread, read for its engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from hansard.core.errors import Corrupt
from hansard.core.threads import Thread
from hansard.offload import THREAD_BYTES, beside
from hansard.service.sessions import DatabaseSessions

PARSED_AT_ONCE: Final = 500  # messages; others wait for as long

Body = dict[str, Any]

_DECODER: Final = msgspec.json.Decoder(list[Body])  # the record checked them when they came


async def read_journal(record: DatabaseSessions, thread: Thread) -> list[Body]:
    """Read a thread's messages, all on one snapshot.

    Raises:
        Corrupt: ``session_corrupt``.
    """
    journal, texts = await record.read_history(thread.id)
    if len(texts) != journal.message_count:
        raise Corrupt("a stored message is missing", code="session_corrupt")
    size_bytes = sum(map(len, texts))
    return await beside(size_bytes > THREAD_BYTES, partial(_parse, texts))


def _parse(texts: Sequence[str]) -> list[Body]:
    messages: list[Body] = []
    try:
        for start in range(0, len(texts), PARSED_AT_ONCE):
            messages += _DECODER.decode(f"[{','.join(texts[start : start + PARSED_AT_ONCE])}]")
    except msgspec.MsgspecError as exc:
        raise Corrupt("a stored message cannot be read", code="session_corrupt") from exc
    return messages
