"""The record that keeps nothing accepts every call, and still refuses what no record takes."""

from __future__ import annotations

from typing import Any

import pytest

import hansard
from hansard import HansardError, InvalidInput, NewUsage, NotFound, SessionService
from tests.samples import call, collect, dialogue

CALLS = {
    "create": lambda r: r.create(session_id="s", messages=dialogue(2), title="T"),
    "get": lambda r: r.get("s"),
    "list": lambda r: r.list(agent="a"),
    "update": lambda r: r.update("s", title="x", cost_data={"a": 1}, expected_version=5),
    "get_cost_data": lambda r: r.get_cost_data("s"),
    "delete": lambda r: r.delete("s"),
    "append_turn": lambda r: r.append_turn(
        "s", dialogue(2), usage=[call("c", 5), NewUsage(event_id="d")], turn_id="t", create=True
    ),
    "append_messages": lambda r: r.append_messages("s", dialogue(2), expected_seq=7),
    "append_message": lambda r: r.append_message("s", "user", "hi", name="Ann"),
    "save_messages": lambda r: r.save_messages("s", [{"any": "object"}], expected_version=3),
    "messages": lambda r: collect(r.messages("s", after=3)),
    "list_messages": lambda r: r.list_messages("s", limit=3, order="desc"),
    "tail": lambda r: r.tail("s", 3, unit="turns"),
    "list_turns": lambda r: r.list_turns("s"),
    "usage": lambda r: r.usage("s"),
    "update_token_usage": lambda r: r.update_token_usage("s", event_id="e", input_tokens=1),
    "fork": lambda r: r.fork("s"),
    "revert": lambda r: r.revert("s", 0),
    "verify": lambda r: r.verify("s"),
    "purge": lambda r: r.purge(updated_before_us=5),
    "import_session": lambda r: r.import_session(b"[]", "openai-chat"),
    "export_session": lambda r: collect(r.export_session("s")),
    "put_budget": lambda r: r.put_budget("b", scope="tenant", limit_amount=1),
    "delete_budget": lambda r: r.delete_budget("b"),
    "list_budgets": lambda r: r.list_budgets(),
    "list_holds": lambda r: r.list_holds(state="open"),
    "resolve_hold": lambda r: r.resolve_hold("c", NewUsage(event_id="c", cost_nanousd=1)),
    "events": lambda r: collect(r.events("s")),
}


@pytest.mark.parametrize("act", CALLS.values(), ids=CALLS.keys())
async def test_every_call_succeeds(act: Any) -> None:
    async with hansard.open("null://") as record:
        await act(record)


async def test_nothing_is_kept() -> None:
    async with hansard.open("null://") as record:
        made = await record.create(session_id="s", messages=dialogue(2))
        assert (made.id, made.message_count) == ("s", 0)
        assert not await record.exists("s")
        assert await collect(record.messages("s")) == []
        assert (await record.list()).items == ()
        await record.put_budget("b", scope="tenant", limit_amount=1)
        with pytest.raises(NotFound):
            await record.get_budget("b")


async def test_receipts_say_what_would_have_been_recorded() -> None:
    async with hansard.open("null://") as record:
        receipt = await record.append_turn("s", dialogue(2), usage=[call("c", 5)], turn_id="t")
        assert (receipt.turn_id, receipt.usage.input_tokens, receipt.replayed) == ("t", 5, False)
        message = await record.append_message("s", "user", "hi", name="Ann")
        assert message.body == {"role": "user", "content": "hi", "name": "Ann"}


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda r: r.append_messages("s", [{"role": "wizard"}]), "invalid_role"),
        (lambda r: r.create(metadata={"a": float("nan")}), "invalid_json"),
        (lambda r: r.get("a/b"), "invalid_id"),
        (lambda r: r.update_token_usage("s", event_id="e", input_tokens=-1), "invalid_usage"),
        (lambda r: r.put_budget("b", scope="tenant", limit_amount=-1), "invalid_budget"),
        (lambda r: r.list_holds(state="lost"), "invalid_state"),
        (lambda r: r.resolve_hold("a/b", None), "invalid_id"),
        (lambda r: r.tail("s", 0), "invalid_limit"),
        (lambda r: r.tail("s", 1, unit="words"), "invalid_unit"),
    ],
)
async def test_what_no_record_takes_is_refused(act: Any, code: str) -> None:
    async with hansard.open("null://") as record:
        with pytest.raises(HansardError) as caught:
            await act(record)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "url",
    ["", "hansard.db", "mysql://x", "sqlite://host/x.db", "sqlite:///x.db?mode=ro", "ftp://x"],
)
def test_url_of_no_place_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        hansard.open(url)
    assert caught.value.code == "invalid_url"


async def test_record_in_memory_lives_as_long_as_it_is_open() -> None:
    record: SessionService = hansard.open("sqlite://")
    async with record:
        await record.create(session_id="s", messages=dialogue(2))
        await record.append_turn("s", dialogue(2), usage=[call("c", 5)])
        assert (await record.verify("s")).messages == 4
    async with hansard.open("sqlite://") as another:
        assert not await another.exists("s")
