"""Answers on their way to a client."""

from __future__ import annotations

import asyncio

from hansard.runtime.pipes import FULL_BYTES, Pipe


async def test_pieces_that_wait_go_on_as_one() -> None:
    pipe = Pipe()
    pieces = pipe.pieces()
    pipe.put(b"a")
    assert await anext(pieces) == b"a"
    pipe.put(b"b")
    pipe.put(b"c")
    pipe.end()
    assert [piece async for piece in pieces] == [b"bc"]


async def test_reader_waits_for_pieces() -> None:
    pipe = Pipe()
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read(pipe))
        await asyncio.sleep(0)
        pipe.put(b"a")
        await asyncio.sleep(0)
        pipe.end()
    assert reading.result() == b"a"


async def test_writer_waits_for_a_reader_that_is_slow() -> None:
    pipe = Pipe()
    pipe.put(bytes(FULL_BYTES))
    assert pipe.is_full
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(pipe.wait_for_room())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await anext(pipe.pieces()) == bytes(FULL_BYTES)
    assert not pipe.is_full


async def test_writer_does_not_wait_for_a_reader_that_has_gone() -> None:
    pipe = Pipe()
    pipe.put(bytes(FULL_BYTES))
    async with asyncio.TaskGroup() as group:
        group.create_task(pipe.wait_for_room())
        await asyncio.sleep(0)
        pipe.abandon()
    pipe.put(b"unheard")
    assert await read(pipe) == b""


async def read(pipe: Pipe) -> bytes:
    return b"".join([piece async for piece in pipe.pieces()])
