"""Chat turns whose client, upstream or record fails: what is billed is recorded once."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from hansard.server.app import key_service
from hansard.settings import AccessSettings
from tests.faults.proxy import Proxy
from tests.places import client_at
from tests.runtime.upstreams import (
    DONE,
    STREAM_END,
    STREAM_HEAD,
    FakeUpstream,
    answer,
    completion,
    event,
    hang,
    hang_up,
    piece,
    usage_event,
)
from tests.samples import assistant, user
from tests.server.chats import MODEL, Chat, chatting, until

WHOLE = answer(json.dumps(completion(model=MODEL)).encode())
BEGINNING = STREAM_HEAD + piece(event("Hel", model=MODEL))
END = b"".join(
    map(
        piece,
        (event("lo", model=MODEL), event(finish_reason="stop", model=MODEL), usage_event(), DONE),
    )
)
QUESTION: dict[str, Any] = {"model": MODEL, "messages": [user("hi")]}
ANSWERED = [user("hi"), assistant("Hello")]
KEPT: dict[str, Any] = {"model": MODEL, "messages": [*ANSWERED, user("more")]}
"""The request of a client that keeps the history."""


class Pausing:
    """Begins a stream, and ends it when it may."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.may_end.wait()
        writer.write(END + STREAM_END)
        await writer.drain()


@asynccontextmanager
async def begun(
    chat: Chat, session_id: str = "s", **more: Any
) -> AsyncIterator[AsyncIterator[str]]:
    """A stream that has brought its first piece; the client leaves at the end of the block."""
    async with (
        client_at(chat.url, timeout=60) as client,
        client.stream(
            "POST",
            "/v1/chat/completions",
            json={**QUESTION, "stream": True, **more},
            headers={"X-Session-Id": session_id},
        ) as response,
    ):
        assert response.status_code == 200
        parts = response.aiter_text()
        assert "Hel" in await anext(parts)
        yield parts
        await parts.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_client_that_leaves_costs_no_record(record_url: str, tmp_path: Path) -> None:
    pausing = Pausing()
    upstream = FakeUpstream(BEGINNING, behaviour=pausing)
    async with chatting(record_url, tmp_path, upstream) as chat:
        async with begun(chat):
            pass
        assert chat.turns == 1
        pausing.may_end.set()
        await until(lambda: not chat.turns)
        assert await chat.said("s") == ANSWERED
        assert await chat.statuses("s") == ["completed"]
        assert (await chat.record.get("s")).usage.input_tokens == 9


async def test_upstream_that_goes_on_for_ever_is_left_in_the_end(
    record_url: str, tmp_path: Path
) -> None:
    upstream = FakeUpstream(BEGINNING, behaviour=hang)
    async with chatting(record_url, tmp_path, upstream, left_s=0.1) as chat:
        async with begun(chat):
            pass
        await until(lambda: not chat.turns)
        assert await chat.said("s") == [user("hi"), assistant("Hel")]
        assert await chat.statuses("s") == ["interrupted"]
        totals = (await chat.record.get("s")).usage
        assert (totals.calls, totals.output_tokens > 0) == (1, True)


async def test_client_that_leaves_the_line_asks_nothing(record_url: str, tmp_path: Path) -> None:
    pausing = Pausing()
    upstream = FakeUpstream(BEGINNING, behaviour=pausing)
    async with chatting(record_url, tmp_path, upstream) as chat:
        async with begun(chat):
            async with client_at(chat.url, timeout=0.2) as client:
                with pytest.raises(httpx.ReadTimeout):
                    await client.post(
                        "/v1/chat/completions", json=QUESTION, headers={"X-Session-Id": "s"}
                    )
            await until(lambda: chat.turns == 1)
            pausing.may_end.set()
        await until(lambda: not chat.turns)
        assert len(upstream.asked) == 1
        assert await chat.statuses("s") == ["completed"]


async def test_turns_of_a_session_wait_and_others_do_not(record_url: str, tmp_path: Path) -> None:
    pausing = Pausing()
    upstream = FakeUpstream(BEGINNING, behaviour=pausing)
    async with chatting(record_url, tmp_path, upstream) as chat, asyncio.TaskGroup() as group:
        async with begun(chat, "a"):
            completions = chat.client("a").chat.completions
            more = {**QUESTION, "messages": [user("more")], "stream": True}
            waiting = group.create_task(completions.create(**more))
            async with begun(chat, "b"):
                assert len(upstream.asked) == 2
            pausing.may_end.set()
        async for _ in await waiting:
            pass
        messages = upstream.asked[-1].body["messages"]
        assert messages == [*ANSWERED, user("more")]


async def test_line_that_is_too_long_is_refused(record_url: str, tmp_path: Path) -> None:
    upstream = FakeUpstream(BEGINNING, behaviour=hang)
    async with chatting(record_url, tmp_path, upstream, session_queue=0, left_s=0.0) as chat:
        async with begun(chat):
            with pytest.raises(openai.ConflictError) as refused:
                await chat.client("s").chat.completions.create(**QUESTION)
        assert refused.value.code == "session_busy"


async def test_turns_under_way_have_a_bound(record_url: str, tmp_path: Path) -> None:
    upstream = FakeUpstream(BEGINNING, behaviour=hang)
    async with chatting(record_url, tmp_path, upstream, max_turns=1, left_s=0.0) as chat:
        async with begun(chat):
            with pytest.raises(openai.RateLimitError) as refused:
                await chat.client("other").chat.completions.create(**QUESTION)
        assert refused.value.code == "too_many_turns"


async def test_upstream_that_is_too_slow_fails_in_time(record_url: str, tmp_path: Path) -> None:
    upstream = FakeUpstream(behaviour=hang)
    async with chatting(record_url, tmp_path, upstream, turn_deadline_s=1.0) as chat:
        with pytest.raises(openai.InternalServerError) as refused:
            await chat.client("s").chat.completions.create(**QUESTION)
        assert (refused.value.status_code, refused.value.code) == (504, "turn_timeout")
        assert await chat.said("s") == [user("hi")]
        assert await chat.statuses("s") == ["failed"]


async def test_stream_that_breaks_off_is_told_and_recorded(record_url: str, tmp_path: Path) -> None:
    upstream = FakeUpstream(BEGINNING, behaviour=hang_up)
    async with chatting(record_url, tmp_path, upstream) as chat:
        stream = await chat.client("s").chat.completions.create(**QUESTION, stream=True)
        assert (await anext(stream)).choices[0].delta.content == "Hel"
        with pytest.raises(openai.APIError) as broken:
            await anext(stream)
        assert broken.value.body["type"] == "server_error"  # type: ignore[index]  # an object
        assert await chat.said("s") == [user("hi"), assistant("Hel")]
        assert await chat.statuses("s") == ["failed"]
        assert (await chat.record.get("s")).usage.calls == 1


async def test_server_that_stops_tells_and_records_how_far_it_came(
    record_url: str, tmp_path: Path
) -> None:
    upstream = FakeUpstream(BEGINNING, behaviour=hang)
    has_begun = asyncio.Event()

    async def listen(chat: Chat) -> str:
        async with begun(chat) as rest:
            has_begun.set()
            return "".join([part async for part in rest])

    async with (
        asyncio.TaskGroup() as group,
        chatting(record_url, tmp_path, upstream, drain_s=0.2) as chat,
    ):
        listening = group.create_task(listen(chat))
        await has_begun.wait()
    assert "turn_interrupted" in listening.result()
    async with chatting(record_url, tmp_path) as chat:
        assert await chat.said("s") == [user("hi"), assistant("Hel")]
        assert await chat.statuses("s") == ["interrupted"]


class Outage:
    """A database that can be taken away, and brought back."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self.url = url
        self._stack = stack
        self._wire: Proxy | None = None
        if url.startswith("postgresql"):
            self._wire = stack.enter_context(Proxy(url))
            self.url = self._wire.url
        self._locked: sqlite3.Connection | None = None

    def begin(self) -> None:
        """From now on nothing is written, and on PostgreSQL nothing is read."""
        if self._wire is not None:
            self._wire.refusing = True
            self._wire.hang_up()
            return
        path = self.url.removeprefix("sqlite:///")
        self._locked = self._stack.enter_context(
            closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        )
        self._locked.execute("BEGIN IMMEDIATE")

    def end(self) -> None:
        """Nothing is in the way any more."""
        if self._wire is not None:
            self._wire.refusing = False
        if self._locked is not None:
            self._locked.execute("ROLLBACK")


@pytest.fixture
def outage(record_url: str) -> Iterator[Outage]:
    with ExitStack() as stack:
        yield Outage(record_url, stack)


@contextmanager
def during(outage: Outage) -> Iterator[None]:
    outage.begin()
    try:
        yield
    finally:
        outage.end()


@pytest.mark.parametrize("is_stream", [False, True])
async def test_answer_goes_on_without_the_record_and_lands_once(
    record_url: str, tmp_path: Path, outage: Outage, is_stream: bool
) -> None:
    upstream = FakeUpstream(*((BEGINNING, END + STREAM_END) if is_stream else (WHOLE,)))
    async with chatting(
        record_url, tmp_path, upstream, server_url=outage.url, record_wait_s=0.2
    ) as chat:
        with during(outage):
            messages = [user("hi"), assistant("Ho"), user("hi")]
            for _ in range(2):  # the second behind the first
                body = {**QUESTION, "messages": messages, "stream": is_stream}
                async with client_at(chat.url, timeout=60) as client:
                    raw = await client.post(
                        "/v1/chat/completions", json=body, headers={"X-Session-Id": "s"}
                    )
                assert raw.status_code == 200
                assert DONE in raw.content or not is_stream
                messages += [assistant("Hello"), user("more")]
            assert (chat.spooled, len(chat.files())) == (2, 2)
        await until(lambda: not chat.spooled)
        assert chat.files() == []
        expected = [user("hi"), assistant("Ho"), user("hi"), assistant("Hello")]
        assert await chat.said("s") == [*expected, user("more"), assistant("Hello")]
        assert (await chat.record.get("s")).usage.calls == 2
        assert not (await chat.record.list_holds(state="open")).items


async def test_waiting_turns_are_told(record_url: str, tmp_path: Path, outage: Outage) -> None:
    upstream = FakeUpstream(WHOLE)
    async with (
        chatting(record_url, tmp_path, upstream, server_url=outage.url) as chat,
        client_at(chat.url) as client,
    ):
        assert (await client.get("/readyz")).json() == {"status": "ready", "spooled": 0}
        with during(outage):
            await chat.client().chat.completions.create(**QUESTION)
            metrics = (await client.get("/metrics")).text
        assert "hansard_spool_records 1.0" in metrics
        assert "hansard_spool_refused 0.0" in metrics
        await until(lambda: not chat.spooled)


async def test_keys_open_the_chat_and_the_metrics_without_the_record(
    postgres_url: str, tmp_path: Path
) -> None:
    upstream, access = FakeUpstream(WHOLE), AccessSettings(auth="key", key_pepper="pepper")
    with ExitStack() as stack:
        outage = Outage(postgres_url, stack)
        async with chatting(
            postgres_url, tmp_path, upstream, server_url=outage.url, access=access
        ) as chat:
            keys = key_service(chat.record, access)
            (key, _), (unseen, _) = [await keys.create("acme", owner) for owner in ("ann", "bob")]
            await chat.client("s", key).chat.completions.create(**QUESTION)
            with during(outage):
                await chat.client("s", key).chat.completions.create(**KEPT)
                with pytest.raises(openai.InternalServerError) as refused:
                    await chat.client("s", unseen).chat.completions.create(**KEPT)
                assert refused.value.status_code == 503
                async with client_at(chat.url, timeout=60) as client:
                    token = {"Authorization": f"Bearer {key}"}
                    metrics = await client.get("/metrics", headers=token)
                    readiness = await client.get("/readyz")
                assert "hansard_spool_records 1.0" in metrics.text
                assert readiness.json()["error"]["details"]["spooled"] == 1
                assert (readiness.status_code, "/" in readiness.text) == (503, False)
            await until(lambda: not chat.spooled)


async def test_next_server_records_what_the_last_one_could_not(
    record_url: str, tmp_path: Path, outage: Outage
) -> None:
    upstream = FakeUpstream(WHOLE)
    async with chatting(
        record_url, tmp_path, upstream, server_url=outage.url, record_wait_s=0.2
    ) as chat:
        outage.begin()
        await chat.client("s").chat.completions.create(**KEPT)
        assert chat.spooled == 1
    outage.end()
    async with chatting(record_url, tmp_path, upstream) as chat:
        await until(lambda: not chat.spooled)
        assert await chat.said("s") == [*KEPT["messages"], assistant("Hello")]


async def test_record_can_be_demanded(record_url: str, tmp_path: Path, outage: Outage) -> None:
    upstream = FakeUpstream(WHOLE)
    async with chatting(
        record_url,
        tmp_path,
        upstream,
        server_url=outage.url,
        record_wait_s=0.2,
        require_record=True,
    ) as chat:
        with during(outage):
            with pytest.raises(openai.InternalServerError) as refused:
                await chat.client().chat.completions.create(**QUESTION)
            assert (refused.value.status_code, refused.value.code) == (503, "record_unavailable")
            assert {"x-turn-id", "retry-after"} <= set(refused.value.response.headers)
        assert not upstream.asked
        await until(lambda: not chat.spooled)


async def test_budget_that_cannot_be_asked_says_no(
    record_url: str, tmp_path: Path, outage: Outage
) -> None:
    upstream = FakeUpstream(WHOLE)
    async with chatting(
        record_url, tmp_path, upstream, server_url=outage.url, record_wait_s=0.2
    ) as chat:
        await chat.record.put_budget("all", scope="tenant", limit_amount=10**12)
        await chat.client().chat.completions.create(**QUESTION)
        with during(outage):
            with pytest.raises(openai.InternalServerError) as refused:
                await chat.client().chat.completions.create(**QUESTION)
            assert (refused.value.status_code, refused.value.code) == (503, "budget_unavailable")
        assert len(upstream.asked) == 1
        await until(lambda: not chat.spooled)
        assert not (await chat.record.list_holds(state="open")).items


async def test_history_that_cannot_be_read_is_not_an_empty_one(
    postgres_url: str, tmp_path: Path
) -> None:
    upstream = FakeUpstream(WHOLE)
    with ExitStack() as stack:
        outage = Outage(postgres_url, stack)
        async with chatting(
            postgres_url, tmp_path, upstream, server_url=outage.url, record_wait_s=0.2
        ) as chat:
            client = chat.client("s")
            await client.chat.completions.create(**QUESTION)
            with during(outage):
                with pytest.raises(openai.InternalServerError) as refused:
                    await client.chat.completions.create(**QUESTION)
                assert refused.value.code == "history_unavailable"
                assert len(upstream.asked) == 1
                await client.chat.completions.create(**KEPT)
            await until(lambda: not chat.spooled)
            assert await chat.said("s") == [*KEPT["messages"], assistant("Hello")]
