"""The record on a database: the face, composed of transactions.

Arguments are checked here, on the caller's own loop; what is left is a function of a
transaction, which a thread of the database runs whole. A caller that is cancelled stops
waiting; its transaction happens or does not, never half.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hansard.core import strict_json
from hansard.core.actors import Actor
from hansard.core.documents import ImportReport
from hansard.core.errors import Conflict, InvalidInput, NotFound
from hansard.core.events import Event
from hansard.core.ids import Clock, check_id, make_ulid
from hansard.core.messages import (
    Message,
    NewMessage,
    StoredMessage,
    check_any_messages,
    check_messages,
)
from hansard.core.paging import Page, check_limit, read_cursor, sign_cursor
from hansard.core.sessions import (
    UNSET,
    NewSession,
    PurgeReport,
    SaveReceipt,
    Session,
    SessionQuery,
    Unset,
    UpdateReceipt,
    Verification,
    check_changes,
    check_new_session,
)
from hansard.core.turns import (
    AppendReceipt,
    NewTurn,
    Turn,
    TurnReceipt,
    check_append,
    check_seq,
    check_turn,
)
from hansard.core.usage import NewUsage, SessionUsage, UsageTotals, check_usage
from hansard.service import exchange, verification
from hansard.service.threads import Runner
from hansard.store import events, messages, sessions, turns, usage
from hansard.store.database import Tx
from hansard.store.sessions import Head
from hansard.store.turns import Append

T = TypeVar("T")

EVENTS_STEP = 200  # events read at a time
PAGE_STEP = 200  # messages read at a time while iterating
POLL_S = 1.0  # how long a reader of events relies on announcements alone
PURGE_STEP = 200  # sessions removed in one transaction


def system_clock() -> int:
    """The present time in microseconds since 1970, UTC."""
    return time.time_ns() // 1000


class DatabaseSessions:
    """Implements ``SessionService`` on a database, on behalf of one actor."""

    def __init__(
        self, runner: Runner, *, actor: Actor | None = None, clock: Clock = system_clock
    ) -> None:
        self.runner = runner
        self.actor = actor or Actor()
        self._clock = clock

    async def __aenter__(self) -> Self:
        await self.runner.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.runner.close()

    def acting_as(self, actor: Actor) -> DatabaseSessions:
        """The same record on behalf of another actor; cheap, nothing to close."""
        return DatabaseSessions(self.runner, actor=actor, clock=self._clock)

    async def create(
        self,
        *,
        session_id: str | None = None,
        agent: str | None = None,
        title: str | None = None,
        model: str | None = None,
        system_prompt: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        cost_data: Mapping[str, Any] | None = None,
        messages: Sequence[Mapping[str, Any]] = (),
    ) -> Session:
        new = check_new_session(
            session_id=session_id,
            owner=self.actor.owner,
            agent=agent,
            title=title,
            model=model,
            system_prompt=system_prompt,
            metadata=metadata,
            cost_data=cost_data,
            messages=check_messages(messages, self._clock),
            clock=self._clock,
        )
        return await self._write(new.id, lambda tx: _create(tx, self.actor, new))

    async def get(self, session_id: str) -> Session:
        return await self._read_session(session_id, lambda _tx, session: session)

    async def exists(self, session_id: str) -> bool:
        try:
            await self.get(session_id)
        except NotFound:
            return False
        return True

    async def list(self, query: SessionQuery | None = None, /, **filters: Any) -> Page[Session]:
        query = query or _query(filters)
        scope = [self.actor.tenant_id, self.actor.owner, query.sort]
        secret = self.runner.database.secret
        position = None if query.cursor is None else read_cursor(secret, scope, query.cursor)
        found = await self.runner.read(
            lambda tx: sessions.list_page(tx, self.actor, query, position)
        )
        page = found[: query.limit]
        if len(found) <= query.limit:
            return Page(tuple(page), None)
        last = page[-1]
        by_update = query.sort.endswith("updated_at")
        mark = [last.updated_at_us if by_update else last.created_at_us, last.id]
        return Page(tuple(page), sign_cursor(secret, scope, mark))

    async def find_ids(self, prefix: str, *, limit: int = 10) -> Sequence[str]:
        """Return ids of sessions that begin with ``prefix``."""
        check_id(prefix, "session_id")
        return await self.runner.read(
            lambda tx: sessions.list_ids_by_prefix(tx, self.actor, prefix, limit)
        )

    async def update(
        self,
        session_id: str,
        *,
        title: str | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        archived: bool | Unset = UNSET,
        cost_data: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
    ) -> UpdateReceipt:
        changes = check_changes(
            title=title, metadata=metadata, archived=archived, cost_data=cost_data
        )
        now_us = self._clock()
        return await self._write(
            session_id,
            lambda tx: sessions.update(
                tx,
                self.actor,
                session_id,
                changes,
                expected_version=expected_version,
                now_us=now_us,
            ),
        )

    async def get_cost_data(self, session_id: str) -> dict[str, Any]:
        return (await self.get(session_id)).cost_data

    async def delete(self, session_id: str) -> None:
        await self._write(session_id, lambda tx: sessions.delete(tx, self.actor, session_id))

    async def append_turn(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        usage: Sequence[NewUsage | Mapping[str, Any]] = (),
        turn_id: str | None = None,
        status: str = "completed",
        expected_seq: int | None = None,
        create: bool = False,
    ) -> TurnReceipt:
        turn = check_turn(
            messages,
            usage=usage,
            turn_id=turn_id,
            status=status,
            expected_seq=expected_seq,
            clock=self._clock,
        )
        return await self._append(session_id, turn, create=create)

    async def append_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_seq: int | None = None,
    ) -> AppendReceipt:
        turn = check_append(messages, expected_seq=expected_seq, clock=self._clock)
        receipt = await self._append(session_id, turn)
        return AppendReceipt(
            first_seq=receipt.first_seq, last_seq=receipt.last_seq, version=receipt.version
        )

    async def append_message(
        self, session_id: str, role: str, content: Any, **fields: Any
    ) -> Message:
        body = {"role": role, "content": content, **fields}
        receipt = await self.append_messages(session_id, [body])
        assert receipt.first_seq is not None
        page = await self.list_messages(session_id, after=receipt.first_seq - 1, limit=1)
        return page.items[0]

    async def save_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_version: int | None = None,
    ) -> SaveReceipt:
        checked = check_any_messages(messages, self._clock)
        new = self._new_session(session_id)
        return await self._write(
            session_id, lambda tx: _save(tx, self.actor, new, checked, expected_version)
        )

    async def messages(
        self, session_id: str, *, after: int | None = None, before: int | None = None
    ) -> AsyncIterator[Message]:
        position: int | None = after
        while True:
            page = await self.list_messages(
                session_id, after=position, before=before, limit=PAGE_STEP
            )
            for message in page.items:
                yield message
            if page.next_cursor is None:
                return
            position = page.items[-1].seq

    async def list_messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        order: str = "asc",
    ) -> Page[Message]:
        page = await self.list_stored_messages(
            session_id, after=after, before=before, limit=limit, order=order
        )
        return Page(tuple(message.parsed() for message in page.items), page.next_cursor)

    async def list_stored_messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        order: str = "asc",
    ) -> Page[StoredMessage]:
        """Return a page of messages whose bodies are still text."""
        check_limit(limit)
        if order not in {"asc", "desc"}:
            raise InvalidInput("order must be asc or desc", code="invalid_order")
        check_seq(None if after is None else after + 1, "after")
        check_seq(before, "before")
        found = await self._read_session(
            session_id,
            lambda tx, _session: messages.list_page(
                tx,
                self.actor,
                session_id,
                after=after,
                before=before,
                limit=limit + 1,
                descending=order == "desc",
            ),
        )
        page = tuple(found[:limit])
        return Page(page, str(page[-1].seq) if len(found) > limit else None)

    async def tail(self, session_id: str, count: int) -> tuple[Message, ...]:
        check_limit(count)

        def read(tx: Tx, session: Session) -> list[StoredMessage]:
            total = session.message_count
            start = messages.find_tail_start(tx, self.actor, session_id, count, total)
            return messages.list_page(
                tx, self.actor, session_id, after=start - 1, limit=max(1, total - start)
            )

        return tuple(message.parsed() for message in await self._read_session(session_id, read))

    async def read_history(
        self, session_id: str, *, tail: int | None = None
    ) -> tuple[Session, Sequence[str]]:
        """Return a session and its message objects as JSON texts, of one snapshot.

        ``tail`` asks for the last messages only: that many, or more where a tool call would
        be cut off; 0 for none.
        """

        def read(tx: Tx, session: Session) -> tuple[Session, Sequence[str]]:
            if tail == 0:
                return session, ()
            total = session.message_count
            first = (
                0
                if tail is None
                else messages.find_tail_start(tx, self.actor, session_id, tail, total)
            )
            return session, messages.list_texts(tx, self.actor, session_id, first=first)

        return await self._read_session(session_id, read)

    async def list_turns(
        self, session_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[Turn]:
        check_limit(limit)
        scope = [self.actor.tenant_id, session_id, "turns"]
        secret = self.runner.database.secret
        after = 0 if cursor is None else read_cursor(secret, scope, cursor)[0]
        found = await self._read_session(
            session_id,
            lambda tx, _session: turns.list_page(
                tx, self.actor, session_id, after=after, limit=limit + 1
            ),
        )
        page = found[:limit]
        more = sign_cursor(secret, scope, [page[-1][0]]) if len(found) > limit else None
        return Page(tuple(turn for _, turn in page), more)

    async def usage(self, session_id: str) -> SessionUsage:
        return await self._read_session(
            session_id,
            lambda tx, session: SessionUsage(
                session_id=session_id,
                turns=session.turn_count,
                totals=session.usage,
                models=tuple(usage.list_models(tx, self.actor, session_id)),
            ),
        )

    async def update_token_usage(
        self,
        session_id: str,
        *,
        event_id: str,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        provider: str = "",
        model: str = "",
        cost_nanousd: int = 0,
    ) -> UsageTotals:
        entry = NewUsage(
            event_id=event_id,
            provider=provider,
            model=model,
            input_tokens=input_tokens,
            cached_tokens=cached_tokens,
            cache_write_tokens=cache_write_tokens,
            output_tokens=output_tokens,
            reasoning_tokens=reasoning_tokens,
            cost_nanousd=cost_nanousd,
        )
        turn = NewTurn(
            turn_id=None,
            status="",
            messages=[],
            usage=[check_usage(entry, event_id)],
            content_hash=b"",
            expected_seq=None,
            at_us=self._clock(),
        )
        return (await self._append(session_id, turn)).usage

    async def fork(self, session_id: str, from_message_index: int | None = None) -> Session:
        check_id(session_id, "session_id")
        now_us = self._clock()
        new_id = "sess_" + make_ulid(now_us)
        return await self._write(
            new_id,
            lambda tx: _fork(tx, self.actor, session_id, new_id, from_message_index, now_us),
        )

    async def revert(self, session_id: str, to_message_index: int) -> Session:
        now_us = self._clock()
        return await self._write(
            session_id,
            lambda tx: _revert(tx, self.actor, session_id, to_message_index, now_us),
        )

    async def verify(self, session_id: str) -> Verification:
        return await self._read_session(
            session_id, lambda tx, session: verification.verify(tx, self.actor, session)
        )

    async def purge(self, *, updated_before_us: int, dry_run: bool = False) -> PurgeReport:
        removed = count = 0
        after = (-1, "")
        while True:
            found = await self.runner.read(
                lambda tx, after=after: sessions.list_untouched(
                    tx, self.actor, updated_before_us, after=after, limit=PURGE_STEP
                )
            )
            if not found:
                return PurgeReport(sessions=removed, messages=count, dry_run=dry_run)
            after = (found[-1][2], found[-1][0])
            if not dry_run:
                found = await self.runner.write(
                    lambda tx, found=found: _purge(tx, self.actor, found, updated_before_us)
                )
            removed += len(found)
            count += sum(row[1] for row in found)

    def export_session(self, session_id: str, format: str = "native") -> AsyncIterator[bytes]:
        return exchange.export_session(self, session_id, format, self._clock)

    async def import_session(
        self, source: bytes | Path, format: str = "native", *, dry_run: bool = False
    ) -> ImportReport:
        return await exchange.import_session(
            self.runner, self.actor, source, format, dry_run=dry_run, clock=self._clock
        )

    async def events(self, session_id: str, *, since: int = 0) -> AsyncIterator[Event]:
        changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        key = (self.actor.tenant_id, check_id(session_id, "session_id"))
        cancel = self.runner.database.bulletin.subscribe(
            key, lambda: loop.call_soon_threadsafe(changed.set)
        )
        try:
            while True:
                changed.clear()
                found = await self._read_session(
                    session_id,
                    lambda tx, _session, since=since: events.list_page(
                        tx, self.actor, session_id, after=since, limit=EVENTS_STEP
                    ),
                )
                for event in found:
                    since = event.number
                    yield event
                if not found:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), POLL_S)
        finally:
            cancel()

    async def check(self) -> dict[str, Any]:
        """Ask the database whether it answers; return its engine and schema version."""
        version = await self.runner.read(lambda tx: tx.rows("schema_version")[0][0])
        return {"engine": self.runner.database.engine.dialect, "schema_version": version}

    def _new_session(self, session_id: str) -> NewSession:
        return check_new_session(
            session_id=session_id,
            owner=self.actor.owner,
            agent=None,
            title=None,
            model=None,
            system_prompt=None,
            metadata=None,
            cost_data=None,
            messages=[],
            clock=self._clock,
        )

    async def _append(self, session_id: str, turn: NewTurn, *, create: bool = False) -> TurnReceipt:
        check_id(session_id, "session_id")
        new = self._new_session(session_id) if create else None
        receipt: TurnReceipt = await self.runner.append(Append(self.actor, session_id, turn, new))
        return receipt

    async def _read_session(self, session_id: str, fn: Callable[[Tx, Session], T]) -> T:
        check_id(session_id, "session_id")
        return await self.runner.read(lambda tx: fn(tx, sessions.get(tx, self.actor, session_id)))

    async def _write(self, session_id: str, fn: Callable[[Tx], T]) -> T:
        check_id(session_id, "session_id")
        return await self.runner.write(fn, announce=(self.actor.tenant_id, session_id))


def _query(filters: Mapping[str, Any]) -> SessionQuery:
    try:
        return SessionQuery(**filters)
    except TypeError as exc:
        raise InvalidInput("no such filter", code="invalid_filter") from exc


def _create(tx: Tx, actor: Actor, new: NewSession) -> Session:
    if not sessions.insert(tx, actor, new):
        raise Conflict(f"session {new.id!r} exists", code="session_exists", session_id=new.id)
    if new.messages:
        head = sessions.lock(tx, actor, new.id)
        messages.save(tx, actor, head, new.messages, new.at_us)
    return sessions.get(tx, actor, new.id)


def _save(
    tx: Tx,
    actor: Actor,
    new: NewSession,
    checked: Sequence[NewMessage],
    expected_version: int | None,
) -> SaveReceipt:
    if expected_version is None:
        sessions.insert(tx, actor, new)
    head = sessions.lock(tx, actor, new.id, expected_version=expected_version)
    return messages.save(tx, actor, head, checked, new.at_us)


def _fork(
    tx: Tx, actor: Actor, session_id: str, new_id: str, count: int | None, now_us: int
) -> Session:
    parent = sessions.lock(tx, actor, session_id)
    old = sessions.get(tx, actor, session_id)
    count = _index(parent.message_count if count is None else count, parent)
    new = NewSession(
        id=new_id,
        owner=actor.owner,
        agent=old.agent,
        title=old.title,
        model=old.model,
        system_prompt=old.system_prompt,
        metadata=strict_json.dumps(old.metadata),
        cost_data="{}",
        messages=[],
        at_us=now_us,
    )
    sessions.insert(tx, actor, new, parent=(session_id, count))
    messages.copy(tx, actor, session_id, new_id, count)
    head = sessions.lock(tx, actor, new_id)
    head.message_count = count
    head.digest = messages.digest_at(tx, actor, session_id, count - 1)
    if count:
        messages.touch(tx, head, "messages.appended", added=count, now_us=now_us)
    return sessions.get(tx, actor, new_id)


def _revert(tx: Tx, actor: Actor, session_id: str, count: int, now_us: int) -> Session:
    head = sessions.lock(tx, actor, session_id)
    messages.revert(tx, actor, head, _index(count, head), now_us)
    return sessions.get(tx, actor, session_id)


def _index(count: int, head: Head) -> int:
    if type(count) is not int or not 0 <= count <= head.message_count:
        raise InvalidInput(
            f"message index must be from 0 to {head.message_count}",
            code="index_out_of_range",
            message_count=head.message_count,
        )
    return count


def _purge(
    tx: Tx, actor: Actor, found: Sequence[tuple[str, int, int]], before_us: int
) -> list[tuple[str, int, int]]:
    """Remove those of the sessions that still are untouched."""
    keys = [(actor.tenant_id, row[0]) for row in found]
    heads = sessions.lock_many(tx, keys, wait=True)
    gone = [head for head in heads.values() if head.updated_at_us < before_us]
    for head in gone:
        tx.run("session_delete", tenant_id=head.tenant_id, session_id=head.session_id)
    return [(head.session_id, head.message_count, head.updated_at_us) for head in gone]
