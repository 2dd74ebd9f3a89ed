"""Fixtures of the conformance suite alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hansard.compose import open_database
from hansard.service.sessions import DatabaseSessions
from tests.ledgers import Clock
from tests.places import Place


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
