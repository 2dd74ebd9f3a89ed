"""Applications and their clients."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from hansard.server.edge import Edge
from tests.server.applications import application, client_of


@pytest.fixture
async def app(record_url: str) -> AsyncIterator[Edge]:
    """A started application, once on each engine."""
    async with application(record_url) as app:
        yield app


@pytest.fixture
async def api(app: Edge) -> AsyncIterator[httpx.AsyncClient]:
    """Its client."""
    async with client_of(app) as client:
        yield client
