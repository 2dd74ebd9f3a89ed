"""Bad input gets the same error code in every place, and nothing is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hansard import HansardError, SessionService
from hansard.core.strict_json import DEPTH_MAX
from hansard.core.usage import TOKENS_MAX
from tests.places import Place
from tests.samples import bodies, call, collect, dialogue, user

Places = dict[Place, SessionService]
Act = Callable[[SessionService], Awaitable[object]]

SURROGATE, NUL = "cut emoji \ud83d", "a\0b"


def nested(depth: int) -> dict[str, Any]:
    """An object of so many levels."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


async def codes(everywhere: Places, act: Act) -> list[str]:
    """What each place says to a call on its session ``s``."""
    found = []
    for record in everywhere.values():
        try:
            await act(record)
        except HansardError as error:
            found.append(error.code)
        else:
            found.append("accepted")
    return found


async def assert_refused(everywhere: Places, expected: dict[str, tuple[Act, str]]) -> None:
    """Make every call in every place; compare the codes, and the databases with before."""
    for record in everywhere.values():
        await record.create(session_id="s", messages=dialogue(3), cost_data={"a": 1})
        await record.append_turn("s", dialogue(2), usage=[call("c", 1)], turn_id="t")
    before = [place.dump() for place in everywhere]
    told = {name: await codes(everywhere, act) for name, (act, _) in expected.items()}
    assert told == {name: [code] * 3 for name, (_, code) in expected.items()}
    assert [place.dump() for place in everywhere] == before


def tail_of(count: Any, unit: Any) -> Act:
    return lambda record: record.tail("s", count, unit=unit)


WRITERS: dict[str, Callable[[SessionService, dict[str, Any]], Awaitable[object]]] = {
    "create, messages": lambda r, bad: r.create(messages=[user("hi"), {**bad, "role": "user"}]),
    "create, metadata": lambda r, bad: r.create(metadata=bad),
    "create, cost_data": lambda r, bad: r.create(cost_data=bad),
    "update, metadata": lambda r, bad: r.update("s", metadata=bad),
    "update, cost_data": lambda r, bad: r.update("s", title="x", cost_data=bad),
    "append_messages": lambda r, bad: r.append_messages("s", [{**bad, "role": "user"}]),
    "append_message": lambda r, bad: r.append_message("s", "user", [bad]),
    "append_turn": lambda r, bad: r.append_turn(
        "s", [user("hi"), {**bad, "role": "user"}], usage=[call("new", 1)], turn_id="new"
    ),
    "save_messages": lambda r, bad: r.save_messages("s", [*dialogue(3), bad]),
    "save_messages of a new session": lambda r, bad: r.save_messages("new", [bad]),
}

BAD_JSON: dict[str, dict[str, Any]] = {
    "NaN": {"a": float("nan")},
    "infinity": {"a": [1, float("-inf")]},
    "lone surrogate": {"a": SURROGATE},
    "lone surrogate in a key": {SURROGATE: 1},
    "NUL": {"a": {"b": NUL}},
    "NUL in a key": {NUL: 1},
    "too deep": nested(DEPTH_MAX + 1),
    "far too deep": nested(5_000),
    "not JSON": {"a": {1, 2}},
    "bytes": {"a": b"x"},
    "too long a number": {"a": 10**5_000},
}


@pytest.mark.parametrize("bad", BAD_JSON.values(), ids=BAD_JSON.keys())
async def test_unacceptable_json_is_refused(everywhere: Places, bad: dict[str, Any]) -> None:
    def bind(write: Callable[[SessionService, dict[str, Any]], Awaitable[object]]) -> Act:
        return lambda record: write(record, bad)

    await assert_refused(
        everywhere, {name: (bind(write), "invalid_json") for name, write in WRITERS.items()}
    )


async def test_deepest_acceptable_json_is_kept_everywhere(everywhere: Places) -> None:
    deepest = nested(DEPTH_MAX)
    for record in everywhere.values():
        await record.create(session_id="s", metadata=deepest, cost_data=deepest)
        await record.update("s", metadata=deepest, cost_data=deepest)
        await record.append_messages("s", [{**deepest, "role": "user"}])
        await record.append_turn("s", [{**deepest, "role": "user"}], turn_id="t")
        await record.save_messages("s", [deepest])
        assert await bodies(record, "s") == [deepest]
        session = await record.get("s")
        assert (session.metadata, session.cost_data) == (deepest, deepest)


BAD_IDS: list[Any] = ["", "a b", "a/b", "a\n", "x" * 129, "é", "..\\x", NUL, SURROGATE, 5]

NAMED: dict[str, Callable[[SessionService, Any], Awaitable[object]]] = {
    "get": lambda r, bad: r.get(bad),
    "exists": lambda r, bad: r.exists(bad),
    "update": lambda r, bad: r.update(bad, title="x"),
    "get_cost_data": lambda r, bad: r.get_cost_data(bad),
    "delete": lambda r, bad: r.delete(bad),
    "append_turn": lambda r, bad: r.append_turn(bad, dialogue(1), create=True),
    "append_messages": lambda r, bad: r.append_messages(bad, dialogue(1)),
    "append_message": lambda r, bad: r.append_message(bad, "user", "hi"),
    "save_messages": lambda r, bad: r.save_messages(bad, dialogue(1)),
    "messages": lambda r, bad: collect(r.messages(bad)),
    "list_messages": lambda r, bad: r.list_messages(bad),
    "tail": lambda r, bad: r.tail(bad, 1),
    "list_turns": lambda r, bad: r.list_turns(bad),
    "usage": lambda r, bad: r.usage(bad),
    "update_token_usage": lambda r, bad: r.update_token_usage(bad, event_id="e", input_tokens=1),
    "fork": lambda r, bad: r.fork(bad),
    "revert": lambda r, bad: r.revert(bad, 0),
    "verify": lambda r, bad: r.verify(bad),
    "events": lambda r, bad: anext(r.events(bad)),
    "export_session": lambda r, bad: collect(r.export_session(bad)),
    "turn_id": lambda r, bad: r.append_turn("s", dialogue(1), turn_id=bad),
    "event_id": lambda r, bad: r.update_token_usage("s", event_id=bad, input_tokens=1),
    "event_id in a turn": lambda r, bad: r.append_turn("s", [], usage=[call(bad, 1)]),
}


@pytest.mark.parametrize("name", NAMED)
async def test_bad_id_is_refused(everywhere: Places, name: str) -> None:
    def bind(id: Any) -> Act:
        return lambda record: NAMED[name](record, id)

    await assert_refused(everywhere, {repr(id): (bind(id), "invalid_id") for id in BAD_IDS})


async def test_bad_id_of_a_new_session_is_refused(everywhere: Places) -> None:
    def bind(id: Any) -> Act:
        return lambda record: record.create(session_id=id)

    bad = [*BAD_IDS, "summary"]
    await assert_refused(everywhere, {repr(id): (bind(id), "invalid_id") for id in bad})


REFUSED: dict[str, dict[str, tuple[Act, str]]] = {
    "messages": {
        "unknown role": (lambda r: r.append_messages("s", [{"role": "wizard"}]), "invalid_role"),
        "no role": (lambda r: r.append_turn("s", [{"content": "hi"}]), "invalid_role"),
        "role of a message": (lambda r: r.append_message("s", "", "hi"), "invalid_role"),
        "role of a first message": (lambda r: r.create(messages=[{}]), "invalid_role"),
        "no object": (lambda r: r.append_messages("s", [5]), "invalid_messages"),  # type: ignore[list-item]  # the point
        "no object to save": (lambda r: r.save_messages("s", [[]]), "invalid_messages"),  # type: ignore[list-item]  # the point
        "no list": (lambda r: r.save_messages("s", {}), "invalid_messages"),  # type: ignore[arg-type]  # the point
        "nothing to append": (lambda r: r.append_messages("s", []), "invalid_messages"),
        "nothing in a turn": (lambda r: r.append_turn("s", []), "invalid_messages"),
    },
    "turns": {
        "status": (lambda r: r.append_turn("s", dialogue(1), status="done"), "invalid_status"),
        "negative seq": (lambda r: r.append_turn("s", dialogue(1), expected_seq=-1), "invalid_seq"),
        "huge seq": (
            lambda r: r.append_messages("s", dialogue(1), expected_seq=2**53),
            "invalid_seq",
        ),
        "seq taken": (
            lambda r: r.append_messages("s", dialogue(1), expected_seq=1),
            "seq_conflict",
        ),
        "other turn": (lambda r: r.append_turn("s", dialogue(1), turn_id="t"), "turn_conflict"),
        "call twice": (
            lambda r: r.append_turn("s", dialogue(1), usage=[call("x", 1), call("x", 1)]),
            "invalid_usage",
        ),
    },
    "usage": {
        "negative": (
            lambda r: r.update_token_usage("s", event_id="e", input_tokens=-1),
            "invalid_usage",
        ),
        "negative in a turn": (
            lambda r: r.append_turn("s", [], usage=[call("e", -1)]),
            "invalid_usage",
        ),
        "fraction": (
            lambda r: r.update_token_usage("s", event_id="e", output_tokens=1.5),  # type: ignore[arg-type]  # the point
            "invalid_usage",
        ),
        "huge": (
            lambda r: r.append_turn("s", [], usage=[call("e", TOKENS_MAX + 1)]),
            "invalid_usage",
        ),
        "parts exceed the whole": (
            lambda r: r.update_token_usage("s", event_id="e", input_tokens=1, cached_tokens=2),
            "invalid_usage",
        ),
        "negative cost": (
            lambda r: r.update_token_usage("s", event_id="e", cost_nanousd=-1),
            "invalid_usage",
        ),
        "unknown field": (
            lambda r: r.append_turn("s", [], usage=[call("e", 1, tokens=5)]),
            "invalid_usage",
        ),
        "model with a NUL": (
            lambda r: r.append_turn("s", [], usage=[call("e", 1, model=NUL)]),
            "invalid_json",
        ),
        "other call": (
            lambda r: r.update_token_usage("s", event_id="c", input_tokens=2),
            "usage_conflict",
        ),
    },
    "sessions": {
        "taken id": (lambda r: r.create(session_id="s"), "session_exists"),
        "title of a NUL": (lambda r: r.create(title=NUL), "invalid_json"),
        "title of a surrogate": (lambda r: r.update("s", title=SURROGATE), "invalid_json"),
        "long title": (lambda r: r.update("s", title="x" * 1_025), "invalid_field"),
        "long agent": (lambda r: r.create(agent="x" * 257), "invalid_field"),
        "model that is no text": (lambda r: r.create(model=5), "invalid_field"),  # type: ignore[arg-type]  # the point
        "prompt of a NUL": (lambda r: r.create(system_prompt=NUL), "invalid_json"),
        "metadata that is a list": (lambda r: r.create(metadata=[]), "invalid_field"),  # type: ignore[arg-type]  # the point
        "cost_data that is text": (lambda r: r.update("s", cost_data="x"), "invalid_field"),  # type: ignore[arg-type]  # the point
        "archived that is text": (lambda r: r.update("s", archived="x"), "invalid_field"),  # type: ignore[arg-type]  # the point
        "stale version": (
            lambda r: r.update("s", title="x", expected_version=1),
            "version_mismatch",
        ),
        "version to come": (
            lambda r: r.save_messages("s", dialogue(1), expected_version=9),
            "version_mismatch",
        ),
    },
    "lists": {
        **{
            f"{name}, limit {limit}": (act, "invalid_limit")
            for limit in (0, -1, 1_001, 10**30)
            for name, act in {
                "list": lambda r, limit=limit: r.list(limit=limit),
                "list_messages": lambda r, limit=limit: r.list_messages("s", limit=limit),
                "list_turns": lambda r, limit=limit: r.list_turns("s", limit=limit),
                "tail": lambda r, limit=limit: r.tail("s", limit),
                "tail of turns": lambda r, limit=limit: r.tail("s", limit, unit="turns"),
            }.items()
        },
        **{
            f"tail of {count!r} tokens": (tail_of(count, "tokens"), "invalid_limit")
            for count in (0, 10_000_000, True, 1.0, "1")
        },
        **{
            f"tail by {unit!r}": (tail_of(1, unit), "invalid_unit")
            for unit in ("words", "", None, ["turns"])
        },
        **{
            f"{name}, cursor {cursor[:5]!r}": (act, "invalid_cursor")
            for cursor in ("x", "AAAA", "é", "x" * 5_000, NUL)
            for name, act in {
                "list": lambda r, cursor=cursor: r.list(cursor=cursor),
                "list_turns": lambda r, cursor=cursor: r.list_turns("s", cursor=cursor),
            }.items()
        },
        **{
            f"{name}, {bad!r}": (act, code)
            for bad in (-(10**30), 2**63, 1.5, "x", True)
            for name, (act, code) in {
                "created_after": (lambda r, n=bad: r.list(created_after_us=n), "invalid_time"),
                "created_before": (lambda r, n=bad: r.list(created_before_us=n), "invalid_time"),
                "updated_after": (lambda r, n=bad: r.list(updated_after_us=n), "invalid_time"),
                "purge": (lambda r, n=bad: r.purge(updated_before_us=n), "invalid_time"),
                "since": (lambda r, n=bad: anext(r.events("s", since=n)), "invalid_seq"),
                "after": (lambda r, n=bad: r.list_messages("s", after=n), "invalid_seq"),
                "before": (lambda r, n=bad: r.list_messages("s", before=n), "invalid_seq"),
                "all after": (lambda r, n=bad: collect(r.messages("s", after=n)), "invalid_seq"),
                "find_ids": (lambda r, n=bad: r.find_ids("s", limit=n), "invalid_limit"),
            }.items()
        },
        "archived": (lambda r: r.list(archived=1), "invalid_field"),
        "cursor that is no text": (lambda r: r.list_turns("s", cursor=5), "invalid_cursor"),  # type: ignore[arg-type]  # the point
        "sort": (lambda r: r.list(sort="length"), "invalid_sort"),
        "order": (lambda r: r.list_messages("s", order="random"), "invalid_order"),
        "search of a NUL": (lambda r: r.list(search=NUL), "invalid_json"),
        "long search": (lambda r: r.list(search="x" * 257), "invalid_field"),
        "agent of a surrogate": (lambda r: r.list(agent=SURROGATE), "invalid_json"),
        "unknown filter": (lambda r: r.list(colour="red"), "invalid_filter"),
        "huge before": (lambda r: r.list_messages("s", before=2**53), "invalid_seq"),
    },
    "documents": {
        "unknown format to write": (
            lambda r: collect(r.export_session("s", "docx")),
            "unknown_format",
        ),
        "unknown format to read": (lambda r: r.import_session(b"{}", "docx"), "unknown_format"),
        "text": (lambda r: r.import_session("{}"), "invalid_source"),
        "no source": (lambda r: r.import_session(None), "invalid_source"),  # type: ignore[arg-type]  # the point
        "nothing": (lambda r: r.import_session(b""), "invalid_json"),
        "truncated": (lambda r: r.import_session(b'{"schema_version": 2, '), "invalid_json"),
        "key twice": (lambda r: r.import_session(b'{"a": 1, "a": 2}'), "invalid_json"),
        "not UTF-8": (lambda r: r.import_session(b'{"a": "\xff"}'), "invalid_json"),
    },
}


@pytest.mark.parametrize("group", REFUSED)
async def test_bad_input_is_refused(everywhere: Places, group: str) -> None:
    await assert_refused(everywhere, REFUSED[group])


async def test_refusal_names_the_message(everywhere: Places) -> None:
    for record in everywhere.values():
        await record.create(session_id="s")
        with pytest.raises(HansardError) as caught:
            await record.append_messages("s", [user("hi"), {"role": "wizard"}])
        assert caught.value.details["index"] == 1
