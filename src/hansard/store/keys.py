"""API keys in SQL."""

from __future__ import annotations

import json

from hansard.core.keys import ApiKey
from hansard.store.database import Row, Tx, one

KEYS_MAX = 1_000  # listed for one tenant


def insert(tx: Tx, key: ApiKey) -> None:
    """Add a key."""
    tx.run(
        "key_insert",
        tenant_id=key.tenant_id,
        key_id=key.key_id,
        owner=key.owner,
        scopes=json.dumps(key.scopes),
        secret_hash=key.secret_hash,
        created_at_us=key.created_at_us,
        expires_at_us=key.expires_at_us,
    )


def find(tx: Tx, tenant_id: str, key_id: str) -> ApiKey | None:
    """Return a key, or None."""
    row = one(tx, "key_get", tenant_id=tenant_id, key_id=key_id)
    return _key(row) if row else None


def list_all(tx: Tx, tenant_id: str) -> list[ApiKey]:
    """Return a tenant's keys, oldest first, at most ``KEYS_MAX``."""
    return [_key(row) for row in tx.rows("key_list", tenant_id=tenant_id, limit=KEYS_MAX)]


def revoke(tx: Tx, tenant_id: str, key_id: str, now_us: int) -> bool:
    """End a key; return False if there is none."""
    key = {"tenant_id": tenant_id, "key_id": key_id}
    return bool(tx.rows("key_revoke", revoked_at_us=now_us, **key))


def _key(row: Row) -> ApiKey:
    return ApiKey(
        tenant_id=row[0],
        key_id=row[1],
        owner=row[2],
        scopes=tuple(json.loads(row[3])),
        secret_hash=row[4],
        created_at_us=row[5],
        expires_at_us=row[6],
        revoked_at_us=row[7],
    )
