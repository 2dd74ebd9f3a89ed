"""Metrics of threads: what lives in this server, and what its engines wrote.

How turns ended, and how long they took, is told with those of chats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hansard.core.threads import EVENT_KINDS, REQUESTED
from hansard.runtime.threads import Runtime


def collect_threads(runtime: Runtime | None) -> Iterator[Metric]:
    """Turn what a runtime knows into families."""
    if runtime is None:
        return
    turns, counts = runtime.turns, runtime.counts
    for name, text, value in (
        ("engines", "Threads that are loaded.", runtime.engines),
        ("thread_turns", "Turns of threads under way.", len(turns)),
        ("thread_readers", "Readers of threads' events.", runtime.feeds.readers),
    ):
        yield GaugeMetricFamily(f"hansard_{name}", text, value=value)
    waits = GaugeMetricFamily(
        "hansard_thread_waits", "Questions of agents that nobody has answered.", labels=["kind"]
    )
    open_waits = Counter([kind for turn in turns for kind in turn.desk.kinds])
    for kind in REQUESTED:
        waits.add_metric([kind], open_waits[kind])
    yield waits
    events = CounterMetricFamily(
        "hansard_thread_events", "Events that this server wrote.", labels=["kind"]
    )
    for kind in EVENT_KINDS:
        events.add_metric([kind], runtime.feeds.written[kind])
    yield events
    for name, text in (
        ("snapshots", "Snapshots of threads that were saved as sessions."),
        ("leases_lost", "Leases of threads that another server may have now."),
    ):
        yield CounterMetricFamily(f"hansard_{name}", text, value=counts[name])
