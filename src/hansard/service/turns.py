"""Turns of a record on a database: appended with the others that wait, listed in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hansard.core.actors import Actor
from hansard.core.budgets import Subjects
from hansard.core.errors import Conflict, Unauthorized
from hansard.core.ids import check_id, check_ledger_name
from hansard.core.messages import Message
from hansard.core.paging import Page, check_limit
from hansard.core.reports import UsageReport, check_report
from hansard.core.threads import check_no_journal
from hansard.core.turns import (
    AppendReceipt,
    NewTurn,
    Turn,
    TurnReceipt,
    check_append,
    check_free_turn_id,
    check_turn,
    check_usage_only,
)
from hansard.core.usage import NewUsage, SessionUsage, UsageTotals, unpriced
from hansard.offload import check_list
from hansard.service.messages import Messages
from hansard.store import reports, turns, usage
from hansard.store.turns import Append


class Turns(Messages):
    """The part of the face that is about turns and their usage."""

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
        check_free_turn_id(turn_id)
        check = partial(
            check_turn,
            usage=usage,
            turn_id=turn_id,
            status=status,
            expected_seq=expected_seq,
            clock=self.clock,
            pricing=await self.pricing() if usage else unpriced,
        )
        return await self.append(session_id, await check_list(check, messages), create=create)

    async def append_messages(
        self,
        session_id: str,
        messages: Sequence[Mapping[str, Any]],
        *,
        expected_seq: int | None = None,
    ) -> AppendReceipt:
        check = partial(check_append, expected_seq=expected_seq, clock=self.clock)
        receipt = await self.append(session_id, await check_list(check, messages))
        return AppendReceipt(
            first_seq=receipt.first_seq, last_seq=receipt.last_seq, version=receipt.version
        )

    async def append_message(
        self, session_id: str, role: str, content: Any, **fields: Any
    ) -> Message:
        body = {"role": role, "content": content, **fields}
        turn = check_append([body], expected_seq=None, clock=self.clock)
        receipt = await self.append(session_id, turn)
        assert receipt.first_seq is not None
        page = await self.list_messages(session_id, after=receipt.first_seq - 1, limit=1)
        for message in page.items:
            if message.message_id == turn.messages[0].message_id:
                return message
        raise Conflict("the message was recorded, and cut off since", code="changed_meanwhile")

    async def list_turns(
        self, session_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> Page[Turn]:
        check_limit(limit)
        cursors = self.cursors("turns", session_id)
        (after,) = cursors.read(cursor) or (0,)
        found = await self.read_session(
            session_id,
            lambda tx, _session: turns.list_page(
                tx, self.actor, session_id, after=after, limit=limit + 1
            ),
        )
        page = cursors.page(found, limit, lambda last: [last[0]])
        return Page(tuple(turn for _, turn in page.items), page.next_cursor)

    async def usage(self, session_id: str) -> SessionUsage:
        return await self.read_session(
            session_id,
            lambda tx, session: SessionUsage(
                session_id=session_id,
                turns=session.turn_count,
                totals=session.usage,
                models=tuple(usage.list_models(tx, self.actor, session_id)),
            ),
        )

    async def usage_report(
        self,
        *,
        since_us: int | None = None,
        until_us: int | None = None,
        group_by: Sequence[str] = ("day",),
        **filters: str | None,
    ) -> UsageReport:
        query = check_report(since_us=since_us, until_us=until_us, group_by=group_by, **filters)
        return await self.runner.read_alone(lambda tx: reports.make(tx, self.actor, query))

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
        return await self.count_call(session_id, entry, corrects=corrects)

    async def count_call(
        self,
        session_id: str,
        entry: NewUsage | Mapping[str, Any],
        *,
        corrects: str | None = None,
    ) -> UsageTotals:
        """Add one model call that belongs to no turn, once; maybe in place of another.

        Raises:
            Unauthorized: ``forbidden``, if the caller may correct nothing: what was measured
                would else be everybody's to take back.
        """
        if corrects is None:
            turn = check_usage_only(entry, clock=self.clock, pricing=await self.pricing())
            return (await self.append(session_id, turn)).usage
        if not self.actor.sets_budgets:
            raise Unauthorized("corrections are not yours to make", code="forbidden")
        under = check_ledger_name(session_id)
        check_id(corrects, "event_id")
        account, wrong = await self.runner.read(
            lambda tx: usage.get(tx, self.actor, under, corrects)
        )
        turn = check_usage_only(
            entry, clock=self.clock, pricing=await self.pricing(), corrects=wrong
        )
        receipt: TurnReceipt = await self.runner.append(self.correction(account, turn))
        return receipt.usage

    def correction(self, account: Subjects, turn: NewTurn) -> Append:
        """The append of a call in place of another, on the account of that.

        If money is still held for that, for want of a price, it is let go with it.
        """
        assert turn.reversal is not None
        assert turn.reversal.reverses is not None
        tenant_id = self.actor.tenant_id
        return Append(
            Actor(tenant_id),  # whoever may correct it: it was found
            (tenant_id, account.session),
            turn,
            account=account,
            holds=(turn.reversal.reverses,),
            ended_at_us=self.clock(),
        )

    async def append(self, session_id: str, turn: NewTurn, *, create: bool = False) -> TurnReceipt:
        check_id(session_id, "session_id")
        if not turn.usage_only:
            check_no_journal(session_id)
        new = self.bare_session(session_id) if create else None
        key = (self.actor.tenant_id, session_id)
        receipt: TurnReceipt = await self.runner.append(Append(self.actor, key, turn, new))
        return receipt
