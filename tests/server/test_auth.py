"""Keys that were good a short while ago."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hansard.core.keys import ApiKey
from hansard.server import auth
from hansard.server.auth import SEEN_KEYS_US, SeenKeys

KEY = ApiKey(
    tenant_id="acme",
    key_id="k",
    owner="ann",
    scopes=(),
    secret_hash=b"",
    created_at_us=0,
    expires_at_us=None,
    revoked_at_us=None,
)


class Hands:
    """A clock that is set."""

    now_us = 0

    def __call__(self) -> int:
        return self.now_us


def test_key_counts_for_a_while() -> None:
    clock = Hands()
    seen = SeenKeys(clock)
    seen.note("a", KEY)
    seen.note("b", replace(KEY, expires_at_us=5))
    assert (seen.find("a"), seen.find("c")) == (KEY, None)
    clock.now_us = 5
    assert (seen.find("a"), seen.find("b")) == (KEY, None)
    clock.now_us = SEEN_KEYS_US
    assert seen.find("a") is None
    seen.note("a", KEY)
    seen.forget("a")
    assert seen.find("a") is None


def test_only_the_latest_keys_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "SEEN_KEYS_MAX", 2)
    seen = SeenKeys(Hands())
    for text in "abac":
        seen.note(text, KEY)
    assert [seen.find(text) is not None for text in "abc"] == [True, False, True]
