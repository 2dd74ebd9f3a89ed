"""One harness for every fault.

    callers --a turn, again and again until it is answered--> record ---> History
    readers --seq > n, events > n, a snapshot in between----> observer -> History
    nemesis --harm, at moments that the history tells-------> the place

A run ends when the nemesis has ended, every call is answered, and the same open record has
taken one turn more in each session; it fails when nobody is told anything for too long (G: no
stall without end, and the record works again by itself). Then ``check_invariants`` compares
what the record holds with what everybody was told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg

from hansard import HansardError, NotFound, SessionService, TurnReceipt, Unavailable
from hansard.core.strict_json import loads
from hansard.service.sessions import DatabaseSessions
from tests.faults.history import STALL_S, History, Sent, Snapshot, Told, make_turn
from tests.faults.invariants import check_invariants
from tests.postgres import PostgresServer

T = TypeVar("T")

PAUSE_S = 0.01  # of a caller who was told to try again, so that it does not spin
STEP = 50  # messages in one page of a reader

Nemesis = Callable[[History], Awaitable[None]]


@dataclass(frozen=True)
class Load:
    """How many callers send to how many sessions; the seed decides what they send."""

    seed: int
    callers: int = 8
    sessions: int = 4

    @property
    def session_ids(self) -> list[str]:
        return [f"session-{n}" for n in range(self.sessions)]

    def turns(self, caller: int) -> Iterator[Sent]:
        """What one caller sends, without end."""
        rng = random.Random(f"{self.seed}-{caller}")
        for n in range(10**9):
            yield make_turn(rng, rng.choice(self.session_ids), f"{caller}.{n}")


async def run(
    load: Load,
    records: Sequence[SessionService],
    observer: DatabaseSessions,
    nemesis: Nemesis,
) -> History:
    """Let everybody work while ``nemesis`` does harm, then check what is left.

    The callers share the records, which are all of one place.
    """
    history = History()
    with seed_told(load.seed):
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as readers:
            for session_id in load.session_ids:
                readers.create_task(_poll(observer, history, session_id, ended))
                readers.create_task(_follow(observer, history, session_id, ended))
            await _work(load, records, observer, history, nemesis)
            ended.set()
            history.note()
        await check_invariants(observer, history)
    return history


async def send(record: SessionService, history: History, sent: Sent) -> None:
    """Send a turn with the same id until it is acknowledged or refused."""
    while True:
        try:
            receipt = await attempt(record, sent)
        except Unavailable as error:
            history.fail(error)
            await asyncio.sleep(PAUSE_S)
        except HansardError as error:
            return history.refuse(sent, error)
        else:
            return history.acknowledge(sent, receipt)


async def attempt(record: SessionService, sent: Sent) -> TurnReceipt:
    """Send a turn once, making its session on the way."""
    return await record.append_turn(
        sent.session_id, sent.messages, usage=sent.usage, turn_id=sent.turn_id, create=True
    )


async def ask(server: PostgresServer, statement: str) -> list[Any]:
    """Run a statement on a server that may be recovering from a crash."""
    while True:
        try:
            return await asyncio.to_thread(server.execute, statement)
        except psycopg.OperationalError:
            await asyncio.sleep(PAUSE_S)


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds that other threads and processes decide."""
    async with asyncio.timeout(STALL_S):
        while not holds():
            await asyncio.sleep(PAUSE_S)


def with_settings(url: str, **settings: str) -> str:
    """A PostgreSQL URL whose connections have other settings of the server than ours."""
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return f"{url}&options={quote(options)}"


@contextmanager
def seed_told(seed: object) -> Iterator[None]:
    """Name the seed in whatever goes wrong."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"seed {seed}")
        raise


async def _work(
    load: Load,
    records: Sequence[SessionService],
    observer: DatabaseSessions,
    history: History,
    nemesis: Nemesis,
) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as callers:
        for caller in range(load.callers):
            record = records[caller % len(records)]
            callers.create_task(_call(record, history, load.turns(caller), stop))
        await nemesis(history)
        for session_id in load.session_ids:
            history.snapshots += await _snapshot(observer, history, session_id)
        await history.more(load.callers)
        stop.set()
    async with asyncio.timeout(STALL_S):
        for n, record in enumerate(records):
            for session_id in load.session_ids:
                sent = make_turn(random.Random(load.seed), session_id, f"last.{n}")
                await send(record, history, sent)


async def _call(
    record: SessionService, history: History, turns: Iterator[Sent], stop: asyncio.Event
) -> None:
    while not stop.is_set():
        await send(record, history, next(turns))


async def _poll(
    record: DatabaseSessions, history: History, session_id: str, ended: asyncio.Event
) -> None:
    """Ask for what is after the last message seen, whenever something was acknowledged."""
    seen = history.polled.setdefault(session_id, [])

    async def read() -> list[int]:
        page = await record.list_messages(session_id, after=seen[-1] if seen else None, limit=STEP)
        return [message.seq for message in page.items]

    while True:
        last, told = ended.is_set(), len(history.acknowledged)
        found: list[int] = await _again(history, read, [])
        seen += found
        if not found:
            if last:
                return
            await history.until(partial(_has_news, history, told, ended))


def _has_news(history: History, told: int, ended: asyncio.Event) -> bool:
    return len(history.acknowledged) > told or ended.is_set()


async def _follow(
    record: DatabaseSessions, history: History, session_id: str, ended: asyncio.Event
) -> None:
    """Follow the events; join again where the stream broke off; leave after the last."""
    seen = history.followed.setdefault(session_id, [])

    async def follow() -> None:
        async for event in record.events(session_id, since=len(seen)):
            seen.append(Told(event.number, event.turn_id, event.first_seq, event.last_seq))
            history.note()

    await history.until(lambda: any(name == session_id for name, _ in history.acknowledged))
    following = asyncio.create_task(_again(history, follow, None))
    following.add_done_callback(lambda _task: history.note())
    await history.until(ended.is_set)
    session = await _again(history, partial(record.get, session_id), None)
    assert session
    await history.until(lambda: len(seen) >= session.version or following.done())
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following


async def _snapshot(record: DatabaseSessions, history: History, session_id: str) -> list[Snapshot]:
    found = await _again(history, partial(record.read_history, session_id), None)
    if found is None:
        return []
    session, texts = found
    return [Snapshot(session_id, session.version, session.digest, [loads(one) for one in texts])]


async def _again(history: History, read: Callable[[], Awaitable[T]], default: T) -> T:
    """Read, again while the place does not answer; the default stands for what is not there."""
    while True:
        try:
            return await read()
        except NotFound:
            return default
        except Unavailable as error:
            history.fail(error)
            await asyncio.sleep(PAUSE_S)
