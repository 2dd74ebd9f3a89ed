"""Tokens of an OpenID issuer: who gets in, and who does not."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from hansard.server.edge import Edge
from hansard.settings import AccessSettings
from tests.server.applications import application, client_of, keys_of
from tests.server.issuer import (
    AUDIENCE,
    EC384_KEY,
    EC_KEY,
    OTHER_RSA_KEY,
    RSA_KEY,
    SMALL_RSA_KEY,
    Issuer,
    public,
    running_issuer,
)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as issuer:
        yield issuer


def access(issuer: Issuer, **more: Any) -> AccessSettings:
    return AccessSettings(auth="oidc", oidc_issuer=issuer.url, oidc_audience=AUDIENCE, **more)


@pytest.fixture
async def app(sqlite_url: str, issuer: Issuer) -> AsyncIterator[Edge]:
    async with application(sqlite_url, access=access(issuer)) as app:
        yield app


async def ask(app: Edge, token: str) -> httpx.Response:
    async with client_of(app, token) as client:
        return await client.get("/v1/sessions")


async def test_token_says_tenant_owner_and_scope(app: Edge, issuer: Issuer) -> None:
    async with client_of(app, issuer.token()) as alice:
        await alice.post("/v1/sessions", json={"session_id": "s"})
        assert (await alice.get("/v1/sessions/s")).json()["owner"] == "alice"
    async with client_of(app, issuer.token(sub="bob")) as bob:
        assert (await bob.get("/v1/sessions/s")).status_code == 404
    async with client_of(app, issuer.token(tenant="other")) as other:
        assert (await other.get("/v1/sessions/s")).status_code == 404
    for claim in (
        {"scope": "openid sessions:all"},
        {"scp": ["openid", "sessions:all"]},
        {"scp": "sessions:all"},
    ):
        async with client_of(app, issuer.token(sub="auditor", **claim)) as auditor:
            assert (await auditor.get("/v1/sessions/s")).status_code == 200
    async with client_of(app, issuer.token(sub="x", scope="sessions:all2 xsessions:all")) as bob:
        assert (await bob.get("/v1/sessions/s")).status_code == 404


async def test_scope_of_a_token_sets_budgets(app: Edge, issuer: Issuer) -> None:
    body = {"scope": "tenant", "limit": "1"}
    for scope, status in (("budgets:write", 200), ("budgets:read sessions:all", 403)):
        async with client_of(app, issuer.token(scope=scope)) as client:
            assert (await client.put("/v1/budgets/b", json=body)).status_code == status


async def test_scope_of_a_token_places_legal_holds(app: Edge, issuer: Issuer) -> None:
    for scope, status in (("retention:write", 200), ("retention:read sessions:all", 403)):
        async with client_of(app, issuer.token(scope=scope)) as client:
            await client.post("/v1/sessions", json={"session_id": "s"})
            answer = await client.patch("/v1/sessions/s", json={"legal_hold": True})
            assert answer.status_code == status


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"),
    [
        (RSA_KEY, "RS256", "k1"),
        (RSA_KEY, "PS256", "k1"),
        (EC_KEY, "ES256", "e1"),
        (EC384_KEY, "ES384", "e2"),
        (RSA_KEY, "RS256", None),
    ],
)
async def test_listed_algorithms_are_accepted(
    app: Edge, issuer: Issuer, key: Any, algorithm: str, key_id: str | None
) -> None:
    token = issuer.token(key, algorithm=algorithm, key_id=key_id)
    assert (await ask(app, token)).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"in_s": -3_600},
        {"exp": None},
        {"exp": "soon"},
        {"nbf": 2**33},
        {"iss": "https://elsewhere.example"},
        {"iss": None},
        {"aud": "somebody-else"},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\0b"},
        {"sub": "0123456789" * 30},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": "a/b"},
        {"tenant": ["acme"]},
    ],
    ids=str,
)
async def test_wrong_claims_are_refused(app: Edge, issuer: Issuer, claims: dict[str, Any]) -> None:
    answer = await ask(app, issuer.token(**claims))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


async def test_forged_tokens_are_refused(app: Edge, issuer: Issuer) -> None:
    good = jwt.decode(issuer.token(), options={"verify_signature": False})
    public_pem = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    head, _, signature = issuer.token().split(".")
    changed = base64.urlsafe_b64encode(json.dumps({**good, "sub": "eve"}).encode()).decode()
    deep = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 3_000).decode().rstrip("=")
    for token in (
        forged({"alg": "none", "kid": "k1"}, good),
        forged({"alg": "None"}, good),
        forged({"alg": "HS256", "kid": "k1"}, good, public_pem),
        forged({"alg": ["RS256"], "kid": "k1"}, good),
        forged({"alg": "RS256", "kid": 7}, good),
        forged({"alg": "RS256", "kid": None}, good),
        forged({"kid": "k1"}, good),
        jwt.encode(good, "a secret that is long enough for this", headers={"kid": "k1"}),
        issuer.token(OTHER_RSA_KEY),
        issuer.token(RSA_KEY, algorithm="RS512"),
        issuer.token(EC_KEY, algorithm="ES256", key_id="k1"),
        issuer.token(RSA_KEY, algorithm="RS256", key_id="e1"),
        f"{head}.{changed.rstrip('=')}.{signature}",
        f"{head}..{signature}",
        f"{deep}.e30.",
        "a.b.c",
        "...",
        "é",
    ):
        async with client_of(app) as client:
            headers = {b"Authorization": f"Bearer {token}".encode()}
            answer = await client.get("/v1/sessions", headers=headers)
        assert answer.status_code == 401, token


async def test_api_keys_work_beside_tokens(app: Edge) -> None:
    key, _ = await keys_of(app).create("acme", "robot")
    assert (await ask(app, key)).status_code == 200
    assert (await ask(app, key[:-1])).status_code == 401


async def test_another_claim_may_name_the_tenant(sqlite_url: str, issuer: Issuer) -> None:
    settings = access(issuer, oidc_tenant_claim="https://hansard.example/tenant")
    async with application(sqlite_url, access=settings) as app:
        claims: dict[str, Any] = {"https://hansard.example/tenant": "acme", "tenant": None}
        token = issuer.token(**claims)
        assert (await ask(app, token)).status_code == 200
        assert (await ask(app, issuer.token())).status_code == 401


async def test_keys_may_be_at_a_given_place(sqlite_url: str, issuer: Issuer) -> None:
    issuer.answers["/elsewhere"] = issuer.answers.pop("/keys")
    async with application(
        sqlite_url, access=access(issuer, oidc_jwks_url=f"{issuer.url}/elsewhere")
    ) as app:
        assert (await ask(app, issuer.token())).status_code == 200
    assert issuer.fetches == ["/elsewhere"]


@pytest.mark.parametrize(
    "keys",
    [
        [public(RSA_KEY, "k1", use="enc")],
        [public(RSA_KEY, "k1", alg="RS512")],
        [public(RSA_KEY, "k1", alg="PS256")],
        [public(SMALL_RSA_KEY, "k1")],
        [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}],
        [{"kty": "RSA", "kid": "k1", "n": "!", "e": "AQAB"}],
        [{"kty": "EC", "kid": "k1", "crv": "P-521"}, 7, None, {}],
        [],
    ],
    ids=["encryption", "RS512", "PS256", "small", "secret", "no key", "P-521", "none"],
)
async def test_unusable_keys_open_nothing(
    app: Edge, issuer: Issuer, keys: list[dict[str, Any]]
) -> None:
    issuer.keys = keys
    assert (await ask(app, issuer.token())).status_code == 401


async def test_issuer_that_cannot_be_had_is_503(app: Edge, issuer: Issuer) -> None:
    issuer.down = True
    answer = await ask(app, issuer.token())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "issuer_unavailable")
    assert answer.headers["retry-after"]


async def test_rotated_key_is_found_at_once(app: Edge, issuer: Issuer) -> None:
    assert (await ask(app, issuer.token())).status_code == 200
    issuer.keys = [public(OTHER_RSA_KEY, "k2")]
    assert (await ask(app, issuer.token(OTHER_RSA_KEY, key_id="k2"))).status_code == 200
    assert (await ask(app, issuer.token())).status_code == 401


async def test_made_up_key_ids_do_not_flood_the_issuer(app: Edge, issuer: Issuer) -> None:
    assert (await ask(app, issuer.token())).status_code == 200
    for n in range(50):
        assert (await ask(app, issuer.token(key_id=f"made-up-{n}"))).status_code == 401
    assert issuer.key_fetches == 2
    assert (await ask(app, issuer.token())).status_code == 200
