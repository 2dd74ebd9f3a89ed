"""Budgets over HTTP: set, looked at and removed, and holds that are resolved.

Whether there is room for a call, only the server that makes it decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from hansard.client import bodies, paths, wire
from hansard.client.bound import Bound
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
from hansard.core.paging import Page, check_limit
from hansard.core.usage import NewUsage


class RemoteBudgets(Bound):
    """The part of a record on a server that is about budgets."""

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
        """Whose tenant's it is, and from when it counts, the server says."""
        budget = check_budget(
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
        answer = await self._transport.call(
            paths.PUT_BUDGET, budget_id, body=bodies.write_budget(budget)
        )
        made, _ = wire.read(answer.body, wire.read_budget)
        return made

    async def delete_budget(self, budget_id: str) -> None:
        """Already gone counts if an earlier attempt was lost."""
        await self._remove(paths.DELETE_BUDGET, budget_id)

    async def get_budget(
        self, budget_id: str, *, limit: int = 100, cursor: str | None = None
    ) -> tuple[Budget, Page[BudgetState]]:
        query = {"limit": check_limit(limit), "cursor": cursor}
        answer = await self._transport.call(
            paths.GET_BUDGET, budget_id, query=bodies.write_query(query)
        )
        return wire.read(answer.body, wire.read_budget)

    async def list_budgets(self) -> Sequence[tuple[Budget, Page[BudgetState]]]:
        answer = await self._transport.call(paths.LIST_BUDGETS)
        return wire.read(answer.body, wire.read_budgets)

    async def list_holds(
        self, *, state: str = "unknown", limit: int = 100, cursor: str | None = None
    ) -> Page[Hold]:
        query: dict[str, str | int | None] = {
            "state": check_hold_state(state),
            "limit": check_limit(limit),
            "cursor": cursor,
        }
        answer = await self._transport.call(paths.LIST_HOLDS, query=bodies.write_query(query))
        return wire.read(answer.body, wire.read_holds)

    async def resolve_hold(self, call_id: str, usage: NewUsage | None) -> None:
        """Sent once: sent again, it would meet a hold that has ended, whoever ended it."""
        said = check_resolution(call_id, usage)
        await self._transport.call(paths.RESOLVE_HOLD, call_id, body=bodies.write_resolution(said))
