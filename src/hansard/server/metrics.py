"""Metrics, as Prometheus reads them; each server has a registry of its own.

Requests are counted in plain dictionaries, on the one thread that answers them, and turned
into Prometheus's families when somebody asks: the client library's own counters take three
locks for each request. Labels are bounded: routes are templates from the endpoint table,
and what matches none of them is ``other``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from hansard.core.names import OTHER
from hansard.runtime.chat import Chat
from hansard.runtime.threads import Runtime
from hansard.server.budget_metrics import BudgetMetrics
from hansard.server.chat_metrics import ChatMetrics
from hansard.server.histograms import Durations
from hansard.server.retention_metrics import RetentionMetrics
from hansard.server.thread_metrics import collect_threads
from hansard.server.usage_metrics import collect_usage
from hansard.service.runner import Runner

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST.encode()

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STORE_COUNTERS: Final = {
    "appends": "Appends asked of the database.",
    "batches": "Transactions that appends were gathered into.",
    "retries": "Transactions run again after a failure that undid them.",
    "conflicts": "Writes refused because of the session's present state.",
    "hold_overruns": "Calls that used more than was held for them.",
}
_ADMISSIONS: Final = ("admitted", "clamped", "budget_exceeded", "unpriced_model")
"""What may become of a call that asks for a hold."""


class Metrics(Collector):
    """What one server has counted; the store counts for itself.

    Args:
        runner: Where the store is.
        streams: Gives the number of open streams.
        chat: Gives the chat, if there is one.
        runtime: Gives the threads, likewise.
        by_tenant: Tell tenants apart, where tokens and money are counted.

    Attributes:
        budgets: What is held, and which thresholds were told.
        chats: Turns; an observer of the chat.
        retention: What was removed because of its age.
    """

    def __init__(
        self,
        runner: Runner,
        streams: Callable[[], int],
        chat: Callable[[], Chat | None],
        runtime: Callable[[], Runtime | None],
        *,
        by_tenant: bool = False,
    ) -> None:
        self._runner = runner
        self._streams = streams
        self._chat = chat
        self._runtime = runtime
        self._answers: dict[tuple[str, str, int], int] = {}
        self._durations: dict[tuple[str, str], Durations] = {}
        self._by_tenant = by_tenant
        self.budgets = BudgetMetrics()
        self.chats = ChatMetrics()
        self.retention = RetentionMetrics()
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def answered(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count an answer; ``seconds`` is None for a stream."""
        if method not in _METHODS:
            method = OTHER
        key = (method, route, status)
        self._answers[key] = self._answers.get(key, 0) + 1
        if seconds is not None:
            durations = self._durations.get((method, route))
            if durations is None:
                durations = self._durations[method, route] = Durations(_BOUNDS_S)
            durations.add(seconds)

    def write(self) -> bytes:
        """Write all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: the store may not be open yet."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Turn what was counted into families, and ask the store for its own."""
        answers = CounterMetricFamily(
            "hansard_requests", "Requests answered.", labels=["method", "route", "status"]
        )
        for (method, route, status), count in self._answers.items():
            answers.add_metric([method, route, str(status)], count)
        yield answers
        durations = HistogramMetricFamily(
            "hansard_request_duration_seconds",
            "Time from a request to the end of its answer; streams apart.",
            labels=["method", "route"],
        )
        for labels, seen in self._durations.items():
            durations.add_metric(labels, seen.buckets(), seen.sum_s)
        yield durations
        yield GaugeMetricFamily("hansard_streams", "Event streams open.", value=self._streams())
        yield from self.chats.collect()
        yield from _chat_gauges(self._chat())
        yield from collect_threads(self._runtime())
        yield from self.budgets.collect()
        yield from self.retention.collect()
        yield from self._of_store()

    def _of_store(self) -> Iterator[Metric]:
        database = self._runner.database
        counters = database.counters()
        for name, text in _STORE_COUNTERS.items():
            yield CounterMetricFamily(f"hansard_{name}", text, value=counters.get(name, 0))
        admissions = CounterMetricFamily(
            "hansard_admissions",
            "Calls that asked for a hold, by what became of it.",
            labels=["result"],
        )
        for result in _ADMISSIONS:
            admissions.add_metric([result], counters.get(f"admissions.{result}", 0))
        yield admissions
        yield from collect_usage(database.usage(), by_tenant=self._by_tenant)


def _chat_gauges(chat: Chat | None) -> Iterator[Metric]:
    if chat is None:
        return
    spool = chat.spool
    for name, text, value in (
        ("turns", "Chat turns under way.", chat.turns),
        ("spool_records", "Turns that wait to be recorded.", spool.waiting),
        ("spool_unwritten", "Of them, in memory alone.", spool.unwritten),
        ("spool_refused", "Turns put aside that the record did not take.", spool.refused),
    ):
        yield GaugeMetricFamily(f"hansard_{name}", text, value=value)
