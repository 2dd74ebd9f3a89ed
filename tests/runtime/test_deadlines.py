"""Deadlines of reads, by a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from hansard.runtime.agents.upstream_answers import ReadDeadline


class HandTurnedLoop:
    """Timers that fire when the test says what time it is."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers: list[tuple[float, Callable[[], None], asyncio.TimerHandle]] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), asyncio.get_running_loop())
        self.timers.append((when, callback, handle))
        return handle

    def turn_to(self, now_s: float) -> None:
        while due := [timer for timer in self.timers if timer[0] <= now_s]:
            first = min(due, key=lambda timer: timer[0])
            self.timers.remove(first)
            self.now_s = first[0]
            if not first[2].cancelled():
                first[1]()
        self.now_s = now_s


@pytest.fixture
async def loop() -> HandTurnedLoop:
    return HandTurnedLoop()


def start(loop: HandTurnedLoop, ended: list[float]) -> ReadDeadline:
    turned = cast("asyncio.AbstractEventLoop", loop)
    return ReadDeadline(turned, idle_s=10, ends_at_s=100, end=lambda: ended.append(loop.now_s))


async def test_read_that_brings_nothing_is_ended_when_its_time_is_up(loop: HandTurnedLoop) -> None:
    ended: list[float] = []
    deadline = start(loop, ended)
    for now_s in (0, 7, 14, 21):
        loop.turn_to(now_s)
        deadline.end_read()
        deadline.begin_read()
    loop.turn_to(60)
    assert ended == [31]
    assert deadline.has_passed


async def test_pause_of_the_consumer_is_not_the_upstreams(loop: HandTurnedLoop) -> None:
    ended: list[float] = []
    deadline = start(loop, ended)
    deadline.begin_read()
    loop.turn_to(5)
    deadline.end_read()
    loop.turn_to(55)
    deadline.begin_read()
    loop.turn_to(64)
    assert not ended
    loop.turn_to(90)
    assert ended == [65]


async def test_whole_is_bounded_also_in_a_pause(loop: HandTurnedLoop) -> None:
    ended: list[float] = []
    start(loop, ended)
    loop.turn_to(200)
    assert ended == [100]


async def test_answer_that_is_over_is_left_alone(loop: HandTurnedLoop) -> None:
    ended: list[float] = []
    deadline = start(loop, ended)
    deadline.begin_read()
    deadline.cancel()
    loop.turn_to(200)
    assert not ended
    assert not deadline.has_passed
