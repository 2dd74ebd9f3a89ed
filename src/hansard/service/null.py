"""The record that keeps nothing: calls succeed, every look finds an empty session, no budget."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hansard.clock import now_us
from hansard.core.actors import DEFAULT_TENANT
from hansard.core.budgets import (
    WARN_PERCENTS,
    Budget,
    BudgetState,
    Hold,
    check_budget,
    check_hold_state,
    check_resolution,
)
from hansard.core.digest import GENESIS
from hansard.core.documents import ImportReport
from hansard.core.errors import NotFound
from hansard.core.events import Event
from hansard.core.ids import Clock, check_id
from hansard.core.messages import Message, check_any_messages, check_messages
from hansard.core.paging import Page
from hansard.core.reports import UsageReport, check_report, make_report
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
    check_new_session,
)
from hansard.core.turns import AppendReceipt, Turn, TurnReceipt, check_append, check_turn
from hansard.core.usage import (
    NO_USAGE,
    NewUsage,
    SessionUsage,
    UsageTotals,
    charge,
    check_usage,
    unpriced,
)
from hansard.core.windows import check_window


class NullSessions:
    """Implements ``SessionService`` nowhere; arguments are checked as everywhere."""

    def __init__(self, *, clock: Clock = now_us) -> None:
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

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
            owner=None,
            agent=agent,
            title=title,
            model=model,
            system_prompt=system_prompt,
            metadata=metadata,
            cost_data=cost_data,
            messages=check_messages(messages, self._clock),
            clock=self._clock,
        )
        return _empty(new.id, new.at_us)

    async def get(self, session_id: str) -> Session:
        return _empty(check_id(session_id, "session_id"), self._clock())

    async def exists(self, session_id: str) -> bool:
        check_id(session_id, "session_id")
        return False

    async def list(self, query: SessionQuery | None = None, /, **filters: Any) -> Page[Session]:
        return Page((), None)

    async def find_ids(self, prefix: str, *, limit: int = 10) -> Sequence[str]:
        return ()

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
        return UpdateReceipt(session=await self.get(session_id), changes=tuple(changes.names()))

    async def get_cost_data(self, session_id: str) -> dict[str, Any]:
        return {}

    async def delete(self, session_id: str) -> None:
        check_id(session_id, "session_id")

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
        check_id(session_id, "session_id")
        turn = check_turn(
            messages,
            usage=usage,
            turn_id=turn_id,
            status=status,
            expected_seq=expected_seq,
            clock=self._clock,
        )
        totals = reduce(UsageTotals.plus, [call.totals() for call in turn.usage], NO_USAGE)
        return TurnReceipt(
            turn_id=turn.turn_id or "",
            first_seq=0 if turn.messages else None,
            last_seq=len(turn.messages) - 1 if turn.messages else None,
            version=1,
            usage=totals,
            replayed=False,
        )

    async def append_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_seq: int | None = None,
    ) -> AppendReceipt:
        check_id(session_id, "session_id")
        turn = check_append(messages, expected_seq=expected_seq, clock=self._clock)
        return AppendReceipt(first_seq=0, last_seq=len(turn.messages) - 1, version=1)

    async def append_message(
        self, session_id: str, role: str, content: Any, **fields: Any
    ) -> Message:
        body = {"role": role, "content": content, **fields}
        (message,) = check_messages([body], self._clock)
        return Message(
            seq=0,
            message_id=message.message_id,
            turn_id=None,
            role=message.role,
            body=body,
            created_at_us=message.created_at_us,
            digest=GENESIS.hex(),
        )

    async def save_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_version: int | None = None,
    ) -> SaveReceipt:
        check_id(session_id, "session_id")
        checked = check_any_messages(messages, self._clock)
        return SaveReceipt(version=1, message_count=len(checked), appended=len(checked), replaced=0)

    async def messages(
        self, session_id: str, *, after: int | None = None, before: int | None = None
    ) -> AsyncIterator[Message]:
        for message in await self.tail(session_id, 1):
            yield message

    async def list_messages(
        self,
        session_id: str,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 100,
        order: str = "asc",
    ) -> Page[Message]:
        return Page((), None)

    async def tail(
        self, session_id: str, count: int, *, unit: str = "messages"
    ) -> tuple[Message, ...]:
        check_id(session_id, "session_id")
        check_window(count, unit)
        return ()

    async def list_turns(
        self, session_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[Turn]:
        return Page((), None)

    async def usage(self, session_id: str) -> SessionUsage:
        return SessionUsage(session_id=session_id, turns=0, totals=UsageTotals(), models=())

    async def usage_report(
        self,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        group_by: Sequence[str] = ("day",),
        **filters: str | None,
    ) -> UsageReport:
        query = check_report(since_us=since_us, until_us=until_us, group_by=group_by, **filters)
        return make_report(query, DEFAULT_TENANT, ())

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
        return charge(check_usage(entry, event_id), self._clock(), unpriced).totals()

    async def fork(self, session_id: str, from_message_index: int | None = None) -> Session:
        return await self.create()

    async def revert(self, session_id: str, to_message_index: int) -> Session:
        return await self.get(session_id)

    async def verify(self, session_id: str) -> Verification:
        return Verification(ok=True, messages=0, digest=GENESIS.hex())

    async def purge(self, *, updated_before_us: int, dry_run: bool = False) -> PurgeReport:
        return PurgeReport(sessions=0, messages=0, dry_run=dry_run)

    async def put_budget(
        self,
        budget_id: str,
        *,
        scope: str,
        limit_amount: int,
        unit: str = "usd",
        subject: str = "",
        period: str = "total",
        time_zone: str = "UTC",
        mode: str = "enforce",
        warn_percents: Sequence[int] = WARN_PERCENTS,
    ) -> Budget:
        return check_budget(
            tenant_id=DEFAULT_TENANT,
            budget_id=budget_id,
            scope=scope,
            subject=subject,
            period=period,
            time_zone=time_zone,
            unit=unit,
            limit_amount=limit_amount,
            mode=mode,
            warn_percents=warn_percents,
            now_us=self._clock(),
        )

    async def delete_budget(self, budget_id: str) -> None:
        check_id(budget_id, "budget_id")

    async def get_budget(
        self, budget_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> tuple[Budget, Page[BudgetState]]:
        """There is none, and nobody can say what it would be about."""
        check_id(budget_id, "budget_id")
        raise NotFound(f"no budget {budget_id!r}", code="budget_not_found", budget_id=budget_id)

    async def list_budgets(self) -> Sequence[tuple[Budget, Page[BudgetState]]]:
        return ()

    async def list_holds(
        self, *, state: str = "unknown", limit: int = 100, cursor: str | None = None
    ) -> Page[Hold]:
        check_hold_state(state)
        return Page((), None)

    async def resolve_hold(self, call_id: str, usage: NewUsage | None) -> None:
        check_resolution(call_id, usage)

    async def export_session(self, session_id: str, format: str = "native") -> AsyncIterator[bytes]:
        yield b""

    async def import_session(
        self, source: bytes | Path | str, format: str = "native", *, dry_run: bool = False
    ) -> ImportReport:
        return ImportReport(format=format, dry_run=dry_run, sessions=(), losses=())

    async def events(self, session_id: str, *, since: int = 0) -> AsyncIterator[Event]:
        events: tuple[Event, ...] = ()
        for event in events:
            yield event


def _empty(session_id: str, now_us: int) -> Session:
    return Session(
        id=session_id,
        owner=None,
        agent=None,
        title=None,
        model=None,
        system_prompt=None,
        metadata={},
        cost_data={},
        archived=False,
        legal_hold=False,
        parent_session_id=None,
        forked_at_seq=None,
        message_count=0,
        turn_count=0,
        version=1,
        usage=UsageTotals(),
        digest=GENESIS.hex(),
        created_at_us=now_us,
        updated_at_us=now_us,
    )
