"""Sessions: what may be asked for, made and changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from hansard import InvalidInput, SessionQuery
from hansard.core.sessions import (
    UNSET,
    UNTITLED,
    check_changes,
    check_new_session,
    check_title,
    merge,
    title_of,
)
from tests import json_values
from tests.samples import assistant, user


def check(**changes: Any) -> Any:
    return check_new_session(**changes, clock=lambda: 1)


def test_absent_parts_are_empty() -> None:
    session = check()
    assert session.id.startswith("sess_")
    assert (session.title, session.metadata, session.cost_data) == (None, "{}", "{}")


@given(json_values.objects)
def test_objects_are_kept_as_text_in_their_order(value: dict[str, Any]) -> None:
    session = check(metadata=value, cost_data=dict(reversed(value.items())))
    assert session.metadata.startswith("{")
    assert len(session.metadata) == len(session.cost_data)


def test_changes_name_what_is_given() -> None:
    assert check_changes().names() == []
    assert check_changes(title=None, metadata=None, archived=False).names() == [
        "title",
        "metadata",
        "archived",
    ]
    assert check_changes(cost_data={"a": None}).names() == ["cost_data"]
    assert check_changes(cost_data={}).names() == []
    assert check_changes(metadata=None).metadata == {}
    assert check_changes().title is UNSET


@pytest.mark.parametrize("field", ["archived", "legal_hold"])
@pytest.mark.parametrize("value", [None, 1, "true"])
def test_flag_is_true_or_false(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_changes(**{field: value})
    assert (caught.value.code, caught.value.details) == ("invalid_field", {"field": field})


@given(json_values.objects, json_values.objects)
def test_merge_takes_the_newer_of_each_key(old: dict[str, Any], new: dict[str, Any]) -> None:
    merged = merge(old, new)
    assert merged.keys() == old.keys() | new.keys()
    for key, value in merged.items():
        assert value is (new[key] if key in new else old[key])


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("limit", 0, "invalid_limit"),
        ("sort", "agent", "invalid_sort"),
        ("search", "x" * 257, "invalid_field"),
        ("search", 5, "invalid_field"),
        ("owner", "\0", "invalid_json"),
        ("archived", 0, "invalid_field"),
        ("created_after_us", 1.5, "invalid_time"),
        ("updated_after_us", 2**63, "invalid_time"),
    ],
)
def test_query_that_cannot_be_asked_is_refused(field: str, value: Any, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        SessionQuery(**{field: value})
    assert caught.value.code == code


def test_title_has_no_signs_that_steer_a_terminal_or_a_reader() -> None:
    assert check_title(" a\n\x1b[31mb\u202ec\u2066\x7f ") == "a[31mbc"
    assert check_changes(title="a\tb").title == "ab"
    for blank in ("", "  ", "\n\u202e"):
        with pytest.raises(InvalidInput) as caught:
            check_title(blank)
        assert caught.value.code == "blank_title"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], UNTITLED),
        ([assistant("hello")], UNTITLED),
        ([user("")], UNTITLED),
        ([user("\n first \nsecond")], "first"),
        ([assistant("no"), user("x" * 60), user("later")], "x" * 50),
        ([{"role": "user", "content": [{"type": "image"}, {"text": "look"}]}], "look"),
        ([{"role": "user", "content": None}], UNTITLED),
        ([{"role": "user", "content": ["bare"]}], UNTITLED),
    ],
)
def test_title_is_what_a_user_said_first(messages: list[dict[str, Any]], expected: str) -> None:
    assert title_of(messages) == expected
