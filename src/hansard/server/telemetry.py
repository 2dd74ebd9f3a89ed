"""Telemetry as the settings want it; OpenTelemetry is imported only where it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from hansard import __version__
from hansard.core.ids import Clock
from hansard.runtime.observers import Observer
from hansard.settings import TelemetrySettings, refuse


@asynccontextmanager
async def telling(settings: TelemetrySettings, clock: Clock) -> AsyncIterator[Sequence[Observer]]:
    """Give those who are told of turns, beside the server's own metrics.

    Raises:
        InvalidInput: ``invalid_setting``, if OpenTelemetry is wanted and cannot be had.
    """
    if not settings.otel:
        yield ()
        return
    try:
        from hansard.runtime.telemetry.opening import sending
    except ImportError as exc:
        raise refuse("otel", "needs OpenTelemetry: pip install 'hansard[otel]'") from exc
    async with AsyncExitStack() as stack:
        opening = sending(clock, version=__version__, with_content=settings.otel_content)
        try:
            telemetry = await stack.enter_async_context(opening)
        except ValueError as exc:
            raise refuse("otel", f"a variable of OpenTelemetry's own is wrong: {exc}") from exc
        yield (telemetry,)
