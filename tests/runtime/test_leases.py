"""Leases at their seams."""

from __future__ import annotations

import asyncio

import pytest

from hansard.compose import open_database
from hansard.runtime.leases import Leases
from hansard.service.threads import ThreadService


async def test_end_of_whoever_took_a_lease_is_told_as_it_is(record_url: str) -> None:
    """The record cannot be asked any more: the lease ends by itself, and a chore as it is told."""
    async with open_database(record_url) as record:
        threads = ThreadService(record.runner)
        made = await threads.create("scripted")
        leases = Leases(record.clock(), None, 15.0)
        with pytest.raises(asyncio.CancelledError):
            async with leases.taken(threads, made.id):
                await record.runner.close()
                raise asyncio.CancelledError
