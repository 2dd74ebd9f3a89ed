"""API keys as bearer tokens."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator

import pytest

from hansard.compose import open_database
from hansard.server.app import create_app
from hansard.server.edge import Edge
from hansard.settings import AccessSettings
from tests.server.applications import QUIET, application, client_of, keys_of


@pytest.fixture
async def app(record_url: str) -> AsyncIterator[Edge]:
    async with application(record_url, access=AccessSettings(auth="key")) as app:
        yield app


async def status(app: Edge, authorization: str | None) -> int:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with client_of(app) as client:
        answer = await client.get("/v1/sessions", headers=headers)
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["error"]["code"] == "unauthorized"
    return answer.status_code


async def test_key_opens(app: Edge) -> None:
    key, _ = await keys_of(app).create("acme", "alice")
    assert await status(app, f"Bearer {key}") == 200
    assert await status(app, f"bearer  {key}") == 200


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Basic YWxpY2U6eA==",
        "Bearer hansard.acme.01ARZ3NDEKTSV4RRFFQ69G5FAV.secret",
        "Bearer hansard..",
        "Bearer hansard.a/b.c.d",
        "Bearer a.b.c",
        "Bearer " + "x" * 10_000,
    ],
)
async def test_other_credentials_do_not(app: Edge, authorization: str | None) -> None:
    assert await status(app, authorization) == 401


async def test_key_in_the_path_opens_nothing(app: Edge) -> None:
    key, _ = await keys_of(app).create("acme", "alice")
    async with client_of(app) as client:
        for name in ("token", "access_token", "key", "authorization"):
            refused = await client.get("/v1/sessions", params={name: key})
            assert (refused.status_code, key in refused.text) == (401, False)
        refused = await client.get("/v1/sessions", headers={"Cookie": f"token={key}"})
        assert refused.status_code == 401


async def test_keys_are_compared_in_constant_time(
    app: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is unknown takes a comparison, so that time does not tell which there are."""
    key, _ = await keys_of(app).create("acme", "alice")
    compared = []

    def compare(given: bytes, stored: bytes) -> bool:
        compared.append(len(given) == len(stored))
        return given == stored

    monkeypatch.setattr(hmac, "compare_digest", compare)
    unknown = "hansard.acme.01ARZ3NDEKTSV4RRFFQ69G5FAV." + key.rpartition(".")[2]
    wrong = key.rpartition(".")[0] + "." + key.rpartition(".")[2][::-1]
    assert [await status(app, f"Bearer {each}") for each in (key, wrong, unknown)] == [
        200,
        401,
        401,
    ]
    assert compared == [True, True, True]


async def test_credentials_given_twice_do_not(app: Edge) -> None:
    key, _ = await keys_of(app).create("acme", "alice")
    once = ("Authorization", f"Bearer {key}")
    async with client_of(app) as client:
        other = [("X-Forwarded-For", "a"), ("X-Forwarded-For", "b")]
        assert (await client.get("/v1/sessions", headers=[once, *other])).status_code == 200
        answer = await client.get("/v1/sessions", headers=[once, once])
    assert (answer.status_code, answer.json()["detail"]) == (401, "credentials are given twice")


async def test_bytes_that_are_no_text_do_not(app: Edge) -> None:
    async with client_of(app) as client:
        headers = {b"authorization": b"Bearer \xff\xfe"}
        assert (await client.get("/v1/sessions", headers=headers)).status_code == 401


async def test_every_other_byte_of_a_key_is_wrong(app: Edge) -> None:
    key, _ = await keys_of(app).create("acme", "alice")
    for position in range(len("hansard."), len(key), 7):
        other = "A" if key[position] != "A" else "B"
        changed = key[:position] + other + key[position + 1 :]
        assert await status(app, f"Bearer {changed}") == 401


async def test_revoked_key_is_closed_at_once(app: Edge) -> None:
    key, made = await keys_of(app).create("acme", "alice")
    await keys_of(app).revoke("acme", made.key_id)
    assert await status(app, f"Bearer {key}") == 401


async def test_key_ends_when_it_expires(app: Edge) -> None:
    now_us = time.time_ns() // 1000
    for expires_at_us, expected in ((now_us - 1, 401), (now_us + 3_600_000_000, 200)):
        key, _ = await keys_of(app).create("acme", "alice", expires_at_us=expires_at_us)
        assert await status(app, f"Bearer {key}") == expected


async def test_nobody_is_let_in_before_the_start(record_url: str) -> None:
    app = create_app(open_database(record_url), QUIET)
    async with client_of(app) as client:
        answer = await client.get("/v1/sessions")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "starting")
