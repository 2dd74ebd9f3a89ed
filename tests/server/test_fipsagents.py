"""The field's own client, ``HttpSessionStore``, unchanged against a running server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fipsagents.server.http import (  # type: ignore[import-untyped]  # it ships no types
    HttpSessionStore,
    PlatformError,
)

from hansard.settings import AccessSettings
from tests.places import serve
from tests.samples import dialogue

COST = {"input_tokens": 5, "output_tokens": 2, "cached_tokens": 0, "model": "m", "turn_count": 1}


class CountingTransport(httpx.AsyncHTTPTransport):
    """Counts the connections that a client opens."""

    def __init__(self) -> None:
        super().__init__(limits=httpx.Limits(max_connections=1))
        self.connections: set[Any] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        stream = response.extensions["network_stream"]
        self.connections.add(stream.get_extra_info("client_addr"))
        return response


@pytest.fixture
def server(record_url: str) -> Iterator[str]:
    with serve(record_url) as url:
        yield url


@pytest.fixture
def transport() -> CountingTransport:
    return CountingTransport()


@pytest.fixture
async def store(server: str, transport: CountingTransport) -> AsyncIterator[HttpSessionStore]:
    store = HttpSessionStore(server, transport=transport)
    yield store
    await store.close()


async def test_history_and_costs_come_back(store: HttpSessionStore) -> None:
    session_id = await store.create()
    assert session_id.startswith("sess_")
    assert await store.load(session_id) == []
    assert await store.exists(session_id)
    messages = [
        *dialogue(3),
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "x": {"y": 1.5}}]},
        {"role": "tool", "tool_call_id": "c", "content": "é😀", "id": "msg_1"},
    ]
    await store.save(session_id, messages)
    assert await store.load(session_id) == messages
    await store.save(session_id, messages[:2])
    assert await store.load(session_id) == messages[:2]
    assert await store.update(session_id, cost_data=COST)
    assert await store.update(session_id, cost_data={"model": None, "turn_count": 2})
    assert await store.get_cost_data(session_id) == {**COST, "model": None, "turn_count": 2}
    assert await store.load(session_id) == messages[:2]
    assert await store.delete(session_id)
    assert not await store.delete(session_id)


async def test_unknown_session_is_none_false_and_empty(store: HttpSessionStore) -> None:
    assert await store.load("nobody") is None
    assert not await store.exists("nobody")
    assert not await store.update("nobody", cost_data=COST)
    assert not await store.update("nobody")
    assert await store.get_cost_data("nobody") == {}
    assert not await store.delete("nobody")


async def test_save_makes_sessions_with_ids_of_events(store: HttpSessionStore) -> None:
    await store.save("event:hooks.x", dialogue(2))
    assert await store.load("event:hooks.x") == dialogue(2)


async def test_taken_id_is_409_and_the_connection_lives(
    store: HttpSessionStore, transport: CountingTransport
) -> None:
    assert await store.create("chat-1") == "chat-1"
    for _ in range(3):
        with pytest.raises(PlatformError) as refused:
            await store.create("chat-1")
        assert refused.value.status_code == 409
        assert await store.exists("chat-1")
    assert len(transport.connections) == 1


async def test_refusals_keep_the_connection(
    store: HttpSessionStore, transport: CountingTransport
) -> None:
    for session_id in ("abc\n", "a b", "", "x" * 129):
        with pytest.raises(PlatformError) as refused:
            await store.create(session_id)
        assert refused.value.status_code == 422
    assert not await store.exists("abc")
    assert len(transport.connections) == 1


async def test_agents_that_update_different_keys_lose_nothing(store: HttpSessionStore) -> None:
    await store.create("a")
    await asyncio.gather(*(store.update("a", cost_data={f"key{n}": n}) for n in range(30)))
    assert await store.get_cost_data("a") == {f"key{n}": n for n in range(30)}


async def test_client_sends_its_token(record_url: str) -> None:
    with serve(record_url, AccessSettings(auth="key")) as url:
        store = HttpSessionStore(url, static_token="hansard.acme.unknown.key")
        with pytest.raises(PlatformError) as refused:
            await store.load("a")
        assert refused.value.status_code == 401
        await store.close()
