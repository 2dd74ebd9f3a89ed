"""Windows: the last messages, never a tool's answer without its call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hansard import SessionService
from tests.places import Place
from tests.samples import Body, assistant, dialogue, user


def asks(*ids: str) -> Body:
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id} for id in ids]}


def answers(id: str) -> Body:
    return {"role": "tool", "tool_call_id": id, "content": "ok"}


def asks_anthropic(id: str) -> Body:
    return assistant([{"type": "tool_use", "id": id, "name": "look", "input": {}}])


def answers_anthropic(id: str) -> Body:
    return user([{"type": "tool_result", "tool_use_id": id, "content": "ok"}])


async def tail_seqs(record: SessionService, history: list[Body], count: int) -> list[int]:
    session = await record.create(messages=history)
    return [message.seq for message in await record.tail(session.id, count)]


@pytest.mark.parametrize(("count", "expected"), [(1, [4]), (3, [2, 3, 4]), (5, 5), (9, 5)])
async def test_plain_dialogue_is_cut_anywhere(
    record: SessionService, count: int, expected: Any
) -> None:
    whole = list(range(5)) if expected == 5 else expected
    assert await tail_seqs(record, dialogue(5), count) == whole


async def test_window_on_nothing_is_empty(record: SessionService) -> None:
    assert await tail_seqs(record, [], 3) == []


@pytest.mark.parametrize("count", [1, 2, 3])
async def test_answers_bring_their_call(record: SessionService, count: int) -> None:
    history = [user("hi"), asks("c1", "c2"), answers("c1"), answers("c2")]
    assert await tail_seqs(record, history, count) == [1, 2, 3]


async def test_results_inside_user_messages_bring_their_call(record: SessionService) -> None:
    history = [user("hi"), asks_anthropic("c1"), answers_anthropic("c1")]
    assert await tail_seqs(record, history, 1) == [1, 2]


async def test_many_answers_are_searched_through(record: SessionService) -> None:
    ids = [f"c{n}" for n in range(200)]
    history = [user("hi"), asks(*ids), *map(answers, ids)]
    assert await tail_seqs(record, history, 1) == list(range(1, 202))


async def test_answers_without_any_call_give_the_whole_history(record: SessionService) -> None:
    assert await tail_seqs(record, [answers("c1"), answers("c2")], 1) == [0, 1]


async def test_window_on_messages_that_were_lost_comes_to_an_end(
    record: SessionService, place: Place
) -> None:
    session = await record.create(messages=dialogue(200))
    place.execute("DELETE FROM messages WHERE seq < 199")
    async with asyncio.timeout(30):
        assert [message.seq for message in await record.tail(session.id, 2)] == [199]


exchanges = st.sampled_from(
    [
        [user("hi")],
        [assistant("ho")],
        [asks("c1"), answers("c1")],
        [asks("c1", "c2"), answers("c2"), answers("c1")],
        [asks_anthropic("c1"), answers_anthropic("c1")],
    ]
)


@given(parts=st.lists(exchanges, max_size=8), count=st.integers(1, 20))
@settings(max_examples=25)
async def test_window_is_the_shortest_that_cuts_no_exchange(
    record: SessionService, parts: list[list[Body]], count: int
) -> None:
    history = [message for part in parts for message in part]
    starts = [sum(map(len, parts[:n])) for n in range(len(parts) + 1)]
    wanted = max(0, len(history) - count)
    start = max(start for start in starts if start <= wanted)
    assert await tail_seqs(record, history, count) == list(range(start, len(history)))
