"""Metrics of usage: the model calls that this server recorded, by model, with tokens and money.

They come from what the database committed, each call once, be it of a chat turn, of a turn that
a client recorded, or of none. The model is the one that answered. Corrections are not in them:
counters only rise. Where a bill must be right, ask the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, Metric

from hansard.core.usage import UsageTotals, add_totals
from hansard.store.tallies import Tally


class _Family(NamedTuple):
    """A counter of usage.

    Attributes:
        label: What tells its parts apart; empty if there is one part.
        parts: Values of that label, and the field of ``UsageTotals`` that each counts.
    """

    name: str
    text: str
    label: str
    parts: tuple[tuple[str, str], ...]


_FAMILIES: Final = (
    _Family("hansard_model_calls", "Model calls recorded.", "", (("", "calls"),)),
    _Family(
        "hansard_unpriced_calls",
        "Of them, those whose price nobody knows.",
        "",
        (("", "unpriced_calls"),),
    ),
    _Family(
        "hansard_cost_nanousd",
        "What the others cost, in 1e-9 US dollars.",
        "",
        (("", "cost_nanousd"),),
    ),
    _Family(
        "hansard_tokens",
        "Tokens of model calls recorded; input and output hold the others.",
        "kind",
        tuple(
            (kind, f"{kind}_tokens")
            for kind in ("input", "cached", "cache_write", "output", "reasoning")
        ),
    ),
    _Family(
        "agent_tokens",
        "Tokens of model calls recorded, as fipsagents counts them.",
        "direction",
        (("prompt", "input_tokens"), ("completion", "output_tokens")),
    ),
)


def collect_usage(usage: Tally, *, by_tenant: bool) -> Iterator[Metric]:
    """Turn usage into families; tenants are told apart or summed up."""
    sums: dict[tuple[str, str], UsageTotals] = {}
    for (tenant_id, model), totals in usage.items():
        add_totals(sums, (tenant_id if by_tenant else "", model), totals)
    for name, text, label, parts in _FAMILIES:
        labels = ("model", label, "tenant_id" if by_tenant else "")
        family = CounterMetricFamily(name, text, labels=list(filter(None, labels)))
        for (tenant_id, model), totals in sums.items():
            for value, field in parts:
                values = filter(None, (model, value, tenant_id))
                family.add_metric(list(values), getattr(totals, field))
        yield family
