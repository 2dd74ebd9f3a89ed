"""Pages: a bounded list, and a cursor that only the record that made it accepts.

A cursor is the sort position of the last row, signed with the record's own secret, so that
one from elsewhere, for another list or edited by hand is refused instead of misread.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hansard.core.errors import InvalidInput

T = TypeVar("T")

LIMIT_MAX = 1_000
OFFSET_MAX = 2**53 - 1
_TAG_BYTES = 12
_CURSOR_LENGTH_MAX = 1_024


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows, and where the next page begins; None if this was the last."""

    items: tuple[T, ...]
    next_cursor: str | None


def check_limit(limit: int) -> int:
    """Return a page size if it is from 1 to ``LIMIT_MAX``."""
    if type(limit) is not int or not 1 <= limit <= LIMIT_MAX:
        raise InvalidInput(
            f"limit must be a whole number from 1 to {LIMIT_MAX}", code="invalid_limit"
        )
    return limit


def check_offset(offset: int) -> int:
    """Return how many rows to skip, if it is from 0 to ``OFFSET_MAX``."""
    if type(offset) is not int or not 0 <= offset <= OFFSET_MAX:
        raise InvalidInput(
            f"offset must be a whole number from 0 to {OFFSET_MAX}", code="invalid_offset"
        )
    return offset


def sign_cursor(secret: bytes, scope: list[Any], position: list[Any]) -> str:
    """Write a cursor; ``scope`` says which list, in which order, for whom."""
    payload = json.dumps(position, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_tag(secret, scope, payload) + payload).decode().rstrip("=")


def read_cursor(secret: bytes, scope: list[Any], cursor: object) -> list[Any]:
    """Read a cursor back into its position.

    Raises:
        InvalidInput: If it was not signed by this record for this list.
    """
    try:
        if not isinstance(cursor, str) or len(cursor) > _CURSOR_LENGTH_MAX:
            raise ValueError("too long to be one")
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except ValueError as exc:
        raise InvalidInput("not a cursor of this list", code="invalid_cursor") from exc
    tag, payload = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(secret, scope, payload)):
        raise InvalidInput("not a cursor of this list", code="invalid_cursor")
    position: list[Any] = json.loads(payload)
    return position


def _tag(secret: bytes, scope: list[Any], payload: bytes) -> bytes:
    message = json.dumps(scope).encode() + b"\0" + payload
    return hmac.digest(secret, message, hashlib.sha256)[:_TAG_BYTES]
