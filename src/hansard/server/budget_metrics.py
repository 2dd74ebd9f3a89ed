"""Metrics of budgets: what is held, and which thresholds were told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_STATES = ("open", "unknown")


class BudgetMetrics:
    """What this server knows of the holds of all tenants, and has told of budgets.

    Attributes:
        alerts: Thresholds told.
        posts: Posts to the webhook, by what became of them.
    """

    def __init__(self) -> None:
        self.alerts = 0
        self.posts: Counter[str] = Counter(delivered=0, failed=0)
        self._holds: Mapping[str, tuple[int, int]] = {}
        self._seen_at_us = 0

    def saw_holds(self, holds: Mapping[str, tuple[int, int]], now_us: int) -> None:
        """Take note of how many holds there are, and since when, by state."""
        self._holds, self._seen_at_us = holds, now_us

    def collect(self) -> Iterator[Metric]:
        """Turn it into families."""
        held = GaugeMetricFamily(
            "hansard_holds", "Holds of calls that have not ended.", labels=["state"]
        )
        oldest = GaugeMetricFamily(
            "hansard_hold_oldest_seconds", "Age of the oldest of them.", labels=["state"]
        )
        for state in _STATES:
            count, since_us = self._holds.get(state, (0, self._seen_at_us))
            held.add_metric([state], count)
            oldest.add_metric([state], max(0, self._seen_at_us - since_us) / 1_000_000)
        yield held
        yield oldest
        yield CounterMetricFamily(
            "hansard_budget_alerts", "Thresholds of budgets told by this server.", value=self.alerts
        )
        posts = CounterMetricFamily(
            "hansard_webhook_posts",
            "Posts to the webhook, by what became of them.",
            labels=["result"],
        )
        for result, count in self.posts.items():
            posts.add_metric([result], count)
        yield posts
