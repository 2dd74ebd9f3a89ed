"""Actors: who reaches what."""

from __future__ import annotations

from typing import Any

import pytest

from hansard import Actor, InvalidInput


@pytest.mark.parametrize(
    ("actor", "owner", "expected"),
    [
        (Actor(), None, True),
        (Actor(), "ann", True),
        (Actor(owner="ann"), "bob", True),
        (Actor(owner="ann", sees_all=False), "ann", True),
        (Actor(owner="ann", sees_all=False), "bob", False),
        (Actor(owner="ann", sees_all=False), None, False),
    ],
)
def test_reach_is_all_or_ones_own(actor: Actor, owner: str | None, expected: bool) -> None:
    assert actor.may_see(owner) is expected


@pytest.mark.parametrize("tenant", ["", "a b", "a/b", "x" * 129, None])
def test_bad_tenant_is_refused(tenant: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        Actor(tenant)
    assert (caught.value.code, caught.value.details) == ("invalid_id", {"field": "tenant"})


def test_nobody_sees_something_only() -> None:
    with pytest.raises(InvalidInput) as caught:
        Actor(sees_all=False)
    assert caught.value.code == "invalid_actor"
