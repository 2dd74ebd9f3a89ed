"""Windows: the last messages, turns or tokens, never a tool's answer without its call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import hansard
from hansard import SessionService
from hansard.core.actors import Actor
from hansard.core.windows import REACH, STEP, Window
from hansard.service.sessions import DatabaseSessions
from hansard.store.database import Tx
from hansard.store.messages import list_window
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


Said = tuple[str | None, Body]
"""A message, and the turn that brings it."""


def asks_openai(id: str) -> Body:
    return assistant([{"type": "function_call", "call_id": id, "name": "look", "arguments": "{}"}])


def answers_openai(id: str) -> Body:
    return user([{"type": "function_call_output", "call_id": id, "output": "ok"}])


def calls(body: Body) -> set[str]:
    """Ids of the calls that a message makes."""
    parts = body["content"] if isinstance(body["content"], list) else []
    return {part["id"] for part in [*body.get("tool_calls", []), *parts] if "id" in part} | {
        part["call_id"] for part in parts if part["type"] == "function_call"
    }


def results(body: Body) -> set[str]:
    """Ids of the calls that a message answers."""
    parts = body["content"] if isinstance(body["content"], list) else []
    ids = {part["tool_use_id"] for part in parts if part["type"] == "tool_result"}
    ids |= {part["call_id"] for part in parts if part["type"] == "function_call_output"}
    return ids | ({body["tool_call_id"]} if body["role"] == "tool" else set())


def may_begin(history: Sequence[Said], start: int) -> bool:
    """Whether a window that begins there separates no call from its results."""
    window = [body for _, body in history[start:]]
    made: set[str] = set()
    for body in window:
        if not results(body) <= made:
            return start == 0
        made |= calls(body)
    return True


def wanted_start(history: Sequence[Said], count: int, unit: str) -> int:
    """Where a window would begin if it did not matter what it separates."""
    if unit == "messages":
        return max(0, len(history) - count)
    turns = [
        position
        for position, (turn_id, body) in enumerate(history)
        if position == 0
        or (turn_id is None and body["role"] == "user" and not results(body))
        or (turn_id is not None and turn_id != history[position - 1][0])
    ]
    return turns[-count] if count <= len(turns) else 0


def tokens(history: Sequence[Said]) -> int:
    texts = [json.dumps(body, ensure_ascii=False, separators=(",", ":")) for _, body in history]
    return sum((len(text.encode()) + 3) // 4 for text in texts)


async def tell(record: SessionService, history: Sequence[Said]) -> str:
    """Record what was said, turn by turn; return the session's id."""
    session = await record.create()
    for turn_id, said in groupby(history, key=lambda said: said[0]):
        messages = [body for _, body in said]
        if turn_id is None:
            await record.append_messages(session.id, messages)
        else:
            await record.append_turn(session.id, messages, turn_id=turn_id)
    return session.id


@st.composite
def histories(draw: st.DrawFn) -> list[Said]:
    """What several speakers say at the same time, some of it in turns."""
    speakers: list[list[Body]] = []
    for number in range(draw(st.integers(0, 6))):
        ids = [f"c{number}{letter}" for letter in "ab"[: draw(st.integers(1, 2))]]
        said = draw(
            st.sampled_from(
                [
                    [user("hí" * 9), assistant("ho")],
                    [asks(*ids), *map(answers, ids)],
                    [asks_anthropic(ids[0]), answers_anthropic(ids[0]), assistant("ho")],
                    [user("go"), asks_openai(ids[0]), answers_openai(ids[0])],
                    [asks(ids[0])],
                ]
            )
        )
        speakers.append(list(said))
    history: list[Said] = []
    turn_ids = st.sampled_from([None, None, "new", "same", "same"])
    while speakers:
        speaker = draw(st.sampled_from(speakers))
        body = speaker.pop(0)
        speakers = [rest for rest in speakers if rest]
        kind = draw(turn_ids)
        last = history[-1][0] if history else None
        history.append((f"t{len(history)}" if kind == "new" else last if kind else None, body))
    return history


BETWEEN = [
    (None, asks("c1")),
    (None, user("and?")),
    (None, asks_openai("c2")),
    (None, answers("c1")),
    (None, answers_openai("c2")),
]
"""Two agents and a user, in each other's words."""

ACROSS = [("t1", user("go")), ("t1", asks("c1")), ("t2", answers("c1")), ("t2", assistant("ok"))]
"""A call that waits for somebody, and is answered in the next turn."""


@pytest.mark.parametrize("unit", ["messages", "turns"])
@given(history=histories(), count=st.integers(1, 8))
@example(history=BETWEEN, count=1)
@example(history=BETWEEN, count=2)
@example(history=ACROSS, count=1)
@settings(max_examples=25)
async def test_window_is_the_shortest_that_separates_nothing(
    record: SessionService, unit: str, history: list[Said], count: int
) -> None:
    session_id = await tell(record, history)
    window = await record.tail(session_id, count, unit=unit)
    start = wanted_start(history, count, unit)
    while not may_begin(history, start):
        start -= 1
    assert [message.seq for message in window] == list(range(start, len(history)))


@given(history=histories(), budget=st.integers(1, 200))
@example(history=BETWEEN, budget=tokens(BETWEEN) - 1)
@example(history=BETWEEN, budget=tokens(BETWEEN))
@settings(max_examples=25)
async def test_window_by_tokens_is_the_longest_that_fits_and_separates_nothing(
    record: SessionService, history: list[Said], budget: int
) -> None:
    session_id = await tell(record, history)
    window = await record.tail(session_id, budget, unit="tokens")
    starts = [n for n in range(len(history) + 1) if may_begin(history, n)]
    start = next(start for start in starts if tokens(history[start:]) <= budget)
    assert [message.seq for message in window] == list(range(start, len(history)))


async def test_turns_are_counted_by_their_ids(record: SessionService) -> None:
    session = await record.create(messages=dialogue(3))
    for turn_id in ("a", "b"):
        await record.append_turn(session.id, [user("1"), user("2")], turn_id=turn_id)
        await record.append_messages(session.id, [assistant("by the way")])
    starts = [(await record.tail(session.id, n, unit="turns"))[0].seq for n in range(1, 6)]
    assert starts == [6, 3, 2, 0, 0]


class Counted:
    """A transaction that counts the rows it gives."""

    def __init__(self, tx: Tx) -> None:
        self.tx = tx
        self.count = 0

    def rows(self, *query: Any, **params: Any) -> list[Any]:
        found = list(self.tx.rows(*query, **params))
        self.count += len(found)
        return found


@pytest.mark.parametrize(
    ("window", "most"),
    [(Window(5), 6), (Window(5, "turns"), STEP), (Window(100, "tokens"), STEP)],
)
async def test_window_on_a_long_history_reads_its_end_only(
    record_url: str, window: Window, most: int
) -> None:
    async with hansard.open(record_url) as record:
        assert isinstance(record, DatabaseSessions)
        session = await record.create(messages=dialogue(2_000))

        def read(tx: Tx) -> tuple[int, int]:
            counted = Counted(tx)
            return len(list_window(counted, Actor(), session.id, window)), counted.count  # type: ignore[arg-type]  # only rows are asked for

        length, count = await record.runner.read(read)
    assert 0 < length < count <= most


async def test_call_that_is_nowhere_is_looked_for_within_reach(record: SessionService) -> None:
    history = [*dialogue(600), answers("lost"), *dialogue(4)]
    window = await tail_seqs(record, history, 5)
    assert window == list(range(600 - REACH, 605))


@pytest.mark.parametrize(
    ("count", "unit", "expected"),
    [(1, "messages", [1, 2]), (1, "turns", [0, 1, 2]), (9, "tokens", []), (25, "tokens", [1, 2])],
)
async def test_results_without_an_id_follow_their_call(
    record: SessionService, count: int, unit: str, expected: list[int]
) -> None:
    nameless: Body = {"role": "tool", "content": "ok"}
    session = await record.create(messages=[user("hi" * 40), assistant("call"), nameless])
    window = await record.tail(session.id, count, unit=unit)
    assert [message.seq for message in window] == expected


async def test_tokens_are_a_quarter_of_the_bytes_rounded_up(record: SessionService) -> None:
    body = user("é" * 100 + "x")  # 28 bytes around 201
    session = await record.create(messages=[body])
    assert await record.tail(session.id, 57, unit="tokens") == ()
    (message,) = await record.tail(session.id, 58, unit="tokens")
    assert message.body == body
