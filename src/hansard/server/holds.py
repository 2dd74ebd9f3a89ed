"""Holds over HTTP: what calls may still cost, and what became of those that nobody heard of."""

from __future__ import annotations

from hansard.core.errors import InvalidInput
from hansard.core.usage import RECONCILED, NewUsage, check_usage
from hansard.formats.budgets import HoldAnswer, HoldPage
from hansard.server.bodies import NoQuery, UsageBody
from hansard.server.budget_shapes import HoldsQuery, ResolveBody, Resolved
from hansard.server.calls import Call, Reply, page_limit, to_json


async def list_holds(call: Call[HoldsQuery, None]) -> Reply:
    """List holds in a state; by default those of calls of which nobody knows the end."""
    query = call.query
    page = await call.record.list_holds(
        state=query.state, limit=page_limit(call, query.limit), cursor=query.cursor
    )
    return Reply(to_json(HoldPage(list(map(HoldAnswer.of, page.items)), page.next_cursor)))


async def resolve_hold(call: Call[NoQuery, ResolveBody]) -> Reply:
    """Say what became of a call: what it used, or that it cost nothing.

    The scope `budgets:write` opens this. The usage counts where and when the hold was taken.
    """
    call_id, body = call.params["call_id"], call.body
    if (body.usage is None) is not body.written_off:
        raise InvalidInput("give usage, or written_off: true", code="invalid_resolution")
    if body.usage is None:
        await call.record.resolve_hold(call_id, None)
        return Reply(to_json(Resolved(call_id, "written_off")))
    await call.record.resolve_hold(call_id, _reconciled(call_id, body.usage))
    return Reply(to_json(Resolved(call_id, "settled")))


def _reconciled(call_id: str, body: UsageBody) -> NewUsage:
    if body.event_id not in {None, call_id} or body.confidence not in {"", RECONCILED}:
        raise InvalidInput(
            "event_id and confidence follow from the hold", code="invalid_resolution"
        )
    return check_usage(body.given(), call_id, is_hindsight=True)
