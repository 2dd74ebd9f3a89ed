"""Sessions over HTTP: the same face, on a record that another process keeps.

Arguments are checked here by the rules of core, so that what cannot be recorded is refused
before it is sent; everything else is the server's decision. A turn gets its id here, which
makes it safe to send again when its answer was lost. What has no such id (``create``,
``append_messages``, ``fork``, ``revert``) is never sent twice: when its answer is lost, the
caller is told with ``Unavailable`` and looks before it acts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hansard.client import bodies, composed, paths, wire
from hansard.client.bound import MISSING
from hansard.client.budgets import RemoteBudgets
from hansard.client.streams import follow
from hansard.client.transport import Upload
from hansard.core import strict_json
from hansard.core.documents import ImportReport
from hansard.core.errors import InvalidInput
from hansard.core.events import Event
from hansard.core.messages import Message, check_any_messages, check_messages
from hansard.core.paging import Page, check_limit
from hansard.core.reports import UsageReport, check_report
from hansard.core.sessions import (
    UNSET,
    PurgeReport,
    SaveReceipt,
    Session,
    SessionQuery,
    Unset,
    UpdateReceipt,
    Verification,
    check_changes,
    check_filters,
    check_new_session,
)
from hansard.core.turns import AppendReceipt, Turn, TurnReceipt, check_append, check_seq, check_turn
from hansard.core.usage import NewUsage, SessionUsage, UsageTotals, check_usage
from hansard.core.windows import check_window
from hansard.offload import check_list

_PAGE = 500  # messages fetched at once while iterating


class RemoteSessions(RemoteBudgets):
    """A ``SessionService`` on a Hansard server."""

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
        """The id is made here unless one is given."""
        new = check_new_session(
            session_id=session_id,
            agent=agent,
            title=title,
            model=model,
            system_prompt=system_prompt,
            metadata=metadata,
            cost_data=cost_data,
            messages=await check_list(partial(check_messages, clock=self._clock), messages),
            clock=self._clock,
        )
        await self._transport.call(paths.CREATE_SESSION, body=bodies.write_session(new))
        return await self.get(new.id)

    async def get(self, session_id: str) -> Session:
        answer = await self._transport.call(
            paths.GET_SESSION, session_id, query={"messages": "none"}
        )
        return wire.read(answer.body, wire.read_session)

    async def exists(self, session_id: str) -> bool:
        answer = await self._transport.call(paths.HAS_SESSION, session_id, accept=MISSING)
        return answer.status not in MISSING

    async def list(self, query: SessionQuery | None = None, /, **filters: Any) -> Page[Session]:
        """See ``SessionService.list``; ``system_prompt`` and ``cost_data`` are left out."""
        asked = query or check_filters(filters)
        answer = await self._transport.call(paths.LIST_SESSIONS, query=bodies.list_query(asked))
        return wire.read(answer.body, wire.read_page("sessions", wire.read_session))

    async def find_ids(self, prefix: str, *, limit: int = 10) -> Sequence[str]:
        """Return ids of sessions that begin with ``prefix``."""
        return await composed.find_ids(self, prefix, limit)

    async def update(
        self,
        session_id: str,
        *,
        title: str | Unset | None = UNSET,
        metadata: Mapping[str, Any] | Unset | None = UNSET,
        archived: bool | Unset = UNSET,
        legal_hold: bool | Unset = UNSET,
        cost_data: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
    ) -> UpdateReceipt:
        changes = check_changes(
            title=title,
            metadata=metadata,
            archived=archived,
            legal_hold=legal_hold,
            cost_data=cost_data,
        )
        answer = await self._transport.call(
            paths.UPDATE_SESSION,
            session_id,
            headers={"Prefer": "return=minimal", **bodies.if_match(expected_version)},
            body=bodies.write_changes(changes),
        )
        return wire.read(answer.body, wire.read_update_receipt)

    async def get_cost_data(self, session_id: str) -> dict[str, Any]:
        answer = await self._transport.call(paths.GET_COST_DATA, session_id)
        return wire.read(answer.body, lambda value: dict(value["cost_data"]))

    async def delete(self, session_id: str) -> None:
        """Already gone counts if an earlier attempt was lost."""
        await self._remove(paths.DELETE_SESSION, session_id)

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
        """Sent again with the same id until answered."""
        check = partial(
            check_turn,
            usage=usage,
            turn_id=turn_id,
            status=status,
            expected_seq=expected_seq,
            clock=self._clock,
        )
        turn = await check_list(check, messages)
        answer = await self._transport.call(
            paths.APPEND_TURN,
            session_id,
            query={"create": "true"} if create else None,
            body=bodies.write_turn(turn),
        )
        replayed = answer.headers.get("Idempotent-Replayed") == "true"
        return wire.read(
            answer.body, lambda value: wire.read_turn_receipt(value, replayed=replayed)
        )

    async def append_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_seq: int | None = None,
    ) -> AppendReceipt:
        check = partial(check_append, expected_seq=expected_seq, clock=self._clock)
        new = await check_list(check, messages)
        answer = await self._transport.call(
            paths.APPEND_MESSAGES, session_id, body=bodies.write_append(new)
        )
        return wire.read(answer.body, wire.read_append_receipt)

    async def append_message(
        self, session_id: str, role: str, content: Any, **fields: Any
    ) -> Message:
        message = {"role": role, "content": content, **fields}
        return await composed.append_message(self, session_id, message)

    async def save_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_version: int | None = None,
    ) -> SaveReceipt:
        check = partial(check_any_messages, clock=self._clock)
        new = await check_list(check, messages)
        answer = await self._transport.call(
            paths.SAVE_MESSAGES,
            session_id,
            headers=bodies.if_match(expected_version),
            body=bodies.write_history(new),
        )
        return wire.read(answer.body, wire.read_save_receipt)

    async def messages(
        self, session_id: str, *, after: int | None = None, before: int | None = None
    ) -> AsyncIterator[Message]:
        """Fetched by pages."""
        while True:
            page = await self.list_messages(session_id, after=after, before=before, limit=_PAGE)
            for message in page.items:
                yield message
            if page.next_cursor is None:
                return
            after = page.items[-1].seq

    async def list_messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        order: str = "asc",
    ) -> Page[Message]:
        check_seq(after, "after", least=-1)
        query = {
            "after": after,
            "before": check_seq(before, "before"),
            "limit": check_limit(limit),
            "order": order,
        }
        answer = await self._transport.call(
            paths.LIST_MESSAGES, session_id, query=bodies.write_query(query)
        )
        return wire.read(answer.body, wire.read_page("messages", wire.read_message))

    async def tail(
        self, session_id: str, count: int, *, unit: str = "messages"
    ) -> tuple[Message, ...]:
        return await composed.tail(self, session_id, check_window(count, unit))

    async def list_turns(
        self, session_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[Turn]:
        query = {"limit": check_limit(limit), "cursor": cursor}
        answer = await self._transport.call(
            paths.LIST_TURNS, session_id, query=bodies.write_query(query)
        )
        return wire.read(answer.body, wire.read_page("turns", wire.read_turn))

    async def usage(self, session_id: str) -> SessionUsage:
        answer = await self._transport.call(paths.GET_USAGE, session_id)
        return wire.read(answer.body, wire.read_session_usage)

    async def usage_report(
        self,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        group_by: Sequence[str] = ("day",),
        **filters: str | None,
    ) -> UsageReport:
        query = check_report(since_us=since_us, until_us=until_us, group_by=group_by, **filters)
        answer = await self._transport.call(paths.REPORT_USAGE, query=bodies.report_query(query))
        return wire.read(answer.body, lambda value: wire.read_report(value, query))

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
        cost_nanousd: int | None = None,
        corrects: str | None = None,
    ) -> UsageTotals:
        """Once per event id, so sent again."""
        entry = check_usage(
            NewUsage(
                event_id=event_id,
                provider=provider,
                model=model,
                input_tokens=input_tokens,
                cached_tokens=cached_tokens,
                cache_write_tokens=cache_write_tokens,
                output_tokens=output_tokens,
                reasoning_tokens=reasoning_tokens,
                cost_nanousd=cost_nanousd,
            ),
            event_id,
        )
        answer = await self._transport.call(
            paths.ADD_USAGE, session_id, body=bodies.write_usage(entry, corrects)
        )
        return wire.read(answer.body, lambda value: wire.read_totals(value["usage"]))

    async def fork(self, session_id: str, from_message_index: int | None = None) -> Session:
        body = bodies.write_index("from_message_index", from_message_index)
        answer = await self._transport.call(paths.FORK_SESSION, session_id, body=body)
        return await self.get(wire.read(answer.body, lambda value: str(value["session_id"])))

    async def revert(self, session_id: str, to_message_index: int) -> Session:
        body = bodies.write_index("to_message_index", to_message_index)
        await self._transport.call(paths.REVERT_SESSION, session_id, body=body)
        return await self.get(session_id)

    async def verify(self, session_id: str) -> Verification:
        """Recomputed by the server."""
        answer = await self._transport.call(paths.VERIFY_SESSION, session_id)
        return wire.read(answer.body, wire.read_verification)

    async def purge(self, *, updated_before_us: int, dry_run: bool = False) -> PurgeReport:
        """One call per session, so not one transaction."""
        return await composed.purge(self, updated_before_us, dry_run=dry_run)

    async def export_session(self, session_id: str, format: str = "native") -> AsyncIterator[bytes]:
        """Streamed; a stream that breaks off raises ``Unavailable``, so no part looks whole."""
        async with self._transport.stream(
            paths.EXPORT_SESSION, session_id, query={"format": format}
        ) as response:
            async for piece in response.aiter_bytes():
                yield piece

    async def import_session(
        self, source: bytes | Path | str, format: str = "native", *, dry_run: bool = False
    ) -> ImportReport:
        """A file is sent piece by piece; imported once, so sent again until answered.

        Raises:
            InvalidInput: ``invalid_source``, if it is the URL of a database: what the server
                can reach is not for its callers to choose.
        """
        if not isinstance(source, bytes | Path):
            raise InvalidInput(
                "a database is imported beside the record, not through a server",
                code="invalid_source",
            )
        answer = await self._transport.call(
            paths.IMPORT_SESSION,
            query={"format": format, "dry_run": strict_json.dumps(dry_run)},
            headers={"Content-Type": "application/octet-stream"},
            body=Upload(source) if isinstance(source, Path) else source,
        )
        return wire.read(answer.body, wire.read_import_report)

    def events(self, session_id: str, *, since: int = 0) -> AsyncIterator[Event]:
        """Followed across reconnects, until the server is silent past the deadline."""
        check_seq(since, "since")
        return follow(self._transport, self._retries, session_id, since)
