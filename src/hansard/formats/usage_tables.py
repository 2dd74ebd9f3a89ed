"""Usage reports as tables of comma-separated values (RFC 4180), for people and for billing.

``focus`` has the columns of FOCUS (https://focus.finops.org, version 1.2) that can be said of
model calls: a row for each hour and model; what FOCUS has no column for begins with ``x_``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from hansard.core.money import format_usd
from hansard.core.reports import Bucket, UsageReport
from hansard.core.usage import TOKEN_FIELDS, UsageTotals

FOCUS_GROUPS: Final = ("hour", "sku")
"""What a report has to be grouped by to become FOCUS."""

_FOCUS: Final = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SubAccountId",
    "x_Calls",
    "x_InputTokens",
    "x_CachedTokens",
    "x_CacheWriteTokens",
    "x_OutputTokens",
    "x_ReasoningTokens",
    "x_UnpricedCalls",
)


def write_csv(report: UsageReport) -> str:
    """Write a report as CSV: the groups, then the totals."""
    head = [*report.query.group_by, "calls", *TOKEN_FIELDS, "cost_usd", "unpriced_calls"]
    return _write(head, ([*bucket.key, *_cells(bucket.totals)] for bucket in report.buckets))


def write_focus(report: UsageReport) -> str:
    """Write a report by ``FOCUS_GROUPS`` in the columns of FOCUS."""
    rows = (_focus_row(report.tenant_id, bucket) for bucket in report.buckets)
    return _write(_FOCUS, rows)


def _focus_row(tenant_id: str, bucket: Bucket) -> list[Any]:
    hour, sku = bucket.key
    assert hour is not None
    start = datetime.fromisoformat(hour)
    month = start.replace(day=1, hour=0)
    provider, _, model = (sku or "").partition("/")
    calls, sent, cached, cache_writes, made, reasoning, cost_nanousd, unpriced = bucket.totals
    cost = format_usd(cost_nanousd)
    return [
        cost,
        tenant_id,
        tenant_id,
        "USD",
        _time((month + timedelta(days=32)).replace(day=1)),
        _time(month),
        "Usage",
        "",  # no correction of a bill that was closed
        f"Calls of {sku}",
        _time(start + timedelta(hours=1)),
        _time(start),
        sent + made,
        "Tokens",
        cost,
        cost,
        provider,
        cost,
        sent + made,
        "Tokens",
        provider,
        provider,
        "AI and Machine Learning",
        model,
        sku,
        tenant_id,
        calls,
        sent,
        cached,
        cache_writes,
        made,
        reasoning,
        unpriced,
    ]


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _cells(totals: UsageTotals) -> list[Any]:
    tokens = [getattr(totals, field) for field in TOKEN_FIELDS]
    return [totals.calls, *tokens, format_usd(totals.cost_nanousd), totals.unpriced_calls]


def _write(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows([[_tame(cell) for cell in row] for row in rows])
    return table.getvalue()


def _tame(cell: Any) -> Any:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t"} else cell
