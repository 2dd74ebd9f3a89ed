"""Health, metrics and the API's own description over HTTP."""

from __future__ import annotations

from hansard.core.errors import Unavailable
from hansard.server import answers, bodies
from hansard.server.calls import Call, Reply, to_json
from hansard.server.metrics import MEDIA_TYPE

PlainCall = Call[bodies.NoQuery, None]


async def get_liveness(call: PlainCall) -> Reply:
    """Answer, which is all that a living process has to do."""
    return Reply(to_json(answers.Health("ok")))


async def get_readiness(call: PlainCall) -> Reply:
    """Tell whether requests should be sent here: the database answers, with our schema."""
    context, chat = call.context, call.context.chat
    if context.draining:
        raise Unavailable("the server is about to stop", code="draining")
    try:
        await context.patience.look(call.record.check)
    except Unavailable as error:
        if chat is not None:
            error.details["spooled"] = chat.spool.waiting
        raise
    if chat is None:
        return Reply(to_json(answers.Health("ready")))
    waiting = chat.spool.waiting
    if chat.is_record_required and waiting:
        raise Unavailable("turns wait to be recorded", code="spool_waiting", spooled=waiting)
    return Reply(to_json(answers.Health("ready", waiting)))


async def get_metrics(call: PlainCall) -> Reply:
    """Write the metrics in Prometheus's text format."""
    return Reply(call.context.metrics.write(), media_type=MEDIA_TYPE)


async def get_openapi(call: PlainCall) -> Reply:
    """Describe the API as an OpenAPI 3.1 document."""
    return Reply(call.context.openapi)


async def get_docs(call: PlainCall) -> Reply:
    """Describe the API as a page; it loads nothing from anywhere."""
    policy = (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'")
    return Reply(call.context.docs, media_type=b"text/html; charset=utf-8", headers=(policy,))
