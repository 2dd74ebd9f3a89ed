"""API keys: made, checked, listed, revoked."""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence

from hansard.core.actors import (
    SCOPE_ALL_SESSIONS,
    SCOPE_SET_BUDGETS,
    SCOPE_SET_RETENTION,
    Actor,
)
from hansard.core.errors import NotFound, Unauthorized
from hansard.core.ids import Clock, EntropySource, check_id, make_ulid
from hansard.core.keys import ApiKey, hash_secret, make_secret, read_key, write_key
from hansard.core.strict_json import check_text
from hansard.service.runner import Runner
from hansard.store import keys

SCOPE_LENGTH_MAX = 64


class KeyService:
    """The API keys of a database.

    Args:
        runner: Where.
        clock: The present time.
        pepper: Secret under which keys are hashed.
        entropy: Source of the keys' randomness.
    """

    def __init__(
        self, runner: Runner, *, clock: Clock, pepper: bytes, entropy: EntropySource = os.urandom
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._pepper = pepper
        self._entropy = entropy

    async def create(
        self,
        tenant_id: str,
        owner: str,
        scopes: Sequence[str] = (),
        expires_at_us: int | None = None,
    ) -> tuple[str, ApiKey]:
        """Make a key; its text is returned this once and kept nowhere.

        Raises:
            InvalidInput: If tenant, owner or a scope cannot be one.
        """
        now_us = self._clock()
        secret = make_secret(self._entropy)
        key = ApiKey(
            tenant_id=check_id(tenant_id, "tenant"),
            key_id=make_ulid(now_us, self._entropy),
            owner=check_id(owner, "owner"),
            scopes=tuple(
                check_text(scope, "scope", length_max=SCOPE_LENGTH_MAX) for scope in scopes
            ),
            secret_hash=hash_secret(self._pepper, secret),
            created_at_us=now_us,
            expires_at_us=expires_at_us,
            revoked_at_us=None,
        )
        await self._runner.write(lambda tx: keys.insert(tx, key))
        return write_key(key.tenant_id, key.key_id, secret), key

    async def authenticate(self, text: str) -> ApiKey:
        """Return the key that ``text`` is.

        Raises:
            Unauthorized: If it is unknown, expired or revoked; which of these is not said.
        """
        tenant_id, key_id, secret = read_key(text)
        key = await self._runner.read(lambda tx: keys.find(tx, tenant_id, key_id))
        given = hash_secret(self._pepper, secret)
        stored = key.secret_hash if key else bytes(len(given))
        if not hmac.compare_digest(given, stored) or key is None or not key.is_valid(self._clock()):
            raise Unauthorized("not a valid API key")
        return key

    async def list(self, tenant_id: str) -> list[ApiKey]:
        """Return a tenant's keys, oldest first."""
        return await self._runner.read(lambda tx: keys.list_all(tx, tenant_id))

    async def revoke(self, tenant_id: str, key_id: str) -> None:
        """End a key at once.

        Raises:
            NotFound: If the tenant has no such key.
        """
        now_us = self._clock()
        if not await self._runner.write(lambda tx: keys.revoke(tx, tenant_id, key_id, now_us)):
            raise NotFound(f"no key {key_id!r}", code="key_not_found", key_id=key_id)


def actor_of(key: ApiKey) -> Actor:
    """On whose behalf the holder of a key acts."""
    return Actor(
        key.tenant_id,
        key.owner,
        sees_all=SCOPE_ALL_SESSIONS in key.scopes,
        key_id=key.key_id,
        sets_budgets=SCOPE_SET_BUDGETS in key.scopes,
        sets_retention=SCOPE_SET_RETENTION in key.scopes,
    )
