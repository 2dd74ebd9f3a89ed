"""Holds over HTTP: what calls may still cost, and what became of those that nobody heard of."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from hansard.core.budgets import HOLD_STATES
from hansard.core.errors import InvalidInput
from hansard.core.usage import RECONCILED, NewUsage, check_usage
from hansard.formats.budgets import HoldAnswer, HoldPage
from hansard.server.bodies import Limit, NoQuery, UsageBody
from hansard.server.calls import Call, Reply, page_limit, to_json
from hansard.server.endpoint import Body, Endpoint


class ResolveBody(Struct, forbid_unknown_fields=True):
    """What became of a call: its usage, or nothing that is billed; one of the two."""

    usage: UsageBody | None = None
    written_off: bool = False


class HoldsQuery(Struct, frozen=True):
    """Which holds to list."""

    state: Annotated[str, Meta(extra_json_schema={"enum": list(HOLD_STATES)})] = "unknown"
    limit: Limit = 100
    cursor: str | None = None


class Resolved(Struct):
    """The hold has ended."""

    call_id: str
    state: str


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


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/holds",
        name="list_holds",
        summary="List holds: what calls may cost at most.",
        handler=list_holds,
        query=HoldsQuery,
        answer=HoldPage,
    ),
    Endpoint(
        method="POST",
        path="/v1/holds/{call_id}/resolve",
        name="resolve_hold",
        summary="Say what became of a call of which nobody knew.",
        handler=resolve_hold,
        body=Body(shape=ResolveBody),
        answer=Resolved,
        errors=(403, 404, 409),
    ),
)
