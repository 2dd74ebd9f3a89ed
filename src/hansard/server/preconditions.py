"""Preconditions: which version of a session must still be there."""

from __future__ import annotations

from typing import Any

from hansard.core.errors import Conflict, NotFound
from hansard.server.calls import Call
from hansard.server.requests import read_if_match


async def expected_version(call: Call[Any, Any], session_id: str | None) -> int | None:
    """The version of a session that ``If-Match`` demands.

    Several tags, or ``*``, are settled by asking which version there is now; that one is
    then demanded, so that nothing can slip in between.
    """
    if b"if-match" not in call.headers:
        return None
    allowed = read_if_match(call.headers)
    if allowed is not None and len(allowed) == 1:
        return next(iter(allowed))
    try:
        if session_id is None:
            raise NotFound("no session is named")
        version = (await call.record.get(session_id)).version
    except NotFound as exc:
        raise Conflict("there is no such session", code="version_mismatch") from exc
    if allowed is not None and version not in allowed:
        raise Conflict("the session has another version", code="version_mismatch", version=version)
    return version
