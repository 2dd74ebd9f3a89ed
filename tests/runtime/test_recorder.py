"""How ended turns come into the record, in their order and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hansard.compose import open_database
from hansard.core.errors import Conflict, Unavailable
from hansard.core.usage import NewUsage
from hansard.runtime.patience import SILENCES_MAX, Patience
from hansard.runtime.recorder import RECORDED, Recorder
from hansard.runtime.spool_folder import SpoolFolder
from hansard.runtime.turn_records import TurnRecord
from hansard.service.sessions import DatabaseSessions
from tests.runtime.chats import SILENT, turn
from tests.samples import new_hold, user


@pytest.fixture
async def record(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield record.acting_as(turn(0).actor)


def ended(number: int, **more: Any) -> TurnRecord:
    """A turn with one call."""
    return replace(turn(number), usage=[NewUsage(event_id=f"call-{number}")], **more)


async def read() -> None:
    """A record that reads."""


async def never(*_: object, **__: object) -> None:
    """One that takes nothing."""
    await asyncio.Event().wait()


@asynccontextmanager
async def recording(
    record: DatabaseSessions, folder: Path, wait_max_s: float = 60.0
) -> AsyncIterator[tuple[Recorder, Patience]]:
    """A recorder, and what it waits with."""
    patience = Patience(wait_max_s, read)
    recorder = Recorder(record, SpoolFolder(folder), patience, SILENT)
    async with recorder.spool:
        yield recorder, patience


async def test_turn_waits_behind_those_of_its_session(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    async with recording(record, tmp_path) as (recorder, _):
        await recorder.spool.put(ended(1))
        await recorder.record(ended(2))
        assert await recorder.spool.flush()
    assert [kept.turn_id for kept in (await record.list_turns("s")).items] == ["turn-1", "turn-2"]


async def test_turn_that_was_paid_for_is_not_paid_again_when_it_is_refused(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    async with recording(record, tmp_path) as (recorder, _):
        await recorder.record(ended(1))
        await recorder.refuse(ended(1), Conflict("it is another", code=RECORDED))
    (bucket,) = (await record.usage_report(group_by=("model",))).buckets
    assert bucket.totals.calls == 1


async def test_turn_that_lands_ends_the_pause(record: DatabaseSessions, tmp_path: Path) -> None:
    async def is_gone() -> None:
        raise Unavailable("gone")

    async with recording(record, tmp_path) as (recorder, patience):
        with pytest.raises(Unavailable):
            await patience.wait(is_gone)
        await recorder.land(ended(1))
        assert not patience.is_lost


async def test_hold_of_a_call_that_was_not_made_is_let_go_of(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    await record.take_hold(new_hold("unmade", 1))
    async with recording(record, tmp_path) as (recorder, _):
        await recorder.record(ended(1, unmade=["unmade"]))
    assert not (await record.list_holds(state="open")).items


async def test_turn_whose_history_was_not_read_is_completed_first(
    record: DatabaseSessions, tmp_path: Path
) -> None:
    async with recording(record, tmp_path) as (recorder, _):
        await recorder.record(ended(1, sent=[user("hi")]))
        assert await recorder.spool.flush()
    said = [message.body["role"] async for message in record.messages("s")]
    assert said == ["user", "assistant"]


async def test_record_that_takes_no_turns_is_lost_in_the_end(
    record: DatabaseSessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DatabaseSessions, "settle_turn", never)
    async with recording(record, tmp_path, 0.0) as (recorder, patience):
        for number in range(SILENCES_MAX):
            assert not patience.is_lost
            await recorder.record(ended(number, session_id=f"s{number}"))
        assert patience.is_lost
