"""Writes far larger than what a socket or a statement takes at once."""

from __future__ import annotations

import asyncio

from hansard.compose import open_database
from tests.samples import user

COUNT = 20_000
CONTENT = "a" * 1_000
TOGETHER = 4


async def test_many_long_histories_are_created_and_extended_together(record_url: str) -> None:
    messages = [user(CONTENT)] * COUNT
    session_ids = [f"s{n}" for n in range(TOGETHER)]
    async with open_database(record_url) as record:
        created = await asyncio.gather(
            *[record.create(session_id=one, messages=messages) for one in session_ids]
        )
        assert [session.message_count for session in created] == [COUNT] * TOGETHER
        for session_id in session_ids:
            receipt = await record.append_messages(session_id, messages)
            assert (receipt.first_seq, receipt.last_seq) == (COUNT, 2 * COUNT - 1)


async def test_long_history_is_saved_whole(record_url: str) -> None:
    messages = [user(f"{n} {CONTENT}") for n in range(COUNT)]
    async with open_database(record_url) as record:
        assert (await record.save_messages("s", messages)).appended == COUNT
        receipt = await record.save_messages("s", messages[1:])
        assert (receipt.appended, receipt.replaced) == (COUNT - 1, COUNT)
