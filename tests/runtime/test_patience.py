"""How long an answer waits for a record."""

from __future__ import annotations

import asyncio

import pytest

from hansard.core.errors import LimitReached, Unavailable
from hansard.runtime.patience import Patience


class Record:
    """One that counts how often it is asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return "answer"


async def test_record_that_answers_is_asked_each_time() -> None:
    record, patience = Record(), Patience(60.0)
    assert [await patience.wait(record.ask) for _ in range(2)] == ["answer"] * 2
    assert not patience.is_lost


async def test_record_that_fails_is_left_alone_until_it_is_back() -> None:
    record, patience = Record(Unavailable("gone")), Patience(60.0)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await patience.wait(record.ask)
    assert (record.asked, patience.is_lost) == (1, True)
    record.error = None
    patience.restore()
    assert await patience.wait(record.ask) == "answer"


async def test_record_that_is_slow_is_not_waited_for() -> None:
    patience = Patience(0.0)
    with pytest.raises(Unavailable) as refused:
        await patience.wait(asyncio.Event().wait)
    assert refused.value.code == "record_unavailable"
    assert patience.is_lost


async def test_refusal_is_an_answer() -> None:
    record, patience = Record(LimitReached("no")), Patience(60.0)
    with pytest.raises(LimitReached):
        await patience.wait(record.ask)
    assert not patience.is_lost


async def test_cancellation_is_not_taken_for_slowness() -> None:
    """Also where both happen at once."""
    patience = Patience(0.0)
    waiting = asyncio.ensure_future(patience.wait(asyncio.Event().wait))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.0, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting
