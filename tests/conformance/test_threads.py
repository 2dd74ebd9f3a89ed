"""Threads: made, leased, written by one holder under a fence, and ended in one transaction."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from msgspec.structs import replace as replace_struct

from hansard import Conflict, NotFound
from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import Corrupt, InvalidInput
from hansard.core.threads import NewEvent, Thread, ThreadQuery, ThreadStep, TurnEnd
from hansard.core.usage import NewUsage
from hansard.service.sessions import DatabaseSessions
from hansard.service.threads import ThreadService
from hansard.store import sessions, thread_logs
from hansard.store.database import Tx
from tests.ledgers import Clock
from tests.samples import assistant, compete, together, user

LEASE_S = 15
ME = Actor()


@pytest.fixture
async def record(record_url: str, clock: Clock) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        record.clock = clock
        yield record


@pytest.fixture
def threads(record: DatabaseSessions) -> ThreadService:
    return ThreadService(record.runner, clock=record.clock)


def acting(threads: ThreadService, actor: Actor) -> ThreadService:
    return ThreadService(threads.runner, actor=actor, clock=threads.clock)


def step(
    thread: Thread, *kinds: str, after: int | None = None, end: TurnEnd | None = None
) -> ThreadStep:
    fence = thread.lease.fence if thread.lease else 0
    events = tuple(NewEvent(kind, "{}") for kind in kinds)
    after = thread.seq if after is None else after
    return ThreadStep(fence=fence, after=after, events=events, at_us=1, end=end)


async def begin(
    threads: ThreadService, thread: Thread, turn_id: str = "turn_1", *, after: int = 1
) -> int:
    return await threads.begin_turn(
        thread.id,
        step(thread, "turn.started", after=after),
        turn_id=turn_id,
        kind="message",
        prompt="hello",
        settings="{}",
        message_index=0,
    )


def ending(turn_id: str = "turn_1", status: str = "completed") -> TurnEnd:
    return TurnEnd(turn_id=turn_id, status=status, error=None, usage="{}", steer_count=0)


async def test_thread_is_made_with_its_journal(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    made = await threads.create("airline", title="Seats", model="gpt-4o", system_prompt="Be kind.")
    assert (made.agent, made.title, made.model) == ("airline", "Seats", "gpt-4o")
    assert (made.seq, made.turn_id, made.lease, made.message_count) == (1, None, None, 0)
    assert await threads.get(made.id) == made
    journal = await record.get(made.id)
    assert (journal.agent, journal.system_prompt) == ("airline", "Be kind.")
    (event,) = await threads.list_events(made.id, after=0, limit=10)
    assert (event.seq, event.kind) == (1, "thread.started")


async def test_journal_is_no_session_of_a_list(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    await threads.create("airline")
    await record.create(session_id="thr_mine")
    assert [session.id for session in (await record.list()).items] == ["thr_mine"]


async def test_lease_is_one_servers_until_it_ends(threads: ThreadService, clock: Clock) -> None:
    made = await threads.create("airline")
    first = await threads.lease(made.id, holder="a", url="http://a")
    assert first.lease is not None
    assert (first.lease.holder, first.lease.url, first.lease.fence) == ("a", "http://a", 1)
    assert (await threads.lease(made.id, holder="b", url=None)).lease == first.lease
    clock.advance(LEASE_S + 1)
    second = await threads.lease(made.id, holder="b", url=None)
    assert second.lease is not None
    assert (second.lease.holder, second.lease.fence) == ("b", 2)
    assert await threads.renew([(("default", made.id), 1)], holder="a") == set()
    assert await threads.renew([(("default", made.id), 2)], holder="b") == {("default", made.id)}


async def test_leases_of_all_tenants_are_renewed_together(
    threads: ThreadService, clock: Clock
) -> None:
    other = acting(threads, Actor("other"))
    ours = [
        (("default", (await hold(threads, "a")).id), 1),
        (("other", (await hold(other, "a")).id), 1),
    ]
    lost = [(("default", (await hold(threads, "b")).id), 1), (ours[0][0], 2), (("x", "thr_no"), 1)]
    clock.advance(LEASE_S - 1)
    assert await threads.renew([*ours, *lost], holder="a") == {key for key, _ in ours}
    assert await threads.renew([], holder="a") == set()
    clock.advance(2)
    for service, ((_, thread_id), _) in zip((threads, other), ours, strict=True):
        found = await service.lease(thread_id, holder="b", url=None)
        assert found.lease is not None
        assert found.lease.holder == "a"


async def hold(threads: ThreadService, holder: str) -> Thread:
    return await threads.lease((await threads.create("airline")).id, holder=holder, url=None)


async def test_server_that_was_believed_dead_writes_nothing(
    threads: ThreadService, record: DatabaseSessions, clock: Clock
) -> None:
    made = await threads.create("airline")
    old = await threads.lease(made.id, holder="a", url=None)
    await begin(threads, old)
    clock.advance(LEASE_S + 1)
    await threads.lease(made.id, holder="b", url=None)
    with pytest.raises(Conflict) as caught:
        await threads.write(made.id, step(old, "item.delta"))
    assert caught.value.code == "lease_lost"
    with pytest.raises(Conflict) as caught:
        await settle(record, old, ending())
    assert caught.value.code == "lease_lost"
    assert (await threads.get(made.id)).seq == 2
    assert (await record.get(made.id)).message_count == 0


async def test_of_turns_begun_at_once_one_is_under_way(threads: ThreadService) -> None:
    made = await threads.create("airline")
    held = await threads.lease(made.id, holder="a", url=None)
    _, refused = await compete([begin(threads, held, f"turn_{n}") for n in range(8)])
    assert [refusal.code for refusal in refused] == ["step_written"] * 7
    with pytest.raises(Conflict) as caught:
        await begin(threads, held, "turn_8", after=2)
    assert caught.value.code == "turn_active"
    found = await threads.get(made.id)
    assert (found.turn_count, found.seq, found.latest_status) == (1, 2, "in_progress")
    (turn,) = await threads.list_turns(made.id)
    assert (turn.number, turn.turn_id, turn.status) == (1, found.turn_id, "in_progress")


async def settle(record: DatabaseSessions, thread: Thread, end: TurnEnd) -> None:
    await record.settle_turn(
        thread.id,
        [user("hello"), assistant("hi")],
        usage=[NewUsage(event_id="call_1", input_tokens=3, output_tokens=2)],
        turn_id=end.turn_id,
        status=end.status,
        holds=(),
        at_us=1,
        creates=False,
        step=step(thread, "turn.completed", after=2, end=end),
    )


async def test_turn_ends_in_one_transaction(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    made = await threads.create("airline")
    held = await threads.lease(made.id, holder="a", url=None)
    await begin(threads, held)
    await settle(record, held, ending())
    found = await threads.get(made.id)
    assert (found.turn_id, found.latest_status, found.message_count) == (None, "completed", 2)
    assert (found.usage.input_tokens, found.usage.output_tokens) == (3, 2)
    events = await threads.list_events(made.id, after=0, limit=10)
    assert [event.kind for event in events] == ["thread.started", "turn.started", "turn.completed"]
    turn = await threads.get_turn(made.id, "turn_1")
    assert turn is not None
    assert (turn.status, turn.started_seq) == ("completed", 2)
    with pytest.raises(Conflict) as caught:
        await settle(record, held, ending())
    assert caught.value.code == "step_written"
    assert (await threads.get(made.id)).usage.calls == 1
    await begin(threads, held, "turn_2", after=3)


async def test_events_of_one_thread_have_no_gaps(threads: ThreadService) -> None:
    held = [
        await threads.lease((await threads.create("airline")).id, holder="a", url=None)
        for _ in range(3)
    ]

    async def write(thread: Thread) -> None:
        for after in range(1, 21):
            await threads.write(thread.id, step(thread, "item.delta", after=after))

    await together([write(thread) for thread in held])
    for thread in held:
        events = await threads.list_events(thread.id, after=0, limit=100)
        assert [event.seq for event in events] == list(range(1, 22))
        later = await threads.list_events(thread.id, after=19, limit=1)
        assert [event.seq for event in later] == [20]


async def test_step_lands_once(threads: ThreadService) -> None:
    held = await hold(threads, "a")
    again = step(held, "item.started", "item.delta")
    _, refused = await compete([threads.write(held.id, again) for _ in range(8)])
    assert [refusal.code for refusal in refused] == ["step_written"] * 7
    events = await threads.list_events(held.id, after=0, limit=10)
    assert [event.kind for event in events] == ["thread.started", "item.started", "item.delta"]
    with pytest.raises(Conflict):
        await threads.write(held.id, step(held, "item.delta", after=4))


async def test_lost_turn_is_found(threads: ThreadService, clock: Clock) -> None:
    made = await threads.create("airline")
    held = await threads.lease(made.id, holder="a", url=None)
    await begin(threads, held)
    assert await threads.find_lost() == []
    clock.advance(LEASE_S + 1)
    assert await threads.find_lost() == [("default", made.id, None)]
    await threads.lease(made.id, holder="b", url=None)
    assert await threads.find_lost() == []


async def test_thread_is_released(threads: ThreadService) -> None:
    made = await threads.create("airline")
    await threads.lease(made.id, holder="a", url=None)
    await threads.release(made.id, holder="b", fence=1)
    assert (await threads.get(made.id)).lease is not None
    await threads.release(made.id, holder="a", fence=1)
    assert (await threads.get(made.id)).lease is None
    again = await threads.lease(made.id, holder="b", url=None)
    assert again.lease is not None
    assert again.lease.fence == 2


async def test_fork_has_the_turns_of_its_messages(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    made = await threads.create("airline", title="Seats")
    held = await threads.lease(made.id, holder="a", url=None)
    await begin(threads, held)
    await settle(record, held, ending())
    whole = await threads.fork(made.id)
    assert (whole.parent_id, whole.title, whole.message_count) == (made.id, "Seats", 2)
    assert [turn.turn_id for turn in await threads.list_turns(whole.id)] == ["turn_1"]
    assert whole.usage.input_tokens == 0
    nothing = await threads.fork(made.id, 0)
    assert (nothing.message_count, await threads.list_turns(nothing.id)) == (0, [])
    assert (await record.verify(whole.id)).ok


async def test_session_goes_on_as_a_thread(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    await record.append_turn("s-1", [user("hello"), assistant("hi")], create=True)
    thread, source = await threads.resume("s-1", "airline", model="gpt-4o")
    assert (thread.session_id, thread.message_count, thread.model) == ("s-1", 2, "gpt-4o")
    assert source.id == "s-1"
    with pytest.raises(NotFound):
        await threads.resume("s-2", "airline")


async def test_thread_says_something_else_of_itself(
    threads: ThreadService, record: DatabaseSessions
) -> None:
    await record.create(session_id="s-1")
    made = await threads.create("airline", title="Seats")
    held = await threads.lease(made.id, holder="a", url=None)

    changed = replace(held, title=None, archived=True, session_id="s-1", context="{}")
    await threads.change(changed, step(held, "thread.updated"))
    found = await threads.get(made.id)
    assert (found.title, found.archived, found.session_id) == (None, True, "s-1")
    assert (await threads.list(ThreadQuery())).items == ()
    (listed,) = (await threads.list(ThreadQuery(archived=True))).items
    assert listed.id == made.id


async def test_thread_is_its_owners(threads: ThreadService) -> None:
    alice, bob = (
        acting(threads, Actor("default", who, sees_all=False)) for who in ("alice", "bob")
    )
    other = acting(threads, Actor("other", "alice", sees_all=True))
    made = await alice.create("airline")
    for stranger in (bob, other):
        assert (await stranger.list(ThreadQuery())).items == ()
        for attempt in (
            stranger.get(made.id),
            stranger.list_turns(made.id),
            stranger.list_events(made.id, after=0, limit=1),
            stranger.lease(made.id, holder="b", url=None),
            stranger.fork(made.id),
        ):
            with pytest.raises(NotFound):
                await attempt
    assert [thread.id for thread in (await alice.list(ThreadQuery())).items] == [made.id]


async def test_threads_are_listed_page_by_page(threads: ThreadService, clock: Clock) -> None:
    made = []
    for _ in range(5):
        clock.advance(1)
        made.append((await threads.create("airline")).id)
    listed, cursor = [], None
    while True:
        page = await threads.list(ThreadQuery(limit=2, cursor=cursor))
        listed += [thread.id for thread in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert listed == made[::-1]
    found = await threads.list(ThreadQuery(search=made[2][10:].lower()))
    assert [thread.id for thread in found.items] == [made[2]]


@pytest.mark.parametrize("damage", [{"settings": '{"mode":1}', "goal": None}, {"goal": "{"}])
async def test_thread_that_cannot_be_read_keeps_no_other_out_of_a_list(
    threads: ThreadService, damage: dict[str, str | None]
) -> None:
    made = [(await threads.create("airline", title=title)).id for title in ("one", "two")]
    fields = {"archived": False, "session_id": None, "context": None, "settings": "{}", **damage}
    key = {"tenant_id": threads.actor.tenant_id, "thread_id": made[0]}
    await threads.runner.write(lambda tx: tx.run("thread_change", **key, **fields))
    listed = (await threads.list(ThreadQuery())).items
    assert {thread.id for thread in listed} == set(made)
    assert {thread.title for thread in listed} == {"one", "two"}
    with pytest.raises(Corrupt):
        await threads.get(made[0])
    assert (await threads.get(made[1])).title == "two"


@asynccontextmanager
async def ending_slowly(record: DatabaseSessions, thread: Thread) -> AsyncIterator[None]:
    """A turn whose end is being written in the block, and is on disk behind it."""
    loop, begun, over = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def end(tx: Tx) -> None:
        sessions.lock(tx, ME, thread.id)
        loop.call_soon_threadsafe(begun.set)
        over.wait()
        context = '{"message_index":0,"summary":"in short"}'
        end = replace_struct(ending(), context=context)
        thread_logs.write(tx, ME, thread.id, step(thread, "turn.completed", after=2, end=end))

    writing = asyncio.ensure_future(record.runner.write(end))
    await begun.wait()
    try:
        yield
    finally:
        over.set()
        await writing


async def test_fork_is_of_one_moment(threads: ThreadService, record: DatabaseSessions) -> None:
    held = await hold(threads, "a")
    await begin(threads, held)
    async with ending_slowly(record, held):
        forking = asyncio.ensure_future(threads.fork(held.id))
        undoing = asyncio.ensure_future(threads.undo(held.id))
        for _ in range(20):
            await threads.get(held.id)
    fork = await forking
    assert (fork.turn_count, fork.context) == (1, (await threads.get(held.id)).context)
    with pytest.raises(InvalidInput) as caught:  # and not for a turn that runs
        await undoing
    assert caught.value.code == "too_few_turns"
