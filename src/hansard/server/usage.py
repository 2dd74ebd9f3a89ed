"""Usage over HTTP."""

from __future__ import annotations

from hansard.core.money import parse_usd
from hansard.server import answers, bodies
from hansard.server.calls import Call, Reply, to_json


async def get_usage(call: Call[bodies.NoQuery, None]) -> Reply:
    """Return a session's totals, also by model."""
    usage = await call.record.usage(call.session_id)
    return Reply(to_json(answers.UsageAnswer.of(usage)))


async def add_usage(call: Call[bodies.NoQuery, bodies.UsageEntryBody]) -> Reply:
    """Count one model call that belongs to no turn, once per ``event_id``."""
    body = call.body
    totals = await call.record.update_token_usage(
        call.session_id,
        event_id=body.event_id,
        input_tokens=body.input_tokens,
        output_tokens=body.output_tokens,
        cached_tokens=body.cached_tokens,
        cache_write_tokens=body.cache_write_tokens,
        reasoning_tokens=body.reasoning_tokens,
        provider=body.provider,
        model=body.model,
        cost_nanousd=parse_usd(body.cost_usd),
    )
    return Reply(to_json(answers.UsageAdded(call.session_id, answers.Totals.of(totals))))
