"""The rows of the endpoint table that are about budgets and holds."""

from __future__ import annotations

from typing import Final

from hansard.formats import budgets as shapes
from hansard.server import budget_shapes, budgets, holds
from hansard.server.bodies import PageQuery
from hansard.server.endpoint import Body, Endpoint

_BUDGET: Final = "/v1/budgets/{budget_id}"

BUDGET_ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/budgets",
        name="list_budgets",
        summary="List budgets, and what is left of them.",
        handler=budgets.list_budgets,
        answer=shapes.BudgetList,
    ),
    Endpoint(
        method="GET",
        path=_BUDGET,
        name="get_budget",
        summary="Get a budget, and what is left of it.",
        handler=budgets.get_budget,
        query=PageQuery,
        answer=shapes.BudgetAnswer,
        errors=(404,),
    ),
    Endpoint(
        method="PUT",
        path=_BUDGET,
        name="put_budget",
        summary="Make or change a budget.",
        handler=budgets.put_budget,
        body=Body(shape=shapes.BudgetBody),
        answer=shapes.BudgetAnswer,
        errors=(403, 409, 429),
    ),
    Endpoint(
        method="DELETE",
        path=_BUDGET,
        name="delete_budget",
        summary="Remove a budget.",
        handler=budgets.delete_budget,
        status=204,
        errors=(403, 404),
    ),
    Endpoint(
        method="GET",
        path="/v1/holds",
        name="list_holds",
        summary="List holds: what calls may cost at most.",
        handler=holds.list_holds,
        query=budget_shapes.HoldsQuery,
        answer=shapes.HoldPage,
    ),
    Endpoint(
        method="POST",
        path="/v1/holds/{call_id}/resolve",
        name="resolve_hold",
        summary="Say what became of a call of which nobody knew.",
        handler=holds.resolve_hold,
        body=Body(shape=budget_shapes.ResolveBody),
        answer=budget_shapes.Resolved,
        errors=(403, 404, 409),
    ),
)
