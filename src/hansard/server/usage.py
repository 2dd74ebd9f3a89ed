"""Usage over HTTP."""

from __future__ import annotations

from hansard.server import answers, bodies
from hansard.server.calls import Call, Reply, to_json


async def get_usage(call: Call[bodies.NoQuery, None]) -> Reply:
    """Return a session's totals, also by model."""
    usage = await call.record.usage(call.session_id)
    return Reply(to_json(answers.UsageAnswer.of(usage)))


async def add_usage(call: Call[bodies.NoQuery, bodies.UsageEntryBody]) -> Reply:
    """Count one model call that belongs to no turn, once per ``event_id``."""
    totals = await call.record.count_call(call.session_id, call.body.given())
    return Reply(to_json(answers.UsageAdded(call.session_id, answers.Totals.of(totals))))
