"""Documents: what of a foreign session the record can hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.documents import (
    DocumentMessage,
    DocumentSession,
    DocumentTurn,
    check_document_message,
    check_document_session,
    check_document_turn,
    check_lineage,
    imported_usage,
)
from hansard.core.errors import InvalidInput
from hansard.core.times import parse_us, parse_utc_us

names = st.sampled_from("abcdef")


def descends_from_itself(parents: dict[str, str | None]) -> bool:
    for start in parents:
        ancestor = parents[start]
        for _ in parents:
            if ancestor == start:
                return True
            ancestor = parents.get(ancestor) if ancestor else None
    return False


@given(st.dictionaries(names, st.none() | names))
def test_lineage_is_refused_exactly_if_it_has_a_cycle(parents: dict[str, str | None]) -> None:
    if descends_from_itself(parents):
        with pytest.raises(InvalidInput) as caught:
            check_lineage(parents)
        assert caught.value.code == "invalid_lineage"
    else:
        check_lineage(parents)


def test_long_lineage_is_checked_once_per_session() -> None:
    parents: dict[str, str | None] = {str(n): str(n + 1) for n in range(100_000)}
    check_lineage(parents)


def test_session_without_an_id_is_taken() -> None:
    session = DocumentSession(session_id=None, parent_session_id="p")
    assert check_document_session(session) is session


@pytest.mark.parametrize(
    "session",
    [
        DocumentSession(session_id=""),
        DocumentSession(session_id="a", parent_session_id="a/b"),
        DocumentSession(session_id="a", parent_session_id="a"),
        DocumentSession(session_id="a", forked_at_seq=-1),
        DocumentSession(session_id="a", agent="x" * 257),
        DocumentSession(session_id="a", system_prompt="\0"),
        DocumentSession(session_id="a", metadata={"x": float("nan")}),
        DocumentSession(session_id="a", cost_data={"x": "\ud800"}),
    ],
)
def test_session_that_the_record_cannot_hold_is_refused(session: DocumentSession) -> None:
    with pytest.raises(InvalidInput):
        check_document_session(session)


def test_message_keeps_its_ids_if_they_are_such() -> None:
    message = DocumentMessage(body={}, message_id="m", turn_id="t")
    assert check_document_message(message) is message
    with pytest.raises(InvalidInput):
        check_document_message(DocumentMessage(body={}, turn_id="a b"))


@pytest.mark.parametrize(
    ("first", "last", "is_there"),
    [
        (None, None, True),
        (0, 2, True),
        (0, 3, False),
        (2, 1, False),
        (-1, 0, False),
        (None, 1, False),
    ],
)
def test_turn_claims_only_messages_that_are_there(
    first: int | None, last: int | None, is_there: bool
) -> None:
    turn = DocumentTurn(
        turn_id="t", status="completed", first_seq=first, last_seq=last, created_at_us=0
    )
    if is_there:
        assert check_document_turn(turn, 3) is turn
    else:
        with pytest.raises(InvalidInput):
            check_document_turn(turn, 3)


def test_totals_become_one_entry_or_none() -> None:
    assert imported_usage(5) == ()
    (entry,) = imported_usage(5, model="m", input_tokens=3, cached_tokens=1, cost_nanousd=7)
    assert (entry.event_id, entry.turn_id, entry.recorded_at_us) == ("imported", None, 5)
    with pytest.raises(InvalidInput):
        imported_usage(5, cached_tokens=1)


@pytest.mark.parametrize(
    ("text", "lacks_zone"),
    [
        ("2026-04-01 12:00:00", True),
        ("2026-04-01T12:00:00.000000", True),
        ("2026-04-01T12:00:00Z", False),
        ("2026-04-01T10:00:00-02:00", False),
    ],
)
def test_time_without_a_zone_is_utc(text: str, lacks_zone: bool) -> None:
    assert parse_utc_us(text) == (parse_us("2026-04-01T12:00:00Z"), lacks_zone)


@pytest.mark.parametrize("text", ["2026-04-01", "2026-13-01 12:00:00", "12:00", "", None, 5])
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        parse_utc_us(text)
