"""Threads in SQL: made, found, listed, and leased to the server that may write their logs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hansard.core.actors import Actor
from hansard.core.errors import Corrupt
from hansard.core.goals import read_goal, write_goal
from hansard.core.sessions import NewSession
from hansard.core.thread_settings import ThreadSettings, read_settings, write_settings
from hansard.core.threads import (
    Lease,
    NewEvent,
    Thread,
    ThreadEvent,
    ThreadQuery,
    ThreadStep,
    ThreadTurn,
    thread_not_found,
)
from hansard.core.usage import UsageTotals
from hansard.store import session_lists, sessions, thread_logs
from hansard.store.database import Row, Tx, one
from hansard.store.sessions import Key


def add(
    tx: Tx,
    actor: Actor,
    journal: NewSession,
    events: Sequence[NewEvent],
    *,
    settings: ThreadSettings,
    archived: bool = False,
    session_id: str | None = None,
    parent_id: str | None = None,
    turn_count: int = 0,
    context: str | None = None,
    carried: str | None = None,
) -> None:
    """Make a thread of a journal that is there, with the first events.

    ``turn_count`` is that of the parent, whose turns it has as far as its messages go.
    """
    tx.run(
        "thread_insert",
        tenant_id=actor.tenant_id,
        thread_id=journal.id,
        owner=journal.owner,
        agent=journal.agent or "",
        archived=archived,
        session_id=session_id,
        parent_id=parent_id,
        turn_count=turn_count,
        context=context,
        carried=carried,
        settings=write_settings(settings),
        updated_at_us=journal.at_us,
    )
    if parent_id is not None:
        copied = {"tenant_id": actor.tenant_id, "thread_id": parent_id, "fork_id": journal.id}
        tx.run("thread_turn_copy", **copied)
    step = ThreadStep(fence=0, after=0, events=tuple(events), at_us=journal.at_us)
    thread_logs.write(tx, actor, journal.id, step)


def get(tx: Tx, actor: Actor, thread_id: str) -> Thread:
    """Return a thread.

    Raises:
        NotFound: If it does not exist or is not within the actor's reach.
    """
    row = one(tx, "thread_get", tenant_id=actor.tenant_id, thread_id=thread_id)
    if row is None or not actor.may_see(row[1]):
        raise thread_not_found(thread_id)
    return _thread(row)


def hold(tx: Tx, actor: Actor, thread_id: str) -> Thread:
    """Return a thread of which no turn ends until the transaction does.

    Raises:
        NotFound: If it does not exist or is not within the actor's reach.
    """
    get(tx, actor, thread_id)
    sessions.lock(tx, actor, thread_id)
    return get(tx, actor, thread_id)


def list_page(
    tx: Tx, actor: Actor, query: ThreadQuery, position: Sequence[Any] | None
) -> list[Thread]:
    """Return up to ``limit + 1`` threads after a position, the latest changed first."""
    given = {
        "owner": None if actor.sees_all else actor.owner,
        "archived": query.archived,
        "search": None if query.search is None else session_lists.like(query.search),
    }
    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    options = [*chosen]
    if position is not None:
        options.append("before")
        chosen |= {"before_us": position[0], "before_id": position[1]}
    rows = tx.rows(
        "thread_list", options, tenant_id=actor.tenant_id, limit=query.limit + 1, **chosen
    )
    return list(map(_listed, rows))


def change(tx: Tx, thread: Thread, tenant_id: str) -> None:
    """Write what a thread says of itself, beside what its journal holds of that."""
    tx.run(
        "thread_change",
        tenant_id=tenant_id,
        thread_id=thread.id,
        archived=thread.archived,
        session_id=thread.session_id,
        context=thread.context,
        settings=write_settings(thread.settings),
        goal=write_goal(thread.goal),
    )


def lease(
    tx: Tx,
    actor: Actor,
    thread_id: str,
    *,
    holder: str,
    url: str | None,
    now_us: int,
    until_us: int,
) -> Thread:
    """Take the lease of a thread for a server, unless another has it; return the thread then.

    Raises:
        NotFound: If there is none within the actor's reach.
    """
    get(tx, actor, thread_id)
    tx.rows(
        "thread_lease",
        (),
        tenant_id=actor.tenant_id,
        thread_id=thread_id,
        holder=holder,
        holder_url=url,
        lease_until_us=until_us,
        now_us=now_us,
    )
    return get(tx, actor, thread_id)


def renew(tx: Tx, leases: Iterable[tuple[Key, int]], *, holder: str, until_us: int) -> set[Key]:
    """Renew leases, each told with its fence; return the threads that are still held."""
    rows = [(until_us, *key, holder, fence) for key, fence in leases]
    (kept,) = tx.look_up(("thread_renew", rows))  # steps pass over what is locked meanwhile
    return {(row[0], row[1]) for row in kept}


def release(tx: Tx, key: Key, *, holder: str, fence: int) -> None:
    """Let go of a thread, if it is still held."""
    tx.run("thread_release", tenant_id=key[0], thread_id=key[1], holder=holder, fence=fence)


def find_lost(tx: Tx, now_us: int, limit: int) -> list[tuple[str, str, str | None]]:
    """Find threads of all tenants whose turn nobody goes on with: tenant, thread, owner."""
    rows = tx.rows("thread_find_lost", (), now_us=now_us, limit=limit)
    return [(row[0], row[1], row[2]) for row in rows]


def list_turns(
    tx: Tx, actor: Actor, thread_id: str, *, before: int, limit: int
) -> list[ThreadTurn]:
    """Return turns before a number, the latest first."""
    rows = tx.rows(
        "thread_turn_list",
        (),
        tenant_id=actor.tenant_id,
        thread_id=thread_id,
        before=before,
        limit=limit,
    )
    return list(map(_turn, rows))


def get_turn(tx: Tx, actor: Actor, thread_id: str, turn_id: str) -> ThreadTurn | None:
    """Return one turn, or None."""
    row = one(
        tx,
        "thread_turn_get",
        tenant_id=actor.tenant_id,
        thread_id=thread_id,
        turn_id=turn_id,
    )
    return _turn(row) if row else None


def find_cut(tx: Tx, actor: Actor, thread_id: str, depth: int) -> tuple[int, str] | None:
    """Find where the last turns begin, and what was said there; None if there are fewer.

    Messages that came from a session which knew no turns are parted by what the user says.
    """
    rows = tx.rows(
        "thread_cut",
        (),
        tenant_id=actor.tenant_id,
        session_id=thread_id,
        limit=depth + 1,
    )
    return (rows[depth][0], rows[depth][1]) if len(rows) > depth else None


def list_events(
    tx: Tx, actor: Actor, thread_id: str, *, after: int, limit: int
) -> list[ThreadEvent]:
    """Return events after a number, in order."""
    rows = tx.rows(
        "thread_event_list",
        (),
        tenant_id=actor.tenant_id,
        thread_id=thread_id,
        after=after,
        limit=limit,
    )
    return [ThreadEvent(**dict(zip(ThreadEvent.__slots__, row, strict=True))) for row in rows]


def _turn(row: Row) -> ThreadTurn:
    return ThreadTurn(**dict(zip(ThreadTurn.__slots__, row, strict=True)))


def _lease(holder: str | None, url: str | None, fence: int, until_us: int) -> Lease | None:
    if holder is None:
        return None
    return Lease(holder=holder, url=url, fence=fence, until_us=until_us)


def _listed(row: Row) -> Thread:
    """A thread of a list; one whose settings cannot be read does not keep the others out."""
    try:
        return _thread(row)
    except Corrupt:  # told to whoever asks for that thread
        return _thread((*row[:16], "{}", None, *row[18:]))


def _thread(row: Row) -> Thread:
    return Thread(
        id=row[0],
        owner=row[1],
        agent=row[2],
        title=row[3],
        model=row[4],
        system_prompt=row[5],
        archived=bool(row[6]),
        session_id=row[7],
        parent_id=row[8],
        seq=row[9],
        turn_count=row[10],
        turn_id=row[11],
        latest_turn_id=row[12],
        latest_status=row[13],
        context=row[14],
        carried=row[15],
        settings=read_settings(row[16]),
        goal=read_goal(row[17]),
        lease=_lease(*row[18:22]),
        message_count=row[22],
        usage=UsageTotals(*row[23:31]),
        created_at_us=row[31],
        updated_at_us=row[32],
    )
