"""Budgets through the face: every place answers the same, and refuses the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

import hansard
from hansard import NewUsage, NotFound, SessionService, Unauthorized
from hansard.compose import open_database
from hansard.core.actors import SCOPE_SET_BUDGETS, Actor
from hansard.core.budgets import EACH
from hansard.core.usage import TOTAL_MAX
from hansard.server.app import key_service
from hansard.settings import AccessSettings
from tests.ledgers import limit, settle, take
from tests.places import Place
from tests.samples import told

Act = Callable[[SessionService], Awaitable[object]]

USD = 1_000_000_000
LATER_US = 2**52  # in 2112


def used(**usage: Any) -> NewUsage:
    return NewUsage(event_id="-", **usage)


def put(**fields: Any) -> Act:
    given = {"scope": "tenant", "limit_amount": USD, **fields}
    return lambda record: record.put_budget("made", **given)


SCRIPT: tuple[Act, ...] = (
    lambda r: r.list_budgets(),
    lambda r: r.get_budget("dollars"),
    lambda r: r.get_budget("each"),
    put(),
    put(limit_amount=TOTAL_MAX, mode="observe", warn_percents=[90, 50, 90]),
    put(unit="tokens", limit_amount=7, warn_percents=[]),
    put(scope="owner", subject="Ünï/ 'x'"),
    lambda r: r.get_budget("made"),
    lambda r: r.delete_budget("made"),
    lambda r: r.delete_budget("made"),
    lambda r: r.get_budget("made"),
    put(limit_amount=-1),
    put(limit_amount=TOTAL_MAX + 1),
    put(limit_amount=0.5),
    put(limit_amount=-1, unit="tokens"),
    put(unit="eur"),
    put(scope="world"),
    put(subject="alice"),
    put(scope="owner"),
    put(scope="owner", subject="a\0b"),
    put(period="year"),
    put(time_zone="Mars/Olympus"),
    put(mode="hope"),
    put(warn_percents=[0]),
    lambda r: r.put_budget("a/b", scope="tenant", limit_amount=1),
    lambda r: r.get_budget("~"),
    lambda r: r.get_budget("each", limit=0),
    lambda r: r.get_budget("each", cursor="made up"),
    lambda r: r.delete_budget(".."),
    *[(lambda r, s=s: r.list_holds(state=s)) for s in ("unknown", "open", "settled", "lost")],
    lambda r: r.list_holds(limit=1_001),
    lambda r: r.list_holds(cursor="made up"),
    lambda r: r.resolve_hold("never-taken", None),
    lambda r: r.resolve_hold("never-taken", used(cost_nanousd=-1)),
    lambda r: r.resolve_hold("a b", None),
    lambda r: r.resolve_hold("open", None),
    lambda r: r.resolve_hold("open", used(cost_nanousd=1)),
    lambda r: r.resolve_hold("unpriced", used(input_tokens=5, model="unheard of")),
    lambda r: r.resolve_hold("unpriced", used(cost_nanousd=3, confidence="estimated", raw="{}")),
    lambda r: r.resolve_hold("written-off", None),
    lambda r: r.resolve_hold("written-off", None),
    lambda r: r.resolve_hold("written-off", used(cost_nanousd=3)),
    lambda r: r.resolve_hold("priced", used(model="gpt-4o", input_tokens=1_000, cached_tokens=9)),
    *[(lambda r, s=s: r.list_holds(state=s)) for s in ("unknown", "settled", "written_off")],
    lambda r: r.list_budgets(),
    lambda r: r.usage_report(group_by=["owner", "model"]),
)


async def spend(database_url: str) -> None:
    """Let calls of alice be held against some budgets; nobody hears of most of them."""
    async with open_database(database_url) as books:
        await limit(books, USD, "dollars")
        await limit(books, 10_000, "each", scope="owner", subject=EACH, unit="tokens")
        alice = books.acting_as(Actor(owner="alice", key_id="k"))
        await take(alice, "open", 5, fixed_tokens=5, expires_at_us=LATER_US)
        await take(alice, "done", 5, fixed_tokens=5, agent="helper", expires_at_us=LATER_US)
        await settle(alice, "done", 7, input_tokens=6)
        for call_id in ("unpriced", "written-off", "priced"):
            await take(alice, call_id, 9, fixed_tokens=9, expires_at_us=1)
        await books.expire_holds()


async def test_every_place_answers_the_same(everywhere: dict[Place, SessionService]) -> None:
    for place in everywhere:
        await spend(place.database_url)
    for number, act in enumerate(SCRIPT):
        on_sqlite, *others = [await told(act(record)) for record in everywhere.values()]
        assert others == [on_sqlite] * 2, number


async def test_budget_is_cut_by_its_calendar(record: SessionService) -> None:
    made = await record.put_budget(
        "b", scope="tenant", limit_amount=1, period="month", time_zone="Asia/Tokyo"
    )
    assert made.counts_from_us == made.window_at(made.updated_at_us).start_us
    assert made.tenant_id == "default"
    found, states = await record.get_budget("b")
    assert found == made
    (state,) = states.items
    assert state.budget == made
    assert made.window_at(state.window.start_us) == state.window


async def test_pages_go_through_all_subjects_and_holds(
    record: SessionService, place: Place
) -> None:
    names = [f"call-{n}" for n in range(5)]
    async with open_database(place.database_url) as books:
        await limit(books, 10, "each", scope="owner", subject=EACH)
        for name in names:
            await take(books.acting_as(Actor(owner=name)), name, 1, expires_at_us=LATER_US)
    subjects, calls = [], []
    cursor = None
    while True:
        _, states = await record.get_budget("each", limit=2, cursor=cursor)
        subjects += [state.subject for state in states.items]
        cursor = states.next_cursor
        if cursor is None:
            break
    while True:
        page = await record.list_holds(state="open", limit=2, cursor=cursor)
        calls += [hold.call_id for hold in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert subjects == calls == names


@asynccontextmanager
async def acting(place: Place, tenant: str, *scopes: str) -> AsyncIterator[SessionService]:
    """A record on behalf of ann; through a server, by a key of hers."""
    async with open_database(place.database_url) as record:
        if place.kind != "http":
            may_set = SCOPE_SET_BUDGETS in scopes
            yield record.acting_as(Actor(tenant, "ann", sees_all=False, sets_budgets=may_set))
            return
        keys = key_service(record, AccessSettings())
        token, _ = await keys.create(tenant_id=tenant, owner="ann", scopes=scopes)
    async with hansard.open(place.url, token=token) as remote:
        yield remote


async def test_only_who_may_sets_budgets(guarded: Place) -> None:
    async with (
        acting(guarded, "acme", SCOPE_SET_BUDGETS) as treasurer,
        acting(guarded, "acme") as ann,
        acting(guarded, "other", SCOPE_SET_BUDGETS) as stranger,
    ):
        made = await treasurer.put_budget("b", scope="tenant", limit_amount=1)
        assert made.tenant_id == "acme"
        for refused in (
            ann.put_budget("b", scope="tenant", limit_amount=2),
            ann.delete_budget("b"),
            ann.resolve_hold("c", None),
        ):
            with pytest.raises(Unauthorized) as caught:
                await refused
            assert caught.value.code == "forbidden"
        assert await told(ann.put_budget("b", scope="tenant", limit_amount=-1)) == (
            "InvalidInput",
            "invalid_budget",
            {"field": "limit"},
        )
        assert (await ann.get_budget("b"))[0] == made
        assert await stranger.list_budgets() == []
        with pytest.raises(NotFound):
            await stranger.delete_budget("b")
