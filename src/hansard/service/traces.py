"""Traces: saved, got, listed."""

from __future__ import annotations

import asyncio

from hansard.core.ids import check_id
from hansard.core.paging import Page
from hansard.core.traces import Trace, TraceQuery, check_trace
from hansard.service.bound import Bound
from hansard.store import traces
from hansard.store.traces import StoredSummary


class TraceService(Bound):
    """The traces of a database, as far as its actor reaches."""

    async def save(self, trace: Trace) -> None:
        """Keep a trace, or replace the one of its id; a new one is the actor's own.

        Raises:
            InvalidInput: If it cannot be kept.
            NotFound: If the id is taken by a trace that is not within reach.
        """
        # beside the event loop, since a trace may be as long as a history
        new = await asyncio.to_thread(check_trace, trace)
        saved_at_us = self.clock()
        await self.runner.write(lambda tx: traces.save(tx, self.actor, new, saved_at_us))

    async def get(self, trace_id: str) -> str:
        """Return a trace as JSON, as it was given.

        Raises:
            NotFound: If it does not exist or is not within reach.
        """
        check_id(trace_id, "trace_id")
        return await self.runner.read(lambda tx: traces.get(tx, self.actor, trace_id))

    async def list(self, query: TraceQuery) -> Page[StoredSummary]:
        """Return a page of summaries, newest start first."""
        cursors = self.cursors("traces")
        position = cursors.read(query.cursor)
        found = await self.runner.read(lambda tx: traces.list_page(tx, self.actor, query, position))
        return cursors.page(found, query.limit, lambda last: [last.started_at_us, last.trace_id])
