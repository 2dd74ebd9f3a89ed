"""Turns of one session go one after another."""

from __future__ import annotations

import asyncio

import pytest

from hansard.core.errors import Conflict
from hansard.runtime.queues import SessionQueues


def queues(waiting_max: int = 8, wait_max_s: float = 60.0) -> SessionQueues:
    return SessionQueues(waiting_max=waiting_max, wait_max_s=wait_max_s)


def nobody_listens() -> None:
    """Somebody else's turn begins to wait."""


async def steps(count: int = 10) -> None:
    """Let all that can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_turns_of_a_session_keep_their_order() -> None:
    line, done = queues(), []

    async def turn(number: int) -> None:
        async with line.place("s", nobody_listens):
            await steps(10 - number)
            done.append(number)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(turn(number))
    assert done == list(range(8))
    assert len(line) == 0


async def test_sessions_do_not_wait_for_each_other() -> None:
    line = queues()
    async with line.place("a", nobody_listens), asyncio.timeout(5), line.place("b", nobody_listens):
        assert len(line) == 2
    assert len(line) == 0


async def test_too_many_that_wait_are_refused() -> None:
    line = queues(waiting_max=1)
    async with line.place("s", nobody_listens), asyncio.TaskGroup() as group:
        waiting = group.create_task(enter(line))
        await steps()
        with pytest.raises(Conflict) as refused:
            await enter(line)
        assert refused.value.code == "session_busy"
        waiting.cancel()


async def test_wait_has_a_deadline() -> None:
    line = queues(wait_max_s=0.0)
    async with line.place("s", nobody_listens):
        with pytest.raises(Conflict) as refused:
            await enter(line)
    assert refused.value.code == "session_busy"
    await enter(line)
    assert len(line) == 0


async def test_turn_that_gives_up_is_passed_over() -> None:
    line, done = queues(), []

    async def turn(number: int) -> None:
        async with line.place("s", nobody_listens):
            done.append(number)

    async with asyncio.TaskGroup() as group, line.place("s", nobody_listens):
        tasks = [group.create_task(turn(number)) for number in range(4)]
        await steps()
        tasks[0].cancel()
        tasks[2].cancel()
    assert done == [1, 3]
    assert len(line) == 0


async def test_turn_that_gives_up_when_it_is_called_calls_the_next() -> None:
    line, done = queues(), []

    async def turn(number: int) -> None:
        async with line.place("s", nobody_listens):
            done.append(number)

    async with asyncio.TaskGroup() as group:
        async with line.place("s", nobody_listens):
            tasks = [group.create_task(turn(number)) for number in range(2)]
            await steps()
        tasks[0].cancel()
    assert done == [1]
    assert len(line) == 0


async def enter(line: SessionQueues) -> None:
    async with line.place("s", nobody_listens):
        pass


async def test_turn_is_told_of_those_that_begin_to_wait() -> None:
    line, told = queues(waiting_max=1), []
    async with asyncio.TaskGroup() as group:
        async with line.place("s", lambda: told.append("first")):
            assert (line.waiting("s"), told) == (0, [])
            group.create_task(enter(line))
            await steps()
            assert (line.waiting("s"), told) == (1, ["first"])
            with pytest.raises(Conflict):
                await enter(line)  # refused: it does not wait
        await steps()
    assert (line.waiting("s"), told) == (0, ["first"])
