"""Events over HTTP: read whatever the pieces, followed whatever breaks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.client.streams import LINE_BYTES_MAX, ServerSent, read_blocks
from hansard.core.errors import LimitReached, NotFound, Unavailable, UpstreamFailed
from tests.samples import collect, take
from tests.scripted import Script, failure

STREAM = (
    b'retry: 1500\n\n: heartbeat\n\nid: 1\nevent: x\ndata: {"a":1}\n\ndata: b\r\ndata:c\r\n\r\n'
)
BLOCKS = [
    ServerSent(None, 1.5),
    ServerSent(None, None),
    ServerSent(b'{"a":1}', None),
    ServerSent(b"b\nc", None),
]


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def event(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "kind": "messages.appended",
        "turn_id": None,
        "first_seq": number,
        "last_seq": number,
        "message_count": number + 1,
        "created_at": "2026-01-31T12:00:00.000000Z",
    }


def stream(*numbers: int, ends: bytes = b"") -> httpx.Response:
    blocks = [f"id: {n}\ndata: {json.dumps(event(n))}\n\n".encode() for n in numbers]
    return httpx.Response(200, content=b"".join(blocks) + ends)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
async def test_blocks_are_the_same_wherever_the_stream_is_cut(cuts: list[int]) -> None:
    edges = [0, *cuts, len(STREAM)]
    parts = [STREAM[start:end] for start, end in pairwise(edges)]
    assert await collect(read_blocks(pieces(*parts))) == BLOCKS


async def test_block_that_is_cut_off_is_dropped() -> None:
    assert await collect(read_blocks(pieces(b"data: whole\n\ndata: ha"))) == [
        ServerSent(b"whole", None)
    ]


async def test_endless_line_is_refused() -> None:
    with pytest.raises(UpstreamFailed):
        await collect(read_blocks(pieces(b"data: ", b"x" * (LINE_BYTES_MAX + 1))))


async def test_stream_that_ends_is_taken_up_where_it_ended() -> None:
    script = Script([stream(1, 2), httpx.ReadError, stream(3, ends=b"data: {"), stream(4)])
    async with script.record() as record:
        found = await take(record.events("s"), 4)
    assert [item.number for item in found] == [1, 2, 3, 4]
    since = [request.url.params["since"] for request in script.requests]
    assert since == ["0", "2", "2", "3"]
    assert script.requests[-1].headers["Last-Event-ID"] == "3"


async def test_hint_when_to_come_back_is_kept() -> None:
    script = Script([stream(1, ends=b"retry: 7000\n\n"), stream(2)])
    async with script.record() as record:
        await take(record.events("s"), 2)
    assert script.waits == [7.0]


async def test_server_that_stays_away_ends_it() -> None:
    script = Script([stream(1), httpx.ConnectError])
    async with script.record(retry_deadline_s=2.0) as record:
        with pytest.raises(Unavailable) as caught:
            await collect(record.events("s"))
    assert caught.value.code == "unreachable"


async def test_server_that_hangs_up_at_once_is_not_asked_for_ever() -> None:
    script = Script([httpx.Response(200)])
    async with script.record(retry_deadline_s=2.0) as record:
        with pytest.raises(Unavailable) as caught:
            await collect(record.events("s"))
    assert caught.value.code == "stream_ended"


@pytest.mark.parametrize(
    ("answer", "error"),
    [(failure(404, "session_not_found"), NotFound), (failure(429, "too_many"), LimitReached)],
)
async def test_refusal_ends_it(answer: httpx.Response, error: type[Exception]) -> None:
    script = Script([stream(1), answer])
    async with script.record() as record:
        with pytest.raises(error):
            await collect(record.events("s"))


async def test_export_that_breaks_off_does_not_look_whole() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b'{"format":'
        raise httpx.RemoteProtocolError("cut off")

    script = Script([httpx.Response(200, content=broken())])
    async with script.record() as record:
        with pytest.raises(Unavailable) as caught:
            await collect(record.export_session("s"))
    assert caught.value.code == "connection_lost"
