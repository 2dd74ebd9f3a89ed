"""Errors over HTTP: one table of statuses, one JSON shape for all of them.

    {"error": {"code": "...", "message": "...", "details": {...}}, "detail": "..."}

``detail`` repeats the message for clients that know no other shape. What the framework
refuses (no such route, wrong method) comes out of here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Final

import msgspec
from starlette.exceptions import HTTPException

from hansard.core.errors import (
    Conflict,
    Corrupt,
    HansardError,
    InvalidInput,
    LimitReached,
    NotFound,
    Unauthorized,
    Unavailable,
    UpstreamFailed,
)
from hansard.runtime.openai_errors import error_body
from hansard.server.answers import Failure, FailureBody
from hansard.server.calls import Headers, Reply

STATUS_BY_CLASS: Final[Mapping[type[HansardError], int]] = {
    InvalidInput: 422,
    Unauthorized: 401,
    NotFound: 404,
    Conflict: 409,
    LimitReached: 429,
    UpstreamFailed: 502,
    Unavailable: 503,
    Corrupt: 500,
    HansardError: 500,
}

STATUS_BY_CODE: Final[Mapping[str, int]] = {
    "budget_exceeded": 402,
    "unpriced_model": 402,
    "blank_model": 400,
    "blank_objective": 400,
    "blank_prompt": 400,
    "blank_title": 400,
    "empty_thread": 400,
    "index_out_of_range": 400,
    "invalid_decision": 400,
    "invalid_environments": 400,
    "invalid_mode": 400,
    "invalid_posture": 400,
    "invalid_replay_limit": 400,
    "invalid_session_id": 400,
    "invalid_thread_id": 400,
    "invalid_tools": 400,
    "invalid_window": 400,
    "malformed_request": 400,
    "no_threads": 400,
    "nothing_to_change": 400,
    "too_few_turns": 400,
    "forbidden": 403,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "version_mismatch": 412,
    "body_too_large": 413,
    "document_too_large": 413,
    "file_too_large": 413,
    "line_too_long": 413,
    "unsupported_media_type": 415,
    "history_too_long": 413,
    "session_corrupt": 422,
    "head_too_long": 431,
    "turn_runs": 504,
}

_FRAMEWORK: Final[Mapping[int, tuple[str, str]]] = {
    404: ("route_not_found", "no such route"),
    405: ("method_not_allowed", "the route does not take this method"),
}
_EXTRA_HEADERS: Final[Mapping[int, Headers]] = {
    401: ((b"www-authenticate", b"Bearer"),),
    429: ((b"retry-after", b"5"),),
    503: ((b"retry-after", b"1"),),
}
_encode = msgspec.json.Encoder(enc_hook=str).encode


def status_of(error: HansardError) -> int:
    """The status that an error is answered with."""
    kind = next(kind for kind in type(error).__mro__ if kind in STATUS_BY_CLASS)
    return STATUS_BY_CODE.get(error.code) or STATUS_BY_CLASS[kind]


def failure(error: HansardError) -> Reply:
    """Write an error as an answer."""
    status = status_of(error)
    body = Failure(FailureBody(error.code, error.message, error.details), error.message)
    return Reply(_encode(body), status, _extra_headers(error, status))


def openai_failure(error: HansardError) -> Reply:
    """Write an error as OpenAI's clients read it, too."""
    status = status_of(error)
    return Reply(_encode(error_body(error)), status, _extra_headers(error, status))


def _extra_headers(error: HansardError, status: int) -> Headers:
    """What to tell beside the body; of a budget, when it begins anew, if that would help."""
    told = error.details
    if error.code == "budget_exceeded" and told["resets_at"] is not None:
        if Decimal(told["required"]) > Decimal(told["limit"]):
            return ()
        resets_at = datetime.fromisoformat(told["resets_at"])
        return ((b"retry-after", format_datetime(resets_at, usegmt=True).encode()),)
    return _EXTRA_HEADERS.get(status, ())


def framework_failure(error: HTTPException) -> Reply:
    """Write what Starlette's router refused as an answer of the same shape."""
    code, message = _FRAMEWORK[error.status_code]
    headers = tuple(
        (name.lower().encode(), ", ".join(sorted(value.split(", "))).encode())
        for name, value in (error.headers or {}).items()
    )
    return Reply(
        _encode(Failure(FailureBody(code, message, {}), message)), error.status_code, headers
    )


def crash() -> HansardError:
    """The error when this server failed in a way that nobody foresaw."""
    return HansardError("the server failed; the log knows more by the request's id")
