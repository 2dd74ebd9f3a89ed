"""Pages: a bounded list, and a cursor that only the record that made it accepts.

A cursor is the sort position of the last row, signed with the record's own secret, so that
one from elsewhere, for another list or edited by hand is refused instead of misread.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from hansard.core.errors import InvalidInput

T = TypeVar("T")

LIMIT_MAX = 1_000
OFFSET_MAX = 2**53 - 1
_TAG_BYTES = 12
_CURSOR_LENGTH_MAX = 20_000  # a title may be part of it


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


@dataclass(frozen=True, slots=True)
class Cursors:
    """The cursors of one list.

    Attributes:
        secret: The record's own.
        scope: Which list, in which order, for whom.
    """

    secret: bytes
    scope: tuple[object, ...]

    def write(self, position: Sequence[object]) -> str:
        """Write the cursor of a position."""
        payload = json.dumps(position, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._tag(payload) + payload).decode().rstrip("=")

    def read(self, cursor: object) -> list[Any] | None:
        """Read a cursor back into its position; None is the beginning of the list.

        Raises:
            InvalidInput: If it was not signed by this record for this list.
        """
        if cursor is None:
            return None
        try:
            if not isinstance(cursor, str) or len(cursor) > _CURSOR_LENGTH_MAX:
                raise ValueError("too long to be one")
            padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
            raw = base64.b64decode(padded, altchars=b"-_", validate=True)
        except ValueError as exc:
            raise InvalidInput("not a cursor of this list", code="invalid_cursor") from exc
        tag, payload = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(payload)):
            raise InvalidInput("not a cursor of this list", code="invalid_cursor")
        position: list[Any] = json.loads(payload)
        return position

    def page(
        self, found: Sequence[T], limit: int, position: Callable[[T], Sequence[object]]
    ) -> Page[T]:
        """Cut a page from what was found; one row beyond the limit says that there is more."""
        items = tuple(found[:limit])
        return Page(items, self.write(position(items[-1])) if len(found) > limit else None)

    def _tag(self, payload: bytes) -> bytes:
        message = json.dumps(self.scope).encode() + b"\0" + payload
        return hmac.digest(self.secret, message, hashlib.sha256)[:_TAG_BYTES]
