"""Records: opened from the settings, and sessions found in them by what people type."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import hansard
from hansard import compose
from hansard.core.errors import InvalidInput, NotFound
from hansard.face import SessionService
from hansard.settings import Settings

T = TypeVar("T")
R = TypeVar("R", bound=SessionService)

LAST = "@last"
CANDIDATES_MAX = 10  # named when a prefix is ambiguous


def run(given: Settings, action: Callable[[SessionService], Awaitable[T]]) -> T:
    """Open the record that the settings name, act on it, and close it.

    Raises:
        NotFound: If that is a SQLite file and there is none; only ``run_new`` makes one.
    """
    check_exists(given)
    return run_new(given, action)


def run_new(given: Settings, action: Callable[[SessionService], Awaitable[T]]) -> T:
    """Do the same, and make the record if there is none."""
    return act_on(open_record(given), action)


def act_on(record: R, action: Callable[[R], Awaitable[T]]) -> T:
    """Connect to a record, act on it, and let go of it."""

    async def act() -> T:
        async with record as connected:
            return await action(connected)

    return asyncio.run(act())


def open_record(given: Settings) -> SessionService:
    """Give the record that the settings name, not yet connected."""
    return hansard.open(
        given.record.database,
        tenant=given.record.tenant,
        token=given.record.token,
        retry_deadline_s=given.record.retry_deadline_s,
    )


def check_exists(given: Settings) -> None:
    """Refuse a SQLite file that is not there, since a typing error is likelier than a wish.

    Raises:
        NotFound: With code ``no_database``.
    """
    url = given.record.database
    path = compose.sqlite_path(url) if url.startswith("sqlite:") else None
    if path is not None and not path.exists():
        raise NotFound(
            f"there is no record at {path}; 'hansard db migrate' makes one",
            code="no_database",
            path=str(path),
        )


async def find_session(record: SessionService, name: str) -> str:
    """Return the id of the session that ``name`` means: ``@last``, an id, or its beginning.

    Raises:
        NotFound: If there is none.
        InvalidInput: With code ``ambiguous_id`` and candidates, if there are several.
    """
    if name == LAST:
        page = await record.list(limit=1, sort="-updated_at")
        if not page.items:
            raise NotFound("there is no session yet")
        return page.items[0].id
    found = await record.find_ids(name, limit=CANDIDATES_MAX + 1)
    if not found:
        raise NotFound(f"no session {name!r}", session_id=name)
    if name not in found and len(found) > 1:
        more = " and more" if len(found) > CANDIDATES_MAX else ""
        candidates = list(found[:CANDIDATES_MAX])
        raise InvalidInput(
            f"{name} begins several ids: {', '.join(candidates)}{more}",
            code="ambiguous_id",
            candidates=candidates,
        )
    return name if name in found else found[0]
