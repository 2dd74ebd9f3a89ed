"""Metrics of retention: what this server removed because of its age."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hansard.core.retention import KINDS


class RetentionMetrics:
    """What this server has removed.

    Attributes:
        removed: Sessions, traces and so on, by kind.
        applied_at_us: When it last had gone through all tenants; 0 if it never has.
    """

    def __init__(self) -> None:
        self.removed: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
        self.applied_at_us = 0

    def collect(self) -> Iterator[Metric]:
        """Turn it into families."""
        removed = CounterMetricFamily(
            "hansard_retention_removed",
            "What this server removed because of its age.",
            labels=["kind"],
        )
        for kind, count in self.removed.items():
            removed.add_metric([kind], count)
        yield removed
        yield GaugeMetricFamily(
            "hansard_retention_applied_timestamp_seconds",
            "When this server last had gone through the rules of all tenants.",
            value=self.applied_at_us / 1_000_000,
        )
