"""Tokens of an OpenID issuer: a signed JWT in, an actor out.

    tenant  <- a claim that the operator names
    owner   <- ``sub``
    scopes  <- ``scope`` (words in a string) or ``scp`` (a list, or the same)

Only signatures by the issuer's public keys count: neither ``none`` nor a shared secret is
an algorithm here, and a key is used only with the algorithms of its own type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jwt

from hansard.core.actors import (
    SCOPE_ALL_SESSIONS,
    SCOPE_SET_BUDGETS,
    SCOPE_SET_RETENTION,
    Actor,
)
from hansard.core.errors import InvalidInput, Unauthorized
from hansard.core.keys import PREFIX
from hansard.core.sessions import NAME_LENGTH_MAX
from hansard.core.strict_json import check_text
from hansard.server.auth import KeyHolders, read_bearer
from hansard.server.jwks import ALGORITHMS, IssuerKeys

LEEWAY_S = 30  # between the issuer's clock and ours
_REQUIRED: Final = ("exp", "iss", "aud", "sub")


class TokenHolders:
    """Lets the holders of the issuer's tokens in, and those of API keys.

    Args:
        tenant_claim: Claim that names the tenant.
    """

    def __init__(
        self,
        keys: KeyHolders,
        issuer_keys: IssuerKeys,
        *,
        issuer: str,
        audience: str,
        tenant_claim: str,
    ) -> None:
        self._keys = keys
        self._issuer_keys = issuer_keys
        self._issuer = issuer
        self._audience = audience
        self._tenant_claim = tenant_claim

    async def actor(self, authorization: bytes | None) -> Actor:
        token = read_bearer(authorization)
        if token.startswith(f"{PREFIX}."):
            return await self._keys.holder(token)
        return self._read(await self._verify(token))

    async def _verify(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            algorithm, key_id = header.get("alg"), header.get("kid")
            if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
                raise Unauthorized("the token's algorithm is not accepted")
            key = await self._issuer_keys.find(key_id, algorithm)
            if key is None:
                raise Unauthorized("the token is signed with a key that the issuer does not have")
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_S,
                options={"require": list(_REQUIRED)},
            )
        except (jwt.PyJWTError, RecursionError, OverflowError) as exc:
            raise Unauthorized(f"the token is not valid: {exc}") from exc

    def _read(self, claims: Mapping[str, Any]) -> Actor:
        try:
            owner = check_text(claims["sub"], "sub", length_max=NAME_LENGTH_MAX)
            tenant = claims.get(self._tenant_claim)
            if not owner or not isinstance(tenant, str):
                raise Unauthorized("the token names no owner or no tenant")
            scopes = _scopes(claims)
            return Actor(
                tenant,
                owner,
                sees_all=SCOPE_ALL_SESSIONS in scopes,
                sets_budgets=SCOPE_SET_BUDGETS in scopes,
                sets_retention=SCOPE_SET_RETENTION in scopes,
            )
        except InvalidInput as exc:
            raise Unauthorized(f"the token's claims cannot be used: {exc.message}") from exc


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    scopes = claims.get("scope", claims.get("scp"))
    if isinstance(scopes, str):
        return scopes.split()
    return [scope for scope in scopes if isinstance(scope, str)] if isinstance(scopes, list) else []
