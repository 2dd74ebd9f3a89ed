"""The issuer's keys: fetched when needed, by one caller for all, and seldom.

    fresh 10 min -> stale, kept in use while the issuer does not answer, at most 24 h

A token with a key id that nobody has seen makes us look again, since issuers rotate their
keys; but once in 30 s for all such tokens, and not again for the same id. So whoever sends
made-up tokens cannot make us flood the issuer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import jwt

from hansard.core import strict_json
from hansard.core.errors import InvalidInput, Unavailable, UpstreamFailed
from hansard.core.latest import Latest

FRESH_S = 600.0
STALE_MAX_S = 86_400.0
UNKNOWN_PAUSE_S = 30.0  # between two looks for unknown key ids
UNKNOWN_KEPT_S = 60.0  # an unknown key id is not looked for again
UNKNOWN_MAX = 256
RETRY_FIRST_S = 1.0  # after a failure; doubles from there
RETRY_MOST_S = 60.0
FETCH_MAX_S = 10.0
DOCUMENT_BYTES_MAX = 65_536
KEYS_MAX = 100
RSA_BITS_MIN = 2_048

Monotonic = Callable[[], float]
Keys = Mapping[tuple[str | None, str], jwt.PyJWK]
"""Keys by their id and the algorithm that they may be used with."""

_ALGORITHMS: Final[Mapping[tuple[str, str | None], tuple[str, ...]]] = {
    ("RSA", None): ("RS256", "PS256"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
}
ALGORITHMS: Final = frozenset(name for names in _ALGORITHMS.values() for name in names)


class IssuerKeys:
    """The public keys of one issuer.

    Args:
        issuer: Its URL, exactly as it stands in tokens.
        jwks_url: Where the keys are; None to ask the issuer's discovery document.
        client: Follows no redirects.
    """

    def __init__(
        self, issuer: str, jwks_url: str | None, client: httpx.AsyncClient, monotonic: Monotonic
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._client = client
        self._monotonic = monotonic
        self._fetching = asyncio.Lock()
        self._keys: Keys = {}
        self._fetched_at: float | None = None
        self._fetches = 0
        self._failures = 0
        self._retry_at = 0.0
        self._look_at = 0.0
        self._unknown: Latest[str, float] = Latest(UNKNOWN_MAX)

    async def find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key that a token names, or None if the issuer has no such key.

        A token without a key id means the only key that fits its algorithm.

        Raises:
            Unavailable: If the issuer's keys were never there, or for too long not.
        """
        await self._refresh()
        key = self._pick(key_id, algorithm)
        if key is not None or key_id is None:
            return key
        if self._may_look_for(key_id):
            await self._refresh(after=self._fetches)
        elif self._fetching.locked():
            async with self._fetching:
                pass  # another caller looks already; the key may be among what it finds
        return self._pick(key_id, algorithm)

    def _pick(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        if key_id is not None:
            return self._keys.get((key_id, algorithm))
        fitting = [key for (_, name), key in self._keys.items() if name == algorithm]
        return fitting[0] if len(fitting) == 1 else None

    def _may_look_for(self, key_id: str) -> bool:
        now = self._monotonic()
        if now < self._look_at or now < self._unknown.get(key_id, 0.0):
            return False
        self._look_at = now + UNKNOWN_PAUSE_S
        self._unknown.put(key_id, now + UNKNOWN_KEPT_S)
        return True

    async def _refresh(self, after: int | None = None) -> None:
        """Fetch the keys if they are not fresh, or not newer than fetch ``after``."""
        if after is None and self._age() < FRESH_S:
            return
        async with self._fetching:
            # Whoever waited here may find that another caller has fetched meanwhile.
            if self._age() < FRESH_S and (after is None or self._fetches > after):
                return
            if self._monotonic() >= self._retry_at:
                await self._fetch()
        if self._age() >= STALE_MAX_S:
            raise Unavailable("the issuer's keys cannot be had", code="issuer_unavailable")

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._monotonic() - self._fetched_at

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_MAX_S):
                url = self._jwks_url or await self._discover()
                self._keys = _read_keys(await self._get(url))
        except (httpx.HTTPError, TimeoutError, InvalidInput, UpstreamFailed):
            pause_s = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(self._failures, 10))
            self._failures += 1
            self._retry_at = self._monotonic() + pause_s
        else:
            self._fetches += 1
            self._failures = 0
            self._fetched_at = self._monotonic()

    async def _discover(self) -> str:
        document = await self._get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        url = document.get("jwks_uri")
        if document.get("issuer") != self._issuer:
            raise UpstreamFailed("the issuer calls itself by another name", code="bad_issuer")
        if not isinstance(url, str) or urlsplit(url).scheme not in {
            "https",
            urlsplit(self._issuer).scheme,
        }:
            raise UpstreamFailed("the issuer names no usable place of keys", code="bad_issuer")
        return url

    async def _get(self, url: str) -> dict[str, Any]:
        async with self._client.stream("GET", url) as response:
            if response.status_code != httpx.codes.OK:
                raise UpstreamFailed("the issuer did not answer 200", code="bad_issuer")
            body = b""
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > DOCUMENT_BYTES_MAX:
                    raise UpstreamFailed("the issuer's document is too long", code="bad_issuer")
        document = strict_json.loads(body)
        if not isinstance(document, dict):
            raise UpstreamFailed("the issuer's document is no object", code="bad_issuer")
        return document


def _read_keys(document: Mapping[str, Any]) -> Keys:
    """Read the signing keys that we can use; others are skipped, as RFC 7517 says."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise UpstreamFailed("the issuer's document holds no keys", code="bad_issuer")
    keys: dict[tuple[str | None, str], jwt.PyJWK] = {}
    for item in listed[:KEYS_MAX]:
        if not isinstance(item, dict) or item.get("use", "sig") != "sig":
            continue
        curve = item.get("crv") if item.get("kty") == "EC" else None
        for algorithm in _ALGORITHMS.get((str(item.get("kty")), curve), ()):
            if item.get("alg", algorithm) != algorithm:
                continue
            try:
                key = jwt.PyJWK(item, algorithm=algorithm)
            except (jwt.PyJWTError, ValueError, TypeError):
                continue
            if getattr(key.key, "key_size", 0) >= RSA_BITS_MIN or item["kty"] == "EC":
                keys[item.get("kid"), algorithm] = key
    return keys
