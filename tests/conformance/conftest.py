"""Fixtures of the conformance suite alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from hansard.compose import open_database
from hansard.service.sessions import DatabaseSessions
from hansard.settings import AccessSettings
from tests.ledgers import Clock
from tests.places import Place, serve


@pytest.fixture
def clock() -> Clock:
    """A clock that is set by hand."""
    return Clock()


@pytest.fixture
async def books(place: Place, clock: Clock) -> AsyncIterator[DatabaseSessions]:
    """An open record on a database, at the time of the clock."""
    async with open_database(place.database_url) as record:
        record.clock = clock
        yield record


@pytest.fixture
def guarded(place: Place) -> Iterator[Place]:
    """The place; if it is a server, then one that asks for API keys."""
    if place.kind != "http":
        yield place
        return
    with serve(place.database_url, AccessSettings(auth="key")) as url:
        yield Place("http", url, place.database_url)
