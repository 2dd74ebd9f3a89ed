"""Pages: bounded, and continued only by the cursors of the same list."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard.core.errors import InvalidInput
from hansard.core.paging import LIMIT_MAX, Cursors, check_limit

SECRET = b"s" * 32
SCOPE = ("sessions", "default", "-created_at")
CURSORS = Cursors(SECRET, SCOPE)
positions = st.lists(st.integers() | st.text(max_size=20), max_size=4)


@given(positions)
def test_cursor_reads_back(position: list[Any]) -> None:
    assert CURSORS.read(CURSORS.write(position)) == position


@given(positions, st.data())
def test_cursor_with_any_changed_character_is_refused(
    position: list[Any], data: st.DataObject
) -> None:
    cursor = CURSORS.write(position)
    index = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters().filter(lambda character: character != cursor[index]))
    forged = cursor[:index] + other + cursor[index + 1 :]
    padding = "=" * (-len(cursor) % 4)
    if other.isascii() and _decoded(forged + padding) == _decoded(cursor + padding):
        return  # the last character's spare bits carry nothing
    with pytest.raises(InvalidInput) as caught:
        CURSORS.read(forged)
    assert caught.value.code == "invalid_cursor"


def _decoded(cursor: str) -> bytes | None:
    try:
        return base64.b64decode(cursor, altchars=b"-_", validate=True)
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("secret", "scope"),
    [(b"t" * 32, SCOPE), (SECRET, ("turns", "default", "-created_at")), (SECRET, ())],
)
def test_cursor_of_another_record_or_list_is_refused(secret: bytes, scope: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput):
        CURSORS.read(Cursors(secret, scope).write([1, "a"]))


@pytest.mark.parametrize("cursor", ["", "a", "é", "====", "AAAA", "x" * 5_000, "\n", "null"])
def test_text_that_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput):
        CURSORS.read(cursor)


@pytest.mark.parametrize("limit", [1, 50, LIMIT_MAX])
def test_limit_within_bounds_is_returned(limit: int) -> None:
    assert check_limit(limit) == limit


@pytest.mark.parametrize("limit", [0, -1, LIMIT_MAX + 1, 10**30, 1.0, "5", True, None])
def test_limit_out_of_bounds_is_refused(limit: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_limit(limit)
    assert caught.value.code == "invalid_limit"
