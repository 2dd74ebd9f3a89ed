"""How long an answer waits for a record."""

from __future__ import annotations

import asyncio

import pytest

from hansard.core.errors import LimitReached, Unavailable
from hansard.runtime.patience import SILENCES_MAX, Patience


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


async def never() -> None:
    await asyncio.Event().wait()


async def test_record_that_answers_is_asked_each_time() -> None:
    record, patience = Record(), Patience(60.0, never)
    assert [await patience.wait(record.ask) for _ in range(2)] == ["answer"] * 2
    assert not patience.is_lost


async def test_record_that_fails_is_left_alone_until_it_is_back() -> None:
    record, patience = Record(Unavailable("gone")), Patience(60.0, never)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await patience.wait(record.ask)
    assert (record.asked, patience.is_lost) == (1, True)
    record.error = None
    patience.restore()
    assert await patience.wait(record.ask) == "answer"


@pytest.mark.parametrize("error", [None, Unavailable("gone")])
async def test_slow_answer_is_nobody_elses_affair_while_the_record_reads(
    error: Exception | None,
) -> None:
    patience = Patience(0.0, Record(error).ask)
    for _ in range(SILENCES_MAX + 1):
        with pytest.raises(Unavailable) as refused:
            await patience.wait(never)
        assert refused.value.code == "record_unavailable"
        assert patience.is_lost == (error is not None)


async def test_record_that_neither_answers_nor_reads_is_lost() -> None:
    patience = Patience(0.0, never)
    with pytest.raises(Unavailable):
        await patience.wait(never)
    assert patience.is_lost


async def test_record_that_reads_and_takes_nothing_is_lost_in_the_end() -> None:
    """Not for those that wait together, nor while it takes what others write."""
    record = Record()
    patience = Patience(0.0, record.ask)

    async def write(times: int) -> None:
        for _ in range(times):
            with pytest.raises(Unavailable):
                await patience.wait(never, is_write=True)

    await asyncio.gather(*(write(1) for _ in range(SILENCES_MAX)))
    await write(SILENCES_MAX - 2)
    await patience.wait(record.ask, is_write=True)
    await write(SILENCES_MAX - 1)
    await patience.wait(record.ask)
    assert not patience.is_lost
    await write(1)
    assert patience.is_lost


async def test_refusal_is_an_answer() -> None:
    refusing = Record(LimitReached("no"))
    patience = Patience(0.0, Record().ask)
    for _ in range(SILENCES_MAX):
        with pytest.raises(Unavailable):
            await patience.wait(never, is_write=True)
        with pytest.raises(LimitReached):
            await patience.wait(refusing.ask, is_write=True)
    assert not patience.is_lost


async def test_cancellation_is_not_taken_for_slowness() -> None:
    """Also where both happen at once."""
    patience = Patience(0.0, never)
    waiting = asyncio.ensure_future(patience.wait(never))
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.0, waiting.cancel)
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_record_that_does_not_answer_something_quick_is_lost() -> None:
    patience = Patience(0.0, never)
    for _ in range(2):
        with pytest.raises(Unavailable) as refused:
            await patience.look(never)
        assert refused.value.code == "record_unavailable"
        assert patience.is_lost
