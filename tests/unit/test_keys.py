"""API keys: their text, and what is kept of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansard import Unauthorized
from hansard.core.keys import ApiKey, hash_secret, make_secret, read_key, write_key

ids = st.text("ABCDEFGHIJ-_:.0123456789", min_size=1, max_size=40)


@given(tenant=ids, entropy=st.binary(min_size=32, max_size=32))
def test_written_key_reads_back(tenant: str, entropy: bytes) -> None:
    secret = make_secret(lambda size: entropy[:size])
    assert read_key(write_key(tenant, "KEY1", secret)) == (tenant, "KEY1", secret)


@pytest.mark.parametrize(
    "text", ["", "hansard", "hansard.a.b", "sk-123.a.b.c", "x.hansard.a.b", "hansard." + "a" * 600]
)
def test_text_that_is_no_key_opens_nothing(text: str) -> None:
    with pytest.raises(Unauthorized):
        read_key(text)


def test_what_is_kept_depends_on_secret_and_pepper() -> None:
    kept = {hash_secret(pepper, secret) for pepper in (b"p", b"q") for secret in ("s", "t")}
    assert len(kept) == 4
    assert {len(value) for value in kept} == {32}


@pytest.mark.parametrize(
    ("expires_at_us", "revoked_at_us", "expected"),
    [(None, None, True), (101, None, True), (100, None, False), (None, 99, False), (101, 1, False)],
)
def test_key_opens_until_it_expires_or_is_revoked(
    expires_at_us: int | None, revoked_at_us: int | None, expected: bool
) -> None:
    key = ApiKey(
        tenant_id="t",
        key_id="k",
        owner="ann",
        scopes=(),
        secret_hash=b"",
        created_at_us=0,
        expires_at_us=expires_at_us,
        revoked_at_us=revoked_at_us,
    )
    assert key.is_valid(now_us=100) is expected
