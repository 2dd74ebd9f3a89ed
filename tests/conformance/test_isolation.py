"""Isolation: nobody reads, changes or detects another tenant's sessions, or another owner's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

import hansard
from hansard import Conflict, InvalidInput, NotFound, SessionService
from hansard.compose import open_database
from hansard.core.actors import SCOPE_ALL_SESSIONS
from hansard.server.app import key_service
from hansard.settings import AccessSettings
from tests.places import Place
from tests.samples import bodies, call, collect, dialogue, snapshot

Act = Callable[[SessionService], Awaitable[object]]


@dataclass(frozen=True)
class Callers:
    """Ann owns what is looked for; the others look."""

    ann: SessionService
    bob: SessionService  # of the same tenant
    auditor: SessionService  # of the same tenant, seeing all
    stranger: SessionService  # of another tenant, seeing all


WHO: dict[str, tuple[str, str | None]] = {
    "ann": ("acme", "ann"),
    "bob": ("acme", "bob"),
    "auditor": ("acme", None),
    "stranger": ("other", None),
}


@pytest.fixture
async def callers(guarded: Place) -> AsyncIterator[Callers]:
    async with AsyncExitStack() as stack:
        opened = {
            name: await stack.enter_async_context(await _open(guarded, tenant, owner))
            for name, (tenant, owner) in WHO.items()
        }
        yield Callers(**opened)


async def _open(place: Place, tenant: str, owner: str | None) -> SessionService:
    if place.kind != "http":
        return hansard.open(place.url, tenant=tenant, owner=owner)
    async with open_database(place.database_url) as record:
        scopes = [] if owner else [SCOPE_ALL_SESSIONS]
        keys = key_service(record, AccessSettings())
        token, _ = await keys.create(tenant_id=tenant, owner=owner or "auditor", scopes=scopes)
    return hansard.open(place.url, token=token)


async def fill(callers: Callers) -> None:
    await callers.ann.create(session_id="s", messages=dialogue(3), title="private")
    await callers.ann.append_turn("s", dialogue(2), usage=[call("c", 5)], turn_id="t")


OTHERS = {
    "get": lambda r: r.get("s"),
    "update": lambda r: r.update("s", title="x"),
    "update, conditional": lambda r: r.update("s", title="x", expected_version=99),
    "get_cost_data": lambda r: r.get_cost_data("s"),
    "delete": lambda r: r.delete("s"),
    "append_turn": lambda r: r.append_turn("s", dialogue(1)),
    "append_turn, known": lambda r: r.append_turn(
        "s", dialogue(2), usage=[call("c", 5)], turn_id="t"
    ),
    "append_turn, conflicting": lambda r: r.append_turn("s", dialogue(1), turn_id="t"),
    "append_turn, conditional": lambda r: r.append_turn("s", dialogue(1), expected_seq=99),
    "append_messages": lambda r: r.append_messages("s", dialogue(1)),
    "append_message": lambda r: r.append_message("s", "user", "hi"),
    "messages": lambda r: collect(r.messages("s")),
    "list_messages": lambda r: r.list_messages("s"),
    "tail": lambda r: r.tail("s", 1),
    "list_turns": lambda r: r.list_turns("s"),
    "usage": lambda r: r.usage("s"),
    "update_token_usage": lambda r: r.update_token_usage("s", event_id="e", input_tokens=1),
    "update_token_usage, known": lambda r: r.update_token_usage("s", event_id="c", input_tokens=5),
    "fork": lambda r: r.fork("s"),
    "fork, out of range": lambda r: r.fork("s", 99),
    "revert": lambda r: r.revert("s", 0),
    "verify": lambda r: r.verify("s"),
    "export_session": lambda r: collect(r.export_session("s")),
    "events": lambda r: anext(r.events("s")),
}


async def test_others_find_nothing_and_change_nothing(callers: Callers, guarded: Place) -> None:
    await fill(callers)
    before = guarded.dump()
    told = {}
    for who, record in (("bob", callers.bob), ("stranger", callers.stranger)):
        assert not await record.exists("s")
        for name, act in OTHERS.items():
            told[who, name] = await _class_of_error(record, act)
    assert set(told.values()) == {NotFound}, told
    assert guarded.dump() == before


async def _class_of_error(record: SessionService, act: Act) -> Any:
    try:
        return await act(record)
    except hansard.HansardError as error:
        return type(error)


async def test_not_found_tells_nothing_about_what_is_there(callers: Callers) -> None:
    await fill(callers)
    for record in (callers.bob, callers.stranger):
        texts = []
        for session_id in ("s", "z"):
            with pytest.raises(NotFound) as caught:
                await record.get(session_id)
            texts.append(str(caught.value).replace("'z'", "'s'"))
        assert texts[0] == texts[1]


async def test_save_reaches_no_session_of_others(callers: Callers) -> None:
    await fill(callers)
    before = await snapshot(callers.ann, "s")
    with pytest.raises(NotFound):
        await callers.bob.save_messages("s", dialogue(1, "overwritten"))
    receipt = await callers.stranger.save_messages("s", dialogue(1, "mine"))
    assert receipt.message_count == 1
    assert await snapshot(callers.ann, "s") == before


async def test_create_of_a_taken_id_is_a_conflict_within_the_tenant_only(callers: Callers) -> None:
    await fill(callers)
    for record in (callers.bob, callers.auditor):
        with pytest.raises(Conflict):
            await record.create(session_id="s")
    await callers.stranger.create(session_id="s")
    assert await bodies(callers.stranger, "s") == []
    assert (await callers.ann.get("s")).title == "private"


async def test_turn_that_may_create_does_not_take_over(callers: Callers) -> None:
    await fill(callers)
    before = await snapshot(callers.ann, "s")
    with pytest.raises(NotFound):
        await callers.bob.append_turn("s", dialogue(1), create=True)
    assert (await callers.stranger.append_turn("s", dialogue(1), create=True)).first_seq == 0
    assert await snapshot(callers.ann, "s") == before


async def test_lists_hold_what_is_within_reach(callers: Callers) -> None:
    await fill(callers)
    await callers.bob.create(session_id="bobs")
    await callers.stranger.create(session_id="strangers")

    async def listed(record: SessionService, **filters: Any) -> set[str]:
        return {session.id for session in (await record.list(**filters)).items}

    assert await listed(callers.ann) == {"s"}
    assert await listed(callers.bob) == {"bobs"}
    assert await listed(callers.auditor) == {"s", "bobs"}
    assert await listed(callers.stranger) == {"strangers"}
    assert await listed(callers.auditor, owner="bob") == {"bobs"}
    assert await listed(callers.bob, owner="ann") == set()
    assert await listed(callers.bob, search="private") == set()


async def test_ids_of_others_are_not_found_and_hide_none(callers: Callers) -> None:
    for n in range(5):
        await callers.ann.create(session_id=f"id-{n}")
        await callers.stranger.create(session_id=f"id-s{n}")
    await callers.bob.create(session_id="id-9")
    assert await callers.bob.find_ids("id-", limit=2) == ["id-9"]
    assert len(await callers.auditor.find_ids("id-")) == 6


async def test_owner_is_who_made_it(callers: Callers) -> None:
    await fill(callers)
    assert (await callers.ann.get("s")).owner == "ann"
    assert (await callers.auditor.get("s")).owner == "ann"
    assert (await callers.ann.fork("s")).owner == "ann"


async def test_auditor_reaches_every_session_of_the_tenant(callers: Callers) -> None:
    await fill(callers)
    await callers.auditor.append_messages("s", dialogue(1))
    assert await snapshot(callers.auditor, "s") == await snapshot(callers.ann, "s")
    fork = await callers.auditor.fork("s")
    with pytest.raises(NotFound):
        await callers.ann.get(fork.id)


async def test_cursor_serves_its_own_caller_only(callers: Callers) -> None:
    for record in (callers.ann, callers.bob, callers.stranger):
        for _ in range(2):
            await record.create()
    cursor = (await callers.ann.list(limit=1)).next_cursor
    for record in (callers.bob, callers.stranger):
        with pytest.raises(InvalidInput) as caught:
            await record.list(limit=1, cursor=cursor)
        assert caught.value.code == "invalid_cursor"


async def test_purge_stays_within_reach(callers: Callers) -> None:
    await fill(callers)
    for record in (callers.bob, callers.stranger):
        await record.create()
    later = (await callers.ann.get("s")).updated_at_us + 10**12
    assert (await callers.bob.purge(updated_before_us=later)).sessions == 1
    assert (await callers.stranger.purge(updated_before_us=later)).sessions == 1
    assert await callers.ann.exists("s")
    assert (await callers.auditor.purge(updated_before_us=later)).sessions == 1


async def test_same_ids_in_two_tenants_are_two_of_everything(callers: Callers) -> None:
    for record in (callers.ann, callers.stranger):
        await record.create(session_id="s")
        receipt = await record.append_turn("s", dialogue(2), usage=[call("c", 5)], turn_id="t")
        assert not receipt.replayed
    await callers.stranger.delete("s")
    assert (await callers.ann.usage("s")).totals.input_tokens == 5
    assert (await callers.ann.verify("s")).messages == 2


async def test_import_belongs_to_who_brought_it(callers: Callers) -> None:
    await fill(callers)
    document = b"".join(await collect(callers.ann.export_session("s")))
    for record in (callers.bob, callers.stranger, callers.bob):
        await record.import_session(document)
    for record in (callers.bob, callers.stranger):
        (session,) = (await record.list()).items
        assert await bodies(record, session.id) == await bodies(callers.ann, "s")
    assert [session.id for session in (await callers.ann.list()).items] == ["s"]
