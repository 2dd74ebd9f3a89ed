"""The SDK, set up to send: over OTLP, in threads of its own, to where its own variables say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from hansard.core.ids import Clock
from hansard.runtime.telemetry.spans import Telemetry

SCOPE: Final = "hansard"
STOP_MAX_S: Final = 5.0  # for what is still to be sent when the server stops


@asynccontextmanager
async def sending(clock: Clock, *, version: str, with_content: bool) -> AsyncIterator[Telemetry]:
    """Send what is told meanwhile; at the end, send the rest if somebody takes it soon.

    Raises:
        ValueError: If one of OpenTelemetry's own variables cannot be used.
    """
    named = {"service.name": SCOPE, "service.version": version}
    resource = Resource.create({**named, **OTELResourceDetector().detect().attributes})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
    try:
        yield Telemetry(
            tracers.get_tracer(SCOPE, version),
            meters.get_meter(SCOPE, version),
            clock,
            with_content=with_content,
        )
    finally:
        await _stop(tracers, meters)


async def _stop(tracers: TracerProvider, meters: MeterProvider) -> None:
    """Send what is left, both at once; a collector that does not answer is not waited for."""
    threads = [
        threading.Thread(target=provider.shutdown, name="hansard-telemetry", daemon=True)
        for provider in (tracers, meters)
    ]
    for thread in threads:
        thread.start()
    ends_at_s = asyncio.get_running_loop().time() + STOP_MAX_S
    for thread in threads:
        left_s = max(0.0, ends_at_s - asyncio.get_running_loop().time())
        await asyncio.to_thread(thread.join, left_s)
