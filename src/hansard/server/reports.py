"""Usage reports over HTTP: as JSON, as CSV, and as a bill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from hansard.core.errors import InvalidInput
from hansard.core.reports import GROUPS, UsageReport
from hansard.core.shapes import Time
from hansard.core.times import format_us, parse_us
from hansard.formats.usage_tables import FOCUS_GROUPS, write_csv, write_focus
from hansard.server.answers import Totals
from hansard.server.bodies import Id
from hansard.server.calls import Call, Reply, to_json

TABLES: Final = ("csv", "focus")
_GROUP = "|".join(GROUPS)
_CSV: Final = b"text/csv; charset=utf-8; header=present"


class ReportQuery(Struct, frozen=True):
    """What to report on; bounds are widened to full hours, ``until`` is exclusive."""

    since: Time | None = None
    until: Time | None = None
    group_by: Annotated[str, Meta(extra_json_schema={"pattern": f"^({_GROUP})(,({_GROUP}))?$"})] = (
        "day"
    )
    provider: str | None = None
    model: str | None = None
    agent: str | None = None
    owner: str | None = None
    session_id: Id | None = None


class TableQuery(ReportQuery, frozen=True):
    """What to report on; ``focus`` is a bill by hour and model, whatever the groups."""

    format: Annotated[str, Meta(extra_json_schema={"enum": sorted(TABLES)})] = "csv"


class BucketRow(Struct):
    """One line; what has no name is null."""

    key: dict[str, str | None]
    usage: Totals


class ReportAnswer(Struct):
    """What a tenant used; the buckets, sorted by key, sum to the totals."""

    tenant: str
    since: str | None
    until: str | None
    group_by: list[str]
    totals: Totals
    buckets: list[BucketRow]

    @classmethod
    def of(cls, report: UsageReport) -> ReportAnswer:
        """Write a report."""
        query = report.query
        return cls(
            tenant=report.tenant_id,
            since=None if query.since_us is None else format_us(query.since_us),
            until=None if query.until_us is None else format_us(query.until_us),
            group_by=list(query.group_by),
            totals=Totals.of(report.totals),
            buckets=[
                BucketRow(report.named(bucket), Totals.of(bucket.totals))
                for bucket in report.buckets
            ],
        )


async def report_usage(call: Call[ReportQuery, None]) -> Reply:
    """Report what the tenant used, or what is the caller's own of it."""
    return Reply(to_json(ReportAnswer.of(await _report(call, call.query.group_by.split(",")))))


async def export_usage(call: Call[TableQuery, None]) -> Reply:
    """Write a report as a table."""
    query = call.query
    match query.format:
        case "csv":
            text = write_csv(await _report(call, query.group_by.split(",")))
        case "focus":
            text = write_focus(await _report(call, FOCUS_GROUPS))
        case _:
            raise InvalidInput(f"format must be one of {', '.join(TABLES)}", code="invalid_report")
    return Reply(text.encode(), media_type=_CSV)


async def _report(call: Call[Any, None], groups: Sequence[str]) -> UsageReport:
    query: ReportQuery = call.query
    return await call.record.usage_report(
        since_us=None if query.since is None else parse_us(query.since, "since"),
        until_us=None if query.until is None else parse_us(query.until, "until"),
        group_by=groups,
        provider=query.provider,
        model=query.model,
        agent=query.agent,
        owner=query.owner,
        session_id=query.session_id,
    )
