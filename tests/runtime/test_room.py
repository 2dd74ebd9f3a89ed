"""Room: what is held at most, in all and by tenant."""

from __future__ import annotations

import pytest

from hansard.core.errors import LimitReached
from hansard.runtime.room import Room, too_long, too_many_bytes


def refused(room: Room, tenant_id: str, *amounts: int) -> tuple[str, int] | None:
    """Why a block is refused that takes some amounts, and at which limit."""
    try:
        with room.taken(tenant_id, amounts[0]) as take:
            for more in amounts[1:]:
                take(more)
    except LimitReached as error:
        return error.code, error.details["limit"]
    return None


def test_room_is_shared_and_given_back() -> None:
    room = Room(10, 6, too_many_bytes, too_long)
    with room.taken("acme", 4) as take:
        take(1)
        assert refused(room, "acme", 1) is None
        assert refused(room, "acme", 2) == ("too_many_bytes", 6)
        with room.taken("umbrella", 5):
            assert refused(room, "acme", 1) == ("too_many_bytes", 10)
        with pytest.raises(LimitReached):
            take(2)
        assert refused(room, "umbrella", 5) is None  # what was refused is not held
    assert refused(room, "acme", 6) is None


@pytest.mark.parametrize("amounts", [(7,), (3, 4)])
def test_what_never_fits_is_not_told_to_come_back(amounts: tuple[int, ...]) -> None:
    room = Room(10, 6, too_many_bytes, too_long)
    assert refused(room, "acme", *amounts) == ("history_too_long", 6)
    assert refused(room, "acme", 6) is None
