"""Metrics of chat turns, by the names that dashboards for ``fipsagents`` read.

A model is named as it named itself in its answer, never as a client did: whoever asks could
make up a new time series with each request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from hansard.core.names import Names
from hansard.runtime.agents.protocol import CallPlan, Headers
from hansard.runtime.observers import TurnEnd, TurnStart
from hansard.server.histograms import Durations
from hansard.store.tallies import MODELS_MAX

_BOUNDS_S: Final = (
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    320.0,
    640.0,
)
_STATUSES: Final = {"completed": "ok", "failed": "error"}


class ChatMetrics:
    """Counts turns and times them; an ``Observer``."""

    def __init__(self) -> None:
        self.models = Names(MODELS_MAX)
        self.requests: Counter[tuple[str, str, str]] = Counter()
        self.turns: dict[str, Durations] = {}
        self.calls: dict[str, Durations] = {}

    def begin(self, start: TurnStart) -> TurnTimes:
        """Look at the clock."""
        return TurnTimes(self, is_stream=start.is_stream)

    def collect(self) -> Iterator[Metric]:
        """Turn what was counted into families."""
        requests = CounterMetricFamily(
            "agent_requests", "Chat turns, by how they ended.", labels=["model", "status", "stream"]
        )
        for labels, count in self.requests.items():
            requests.add_metric(labels, count)
        yield requests
        yield _histogram(
            "agent_request_duration_seconds",
            "Time from a chat request to the end of its turn, the wait for earlier ones included.",
            self.turns,
        )
        yield _histogram(
            "agent_model_call_duration_seconds",
            "Time from a model call to the end of its answer.",
            self.calls,
        )


class TurnTimes:
    """One turn and its calls, timed; a ``Watch``."""

    trace_id = None

    def __init__(self, metrics: ChatMetrics, *, is_stream: bool) -> None:
        self._metrics = metrics
        self._is_stream = is_stream
        self._began_s = perf_counter()
        self._calls_began_s: dict[str, float] = {}
        self._calls_took_s: dict[str, float] = {}

    def call_began(self, call_id: str, plan: CallPlan) -> Headers:
        """Look at the clock."""
        self._calls_began_s[call_id] = perf_counter()
        return ()

    def call_ended(self, call_id: str) -> None:
        """Look at the clock again."""
        self._calls_took_s[call_id] = perf_counter() - self._calls_began_s[call_id]

    def ended(self, end: TurnEnd) -> None:
        """Count the turn, and those of its calls that were answered."""
        metrics, now_s = self._metrics, perf_counter()
        model = metrics.models.of("")
        for call in end.calls:
            model = metrics.models.of(call.model)
            began_s = self._calls_began_s.get(call.event_id, now_s)
            took_s = self._calls_took_s.get(call.event_id, now_s - began_s)
            _durations(metrics.calls, model).add(took_s)
        status = _STATUSES.get(end.status, end.status)
        metrics.requests[model, status, str(self._is_stream).lower()] += 1
        _durations(metrics.turns, model).add(now_s - self._began_s)


def _durations(by_model: dict[str, Durations], model: str) -> Durations:
    durations = by_model.get(model)
    if durations is None:
        durations = by_model[model] = Durations(_BOUNDS_S)
    return durations


def _histogram(name: str, text: str, by_model: Mapping[str, Durations]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=["model"])
    for model, seen in by_model.items():
        family.add_metric([model], seen.buckets(), seen.sum_s)
    return family
