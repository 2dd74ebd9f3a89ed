"""How a turn is stopped from outside."""

from __future__ import annotations

import asyncio

import pytest

from hansard.alarms import Alarm
from hansard.core.errors import Unavailable, UpstreamFailed
from hansard.core.usage import NewUsage
from hansard.runtime.agents.protocol import AgentFailed
from hansard.runtime.stops import Stops

TOLD = AgentFailed(
    UpstreamFailed("the agent's own word"),
    messages=[{"role": "assistant", "content": "so far"}],
    calls=[NewUsage(event_id="call-1")],
    unmade=["call-2"],
)


async def wait(stops: Stops) -> None:
    """Do something that may be stopped, as an agent does it."""
    with stops:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            raise exc from TOLD


@pytest.mark.parametrize(
    ("stop", "code", "status"),
    [
        (Stops.interrupt, "turn_interrupted", 503),
        (Stops.time_out, "turn_timeout", 504),
    ],
)
async def test_stop_says_why_and_how_far_it_came(stop: object, code: str, status: int) -> None:
    stops = Stops()
    assert callable(stop)
    asyncio.get_running_loop().call_soon(stop, stops)
    with pytest.raises(AgentFailed) as stopped:
        await wait(stops)
    failed = stopped.value
    assert (failed.error.code, failed.status) == (code, status)
    assert (failed.messages, failed.calls, failed.unmade) == (
        TOLD.messages,
        TOLD.calls,
        TOLD.unmade,
    )
    assert stops.is_interrupted == (code == "turn_interrupted")
    await asyncio.sleep(0)  # nothing is left of it in the task


async def test_first_stop_counts() -> None:
    stops = Stops()
    stops.after(0.0, stops.time_out)
    stops.after(0.0, stops.interrupt)
    with pytest.raises(AgentFailed) as stopped:
        await wait(stops)
    assert stopped.value.error.code == "turn_timeout"
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_stop_before_the_block_is_heeded_and_one_after_it_is_not() -> None:
    early, late = Stops(), Stops()
    early.interrupt()
    with pytest.raises(AgentFailed):
        await wait(early)
    with late:
        pass
    late.after(0.0, late.interrupt)
    late.interrupt()
    await asyncio.sleep(0)
    assert not late.is_interrupted


async def test_end_of_the_process_is_an_interruption() -> None:
    stops = Stops()
    waiting = asyncio.ensure_future(wait(stops))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(AgentFailed) as stopped:
        await waiting
    assert (stopped.value.error.code, stopped.value.calls) == ("turn_interrupted", TOLD.calls)


async def test_stop_at_the_moment_of_an_alarm_is_not_lost() -> None:
    stops = Stops()
    asyncio.get_running_loop().call_later(0.0, stops.interrupt)
    with pytest.raises(AgentFailed) as stopped, stops, Alarm(0.0):
        await asyncio.Event().wait()
    assert stopped.value.error.code == "turn_interrupted"
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_what_goes_wrong_of_itself_is_no_stop() -> None:
    stops = Stops()
    with pytest.raises(Unavailable), stops:
        raise Unavailable("down")
    assert not stops.is_interrupted
