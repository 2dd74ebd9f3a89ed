"""What goes to the model, by what the record holds: short, long and too long histories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from hansard.compose import open_database
from hansard.core.actors import Actor
from hansard.core.errors import LimitReached, NotFound
from hansard.runtime.histories import prepare
from hansard.service.sessions import DatabaseSessions
from tests.samples import assistant, dialogue, user

LONG = 1_100  # messages: more than one page, and enough to be worked on beside the loop


@pytest.fixture
async def record(record_url: str) -> AsyncIterator[DatabaseSessions]:
    async with open_database(record_url) as record:
        yield record


async def test_long_history_is_put_before_what_is_new(record: DatabaseSessions) -> None:
    held = dialogue(LONG)
    await record.save_messages("s", held)
    prompt = await prepare(record, "s", [user("more")])
    assert prompt.messages == [*held, user("more")]
    assert prompt.new == [user("more")]


async def test_long_history_that_is_kept_is_recognised_by_its_digest(
    record: DatabaseSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = dialogue(LONG)
    await record.save_messages("s", held)
    monkeypatch.setattr("hansard.runtime.histories.MESSAGES_MAX", 0)  # nothing may be read
    sent = [*held, user("more")]
    prompt = await prepare(record, "s", sent)
    assert prompt == (sent, [user("more")])


@pytest.mark.parametrize("beginning", [[], [{"role": "system", "content": "Be brief."}]])
async def test_end_of_a_long_history_costs_what_is_sent(
    record: DatabaseSessions, monkeypatch: pytest.MonkeyPatch, beginning: list[dict[str, Any]]
) -> None:
    await record.save_messages("s", [*beginning, *dialogue(LONG)])
    monkeypatch.setattr("hansard.runtime.histories.MESSAGES_MAX", 16)  # no more is read at once
    sent = [*beginning, *dialogue(LONG)[-4:], user("more")]
    prompt = await prepare(record, "s", sent)
    assert prompt == (sent, [user("more")])


async def test_history_that_no_model_takes_is_refused(
    record: DatabaseSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record.save_messages("s", dialogue(20))
    for bound in ("MESSAGES_MAX", "BYTES_MAX"):
        with monkeypatch.context() as bounds:
            bounds.setattr(f"hansard.runtime.histories.{bound}", 10)
            with pytest.raises(LimitReached) as refused:
                await prepare(record, "s", [user("more")])
        assert refused.value.code == "history_too_long"


async def test_other_choices_do_not_go_to_the_model(record: DatabaseSessions) -> None:
    answer = assistant("one")
    others = [{"index": 1, "message": assistant("two")}]
    await record.save_messages("s", [user("hi"), {**answer, "other_choices": others}])
    prompt = await prepare(record, "s", [user("more")])
    assert prompt.messages == [user("hi"), answer, user("more")]


async def test_session_of_another_owner_is_not_taken_for_a_new_one(
    record: DatabaseSessions,
) -> None:
    await record.acting_as(Actor(owner="ann")).create(session_id="s")
    bob = record.acting_as(Actor(owner="bob", sees_all=False))
    with pytest.raises(NotFound):
        await prepare(bob, "s", [user("hi")])
    assert await prepare(bob, "new", [user("hi")]) == ([user("hi")], [user("hi")])


async def test_client_that_edits_is_recorded_once(record: DatabaseSessions) -> None:
    await record.create(session_id="s")
    sent: list[dict[str, Any]] = []
    for number in range(3):
        now = {"role": "system", "content": f"It is {number} o'clock."}
        sent = [now, *sent[1:], user(f"{number}")]
        prompt = await prepare(record, "s", sent)
        assert prompt == (sent, sent if not number else sent[-1:])
        thoughts = {**assistant(f"answer {number}"), "reasoning_content": "Hm."}
        await record.append_turn("s", [*prompt.new, thoughts])
        sent = [*sent, assistant(f"answer {number}")]
    assert len((await record.list_stored_messages("s")).items) == 7
