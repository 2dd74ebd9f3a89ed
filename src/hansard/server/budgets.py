"""Budgets over HTTP."""

from __future__ import annotations

from typing import Final

from hansard.core.budgets import parse_limit
from hansard.formats.budgets import BudgetAnswer, BudgetBody, BudgetList
from hansard.server.bodies import NoQuery, PageQuery
from hansard.server.calls import Call, Reply, to_json
from hansard.server.endpoint import Body, Endpoint

_BUDGET: Final = "/v1/budgets/{budget_id}"


async def list_budgets(call: Call[NoQuery, None]) -> Reply:
    """List the tenant's budgets, and those of the caller; with `sessions:all` every budget."""
    found = await call.record.list_budgets()
    return Reply(to_json(BudgetList([BudgetAnswer.of(*each) for each in found])))


async def get_budget(call: Call[PageQuery, None]) -> Reply:
    """Return a budget, and what was spent, is held and remains in the present window.

    Of a budget that each has by itself, a page of those to whom something happened.
    """
    query = call.query
    found = await call.record.get_budget(
        call.params["budget_id"], limit=query.limit, cursor=query.cursor
    )
    return Reply(to_json(BudgetAnswer.of(*found)))


async def put_budget(call: Call[NoQuery, BudgetBody]) -> Reply:
    """Make a budget, or change one; the scope `budgets:write` opens this.

    It counts from the start of the present window. Another limit, mode or warning for the
    same spending goes on with what was spent and is held; anything else begins anew.
    """
    budget_id, body = call.params["budget_id"], call.body
    await call.record.put_budget(
        budget_id,
        scope=body.scope,
        subject=body.subject,
        period=body.window,
        time_zone=body.time_zone,
        unit=body.unit,
        limit_amount=parse_limit(body.unit, body.limit),
        mode=body.mode,
        warn_percents=body.warn_percents,
    )
    return Reply(to_json(BudgetAnswer.of(*await call.record.get_budget(budget_id))))


async def delete_budget(call: Call[NoQuery, None]) -> Reply:
    """Remove a budget; the scope `budgets:write` opens this. The ledger stays as it is."""
    await call.record.delete_budget(call.params["budget_id"])
    return Reply()


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/budgets",
        name="list_budgets",
        summary="List budgets, and what is left of them.",
        handler=list_budgets,
        answer=BudgetList,
    ),
    Endpoint(
        method="GET",
        path=_BUDGET,
        name="get_budget",
        summary="Get a budget, and what is left of it.",
        handler=get_budget,
        query=PageQuery,
        answer=BudgetAnswer,
        errors=(404,),
    ),
    Endpoint(
        method="PUT",
        path=_BUDGET,
        name="put_budget",
        summary="Make or change a budget.",
        handler=put_budget,
        body=Body(shape=BudgetBody),
        answer=BudgetAnswer,
        errors=(403, 409, 429),
    ),
    Endpoint(
        method="DELETE",
        path=_BUDGET,
        name="delete_budget",
        summary="Remove a budget.",
        handler=delete_budget,
        status=204,
        errors=(403, 404),
    ),
)
