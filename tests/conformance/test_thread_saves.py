"""Threads saved as sessions: rows are taken from the journal, tokens never become fewer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from hansard import Conflict, NotFound
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import Corrupt
from hansard.core.sessions import SaveReceipt
from hansard.core.threads import Thread
from hansard.core.usage import UsageTotals
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService
from tests.places import Place
from tests.samples import assistant, call, dialogue, snapshot, together, user

HUGE = 2**62
MANY = 10**12  # the most that one call may have used


@pytest.fixture
async def record(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield record


@pytest.fixture
def threads(record: DatabaseSessions) -> ThreadService:
    return ThreadService(record.runner, clock=record.clock)


async def thread_of(
    threads: ThreadService, record: DatabaseSessions, messages: list[dict[str, Any]]
) -> Thread:
    """A thread that goes on with such a history, and is saved as no session yet."""
    source = await record.create(messages=messages)
    thread, _ = await threads.resume(source.id, "airline")
    return replace(thread, session_id=None)


async def save(
    threads: ThreadService,
    thread: Thread,
    session_id: str,
    said: list[dict[str, Any]] | None = None,
    **more: Any,
) -> SaveReceipt:
    receipt, _, _ = await threads.save(
        thread,
        said or [],
        more.pop("usage", UsageTotals()),
        turn_id="turn_1",
        session_id=session_id,
        **more,
    )
    return receipt


SAID = [user("one more"), assistant("so far")]


async def test_session_becomes_what_the_thread_holds(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    """Whatever the session held, and from wherever on it differs."""
    thread = await thread_of(threads, record, dialogue(4))
    for stored, agrees, said in product((0, 2, 4, 5, 9), (0, 3, 5, 9), (0, 2)):
        whole = [*dialogue(4), *SAID[:said]]
        same = min(agrees, stored, len(whole))
        before = [*whole[:same], *dialogue(stored - same, "elsewhere")]
        name = f"s-{stored}-{agrees}-{said}"
        await record.create(session_id=name, messages=before)
        receipt = await save(threads, thread, name, SAID[:said])
        assert (receipt.appended, receipt.replaced) == (len(whole) - same, stored - same)
        assert [message.body async for message in record.messages(name)] == whole
        session = await record.get(name)
        assert (session.message_count, (await record.verify(name)).ok) == (len(whole), True)
        again = await save(threads, thread, name, SAID[:said])
        assert (again.appended, again.replaced, again.version) == (0, 0, session.version)


async def test_rows_are_those_of_the_journal(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    thread = await thread_of(threads, record, dialogue(3))
    await save(threads, thread, "s", [user("one more")])
    *taken, new = [message async for message in record.messages("s")]
    assert taken == [message async for message in record.messages(thread.id)]
    assert new.turn_id == "turn_1"


async def test_save_keeps_what_is_the_sessions_own(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    made = await record.create(session_id="s", title="Mine", metadata={"a": 1}, cost_data={"b": 2})
    await record.update("s", archived=True)
    thread = await thread_of(threads, record, dialogue(2))
    _, session, is_new = await threads.save(
        thread, [], UsageTotals(input_tokens=3, output_tokens=2), turn_id=None, session_id="s"
    )
    assert session == await record.get("s")
    assert (is_new, session.id, session.title, session.archived) == (False, "s", "Mine", True)
    assert (session.created_at_us, session.metadata) == (made.created_at_us, {"a": 1})
    assert session.cost_data == {
        "b": 2,
        "input_tokens": 3,
        "output_tokens": 2,
        "cached_tokens": 0,
        "total_tokens": 5,
        "model": None,
        "turn_count": 0,
    }


async def test_tokens_of_a_session_never_become_fewer(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    told = {"input_tokens": HUGE, "total_tokens": HUGE + 7, "cached_tokens": "many"}
    await record.create(session_id="s", cost_data=told)
    thread = await thread_of(threads, record, dialogue(2))
    usage = UsageTotals(input_tokens=3, output_tokens=HUGE)
    await save(threads, thread, "s", usage=usage)
    costs = (await record.get("s")).cost_data
    assert (costs["input_tokens"], costs["output_tokens"]) == (HUGE, HUGE)
    assert (costs["total_tokens"], costs["cached_tokens"]) == (HUGE + 7, 0)
    await save(threads, thread, "s", usage=UsageTotals(input_tokens=HUGE, output_tokens=HUGE))
    assert (await record.get("s")).cost_data["total_tokens"] == 2**63 - 1


async def test_tokens_go_on_over_resumes_and_forks(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    await record.append_turn("s", dialogue(2), usage=[call("c", input_tokens=MANY)], create=True)
    thread, _ = await threads.resume("s", "airline")
    for copy in (
        await threads.get(thread.id),
        await threads.fork(thread.id),
        await threads.fork((await threads.fork(thread.id, 0)).id),
        (await threads.undo(thread.id))[0],
    ):
        assert copy.total_usage.input_tokens == MANY
        assert copy.usage.input_tokens == 0  # what was counted once is not counted again
    saved = await threads.copy_to_session((await threads.fork(thread.id)).id, None)
    assert saved.cost_data["input_tokens"] == MANY


async def test_refused_save_leaves_the_session_as_it_is(
    threads: ThreadService, record: DatabaseSessions, record_url: str
) -> None:
    version = (await record.create(session_id="s", messages=dialogue(3, "old"))).version
    thread = await thread_of(threads, record, dialogue(2))
    bob = ThreadService(record.runner, actor=Actor("default", "bob", sees_all=False))
    before = await snapshot(record, "s")
    with pytest.raises(Conflict) as caught:
        await save(threads, thread, "s", expected_version=version + 1)
    assert caught.value.code == "version_mismatch"
    with pytest.raises(NotFound):
        await save(bob, thread, "s")
    with pytest.raises(Conflict) as caught:
        await save(threads, thread, thread.id)
    assert caught.value.code == "session_is_thread"
    gone = replace(thread, id="thr_" + "0" * 26)
    with pytest.raises(NotFound):
        await save(threads, gone, "s")
    assert await snapshot(record, "s") == before


@pytest.mark.parametrize("damage", ["{", "[]"])
async def test_session_that_cannot_be_read_is_told_and_left(
    threads: ThreadService, record: DatabaseSessions, record_url: str, damage: str
) -> None:
    await record.create(session_id="s", messages=dialogue(3, "old"))
    thread = await thread_of(threads, record, dialogue(2))
    place = Place(kind="", url="", database_url=record_url)
    place.execute(f"UPDATE session_details SET cost_data = '{damage}' WHERE session_id = 's'")
    with pytest.raises(Corrupt) as caught:
        await save(threads, thread, "s")
    assert caught.value.code == "session_corrupt"
    place.execute("UPDATE session_details SET cost_data = '{}' WHERE session_id = 's'")
    assert [message.body async for message in record.messages("s")] == dialogue(3, "old")


async def test_saves_at_once_leave_one_history(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    ours = await thread_of(threads, record, dialogue(3))
    theirs = await thread_of(threads, record, dialogue(5, "other"))
    await together([save(threads, each, "s") for each in [ours, theirs] * 4])
    said = [message.body async for message in record.messages("s")]
    assert said in (dialogue(3), dialogue(5, "other"))
    assert (await record.verify("s")).ok
