"""The cache of the issuer's keys: fresh, stale, rotated, gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest

from hansard.core.errors import Unavailable
from hansard.server.jwks import (
    FRESH_S,
    RETRY_FIRST_S,
    RETRY_MOST_S,
    STALE_MAX_S,
    UNKNOWN_KEPT_S,
    UNKNOWN_MAX,
    UNKNOWN_PAUSE_S,
    IssuerKeys,
)
from tests.places import client_at
from tests.server.issuer import OTHER_RSA_KEY, RSA_KEY, Issuer, public, running_issuer


class Clock:
    """A monotonic clock by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def keys(issuer: Issuer, clock: Clock) -> AsyncIterator[IssuerKeys]:
    async with client_at() as client:
        yield IssuerKeys(issuer.url, None, client, clock)


async def has(keys: IssuerKeys, key_id: str | None = "k1") -> bool:
    return await keys.find(key_id, "RS256") is not None


async def test_keys_are_fetched_once_while_fresh(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    assert issuer.fetches == []
    assert await has(keys)
    clock.now += FRESH_S - 1
    assert await has(keys)
    assert issuer.fetches == ["/.well-known/openid-configuration", "/keys"]
    clock.now += 1
    assert await has(keys)
    assert issuer.key_fetches == 2


async def test_many_callers_share_one_fetch(keys: IssuerKeys, issuer: Issuer) -> None:
    assert await asyncio.gather(*(has(keys) for _ in range(20))) == [True] * 20
    assert issuer.key_fetches == 1


async def test_callers_with_a_rotated_key_share_one_fetch(keys: IssuerKeys, issuer: Issuer) -> None:
    await has(keys)
    issuer.keys = [public(OTHER_RSA_KEY, "k2")]
    assert await asyncio.gather(*(has(keys, "k2") for _ in range(20))) == [True] * 20
    assert issuer.key_fetches == 2


async def test_stale_keys_serve_while_the_issuer_is_down(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    await has(keys)
    issuer.down = True
    clock.now += STALE_MAX_S - 1
    assert await has(keys)
    clock.now += 1
    with pytest.raises(Unavailable):
        await has(keys)
    issuer.down = False
    clock.now += RETRY_MOST_S
    assert await has(keys)


async def test_failures_are_not_repeated_at_once(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    issuer.down = True
    pause_s = RETRY_FIRST_S
    for attempts in range(1, 9):
        for _ in range(5):
            with pytest.raises(Unavailable):
                await has(keys)
        assert len(issuer.fetches) == attempts
        clock.now += min(pause_s, RETRY_MOST_S)
        pause_s *= 2


async def test_unknown_ids_make_one_look_in_a_while(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    await has(keys)
    for n in range(1_000):
        assert not await has(keys, f"made-up-{n}")
    assert issuer.key_fetches == 2
    clock.now += UNKNOWN_PAUSE_S
    for n in range(1_000):
        assert not await has(keys, f"made-up-again-{n}")
    assert issuer.key_fetches == 3


async def test_the_same_unknown_id_is_not_looked_for_again_soon(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    await has(keys)
    assert not await has(keys, "old")
    clock.now += UNKNOWN_KEPT_S - 1
    assert not await has(keys, "old")
    assert issuer.key_fetches == 2
    clock.now += 1
    assert not await has(keys, "old")
    assert issuer.key_fetches == 3


async def test_unknown_ids_are_forgotten_in_time(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    for n in range(UNKNOWN_MAX + 10):
        await has(keys, f"made-up-{n}")
        clock.now += UNKNOWN_PAUSE_S
    assert len(keys._unknown) == UNKNOWN_MAX


async def test_key_without_id_is_found_if_it_is_the_only_one(
    keys: IssuerKeys, issuer: Issuer, clock: Clock
) -> None:
    issuer.keys = [public(RSA_KEY, None)]
    assert await has(keys, None)
    issuer.keys = [public(RSA_KEY, None), public(OTHER_RSA_KEY, "k2")]
    clock.now += FRESH_S
    assert not await has(keys, None)


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/.well-known/openid-configuration", b"<html>"),
        ("/.well-known/openid-configuration", b"[]"),
        ("/.well-known/openid-configuration", b"{}"),
        (
            "/.well-known/openid-configuration",
            json.dumps({"issuer": "https://evil.example", "jwks_uri": "/keys"}).encode(),
        ),
        ("/keys", b"{}"),
        ("/keys", b'{"keys":{}}'),
        ("/keys", b'{"keys":[]' + b" " * 70_000 + b"}"),
        ("/keys", b'{"keys":[],"keys":[]}'),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_documents_that_cannot_be_used_are_refused(
    keys: IssuerKeys, issuer: Issuer, path: str, document: bytes
) -> None:
    issuer.answers[path] = lambda: document
    with pytest.raises(Unavailable):
        await has(keys)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/keys", "file:///etc/passwd", 7])
async def test_keys_are_fetched_from_no_strange_place(
    keys: IssuerKeys, issuer: Issuer, url: str | int
) -> None:
    document = json.dumps({"issuer": issuer.url, "jwks_uri": url}).encode()
    issuer.answers["/.well-known/openid-configuration"] = lambda: document
    with pytest.raises(Unavailable):
        await has(keys)
    assert issuer.key_fetches == 0


async def test_redirects_are_not_followed(keys: IssuerKeys, issuer: Issuer) -> None:
    issuer.answers["/other"] = issuer.answers["/keys"]
    issuer.redirects["/keys"] = f"{issuer.url}/other"
    with pytest.raises(Unavailable):
        await has(keys)
    assert "/other" not in issuer.fetches
