"""Errors as OpenAI's clients read them, with all that ours say beside it.

    {"error": {"message", "type", "param", "code", "details"}, "detail": ...}

A superset of the shape of every other error of the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Raw

from hansard.core.errors import (
    Conflict,
    HansardError,
    InvalidInput,
    LimitReached,
    NotFound,
    Unauthorized,
)

BUDGET_CODES: Final = frozenset({"budget_exceeded", "unpriced_model"})

_TYPES: Final[Mapping[type[HansardError], str]] = {
    InvalidInput: "invalid_request_error",
    Unauthorized: "authentication_error",
    NotFound: "invalid_request_error",
    Conflict: "conflict_error",
    LimitReached: "rate_limit_error",
}
_SERVER_ERROR: Final = "server_error"
_QUOTA_ERROR: Final = "insufficient_quota"


def error_body(error: HansardError) -> dict[str, Any]:
    """Write an error as an object for JSON."""
    is_budget = error.code in BUDGET_CODES
    kind = next((_TYPES[each] for each in type(error).__mro__ if each in _TYPES), _SERVER_ERROR)
    field = error.details.get("field")
    return {
        "error": {
            "message": error.message,
            "type": _QUOTA_ERROR if is_budget else kind,
            "param": field if isinstance(field, str) else None,
            "code": error.code,
            "details": error.details,
        },
        "detail": _budget_detail(error) if error.code == "budget_exceeded" else error.message,
    }


def _budget_detail(error: HansardError) -> dict[str, Any]:
    """What clients of other platforms read: amounts as numbers, written digit by digit."""
    details = error.details
    unit = details["unit"]
    return {
        "error": error.code,
        "scope": details["scope"],
        "identifier": details["subject"],
        f"current_{unit}": Raw(details["spent"].encode()),
        f"limit_{unit}": Raw(details["limit"].encode()),
    }
