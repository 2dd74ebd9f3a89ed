"""Usage reports in SQL: sums of sums, so that their cost does not grow with the calls.

Nor does it grow with owners and agents where nobody asks for them: then the sums of the
whole tenant serve, which are kept beside those of its parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hansard.core.actors import Actor
from hansard.core.reports import (
    BUCKETS_MAX,
    ReportQuery,
    UsageReport,
    make_report,
    too_many_buckets,
)
from hansard.core.usage import TOTAL_MAX, UsageTotals
from hansard.store.database import Tx, join_halves

_ROWS_MAX = 32 * BUCKETS_MAX  # of a query: a month has up to 31 days, which are summed here
_STORED: Final = {"month": "day", "tenant": ""}
"""What stands for a group in a query: days are summed to months later."""


def make(tx: Tx, actor: Actor, query: ReportQuery) -> UsageReport:
    """Report on a tenant, or on what is the actor's own.

    Raises:
        LimitReached: ``too_many_buckets``.
    """
    filters = {
        name: getattr(query, name)
        for name in ("provider", "model", "agent", "owner", "session_id")
        if getattr(query, name) is not None
    }
    if not actor.sees_all:
        if query.owner not in {None, actor.owner}:
            return make_report(query, actor.tenant_id, ())
        filters["owner"] = actor.owner
    first, second, *_ = (*[_STORED.get(group, group) for group in query.group_by], "")
    rows = tx.rows(
        "report",
        [_source(query, filters), *filters],
        tenant_id=actor.tenant_id,
        first=first,
        second=second,
        since_us=-TOTAL_MAX if query.since_us is None else query.since_us,
        until_us=TOTAL_MAX if query.until_us is None else query.until_us,
        limit=_ROWS_MAX + 1,
        **filters,
    )
    if len(rows) > _ROWS_MAX:
        raise too_many_buckets()
    sums = ((row[:2], UsageTotals._make(join_halves(row[2:]))) for row in rows)
    return make_report(query, actor.tenant_id, sums)


def _source(query: ReportQuery, filters: Mapping[str, str]) -> str:
    """The smallest sums that tell apart what is asked for."""
    if query.by_session:
        return "sessions"
    return "callers" if {"agent", "owner"} & {*query.group_by, *filters} else "tenant"
