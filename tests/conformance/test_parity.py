"""Parity: whatever is done, every place answers the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hansard import SessionService
from hansard.core.windows import UNITS
from tests import json_values
from tests.places import Place
from tests.samples import call, collect, dialogue, plain, told, user

Act = Callable[[SessionService, str], Awaitable[object]]

sessions = st.sampled_from(["a", "b"])
counts = st.integers(-1, 5)
histories = st.integers(0, 4).map(dialogue) | st.lists(
    st.dictionaries(json_values.texts, json_values.anything, max_size=2).map(
        lambda body: {**body, "role": "user"}
    ),
    max_size=3,
)


def acts() -> st.SearchStrategy[tuple[str, Act]]:
    """A call on a session, under the name that tells it in a failure."""
    return st.one_of(
        histories.map(
            lambda m: (f"create {m}", lambda r, s: r.create(session_id=s, messages=m, title="T"))
        ),
        st.builds(
            lambda m, t, n, seq: (
                f"append_turn {m} {t} {n} {seq}",
                lambda r, s: r.append_turn(
                    s,
                    m,
                    turn_id=t,
                    usage=[call(f"c{t}", n, model="m")],
                    expected_seq=seq,
                    create=seq == 0,
                ),
            ),
            histories,
            st.sampled_from(["t1", "t2"]),
            st.integers(0, 2),
            st.none() | counts,
        ),
        st.builds(
            lambda m, seq: (
                f"append_messages {m} {seq}",
                lambda r, s: r.append_messages(s, m, expected_seq=seq),
            ),
            histories,
            st.none() | counts,
        ),
        st.builds(
            lambda m, v: (
                f"save_messages {m} {v}",
                lambda r, s: r.save_messages(s, m, expected_version=v),
            ),
            histories,
            st.none() | st.integers(1, 4),
        ),
        json_values.objects.map(
            lambda d: (f"update {d}", lambda r, s: r.update(s, cost_data=d, archived=True))
        ),
        st.tuples(st.sampled_from(["e1", "e2"]), counts).map(
            lambda e: (
                f"update_token_usage {e}",
                lambda r, s: r.update_token_usage(s, event_id=e[0], input_tokens=e[1]),
            )
        ),
        counts.map(lambda n: (f"revert {n}", lambda r, s: r.revert(s, n))),
        counts.map(lambda n: (f"fork {n}", lambda r, s: r.fork(s, n))),
        st.tuples(counts | st.just(50), st.sampled_from([*UNITS, "words"])).map(
            lambda t: (f"tail {t}", lambda r, s: r.tail(s, t[0], unit=t[1]))
        ),
        st.just(("delete", lambda r, s: r.delete(s))),
        st.just(("append nothing", lambda r, s: r.append_turn(s, [user("x")], status="done"))),
    )


async def everything(record: SessionService) -> list[Any]:
    """All that can be asked, about every session."""
    found: list[Any] = []
    for session in sorted((await record.list()).items, key=lambda found: found.id[:4]):
        found.append(plain(await record.get(session.id)))
        found.append(plain(await collect(record.messages(session.id))))
        found.append(plain(await record.list_turns(session.id)))
        found.append(plain(await record.usage(session.id)))
        found.append(plain(await record.verify(session.id)))
    return found


@given(script=st.lists(st.tuples(sessions, acts()), max_size=12))
@settings(max_examples=30)
async def test_every_place_answers_the_same(
    everywhere: dict[Place, SessionService], script: list[tuple[str, tuple[str, Act]]]
) -> None:
    for record in everywhere.values():
        for session in (await record.list(limit=1_000)).items:
            await record.delete(session.id)
    for session_id, (name, act) in script:
        answers = {
            place.kind: await told(act(record, session_id)) for place, record in everywhere.items()
        }
        assert answers["postgres"] == answers["sqlite"], name
        assert answers["http"] == answers["sqlite"], name
    states = [await everything(record) for record in everywhere.values()]
    assert states[1] == states[0]
    assert states[2] == states[0]
