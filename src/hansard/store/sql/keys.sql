-- name: key_insert
-- A new API key.
INSERT INTO api_keys (
    tenant_id, key_id, owner, scopes, secret_hash, created_at_us, expires_at_us, revoked_at_us
) VALUES (
    :tenant_id, :key_id, :owner, :scopes, :secret_hash, :created_at_us, :expires_at_us, NULL
);

-- name: key_get
-- One API key.
SELECT tenant_id, key_id, owner, scopes, secret_hash, created_at_us, expires_at_us,
    revoked_at_us
FROM api_keys WHERE tenant_id = :tenant_id AND key_id = :key_id;

-- name: key_list
-- A tenant's API keys, oldest first: ids sort by time.
SELECT tenant_id, key_id, owner, scopes, secret_hash, created_at_us, expires_at_us,
    revoked_at_us
FROM api_keys WHERE tenant_id = :tenant_id
ORDER BY key_id
LIMIT :limit;

-- name: key_revoke
-- End a key; the first revocation counts.
UPDATE api_keys SET revoked_at_us = coalesce(revoked_at_us, :revoked_at_us)
WHERE tenant_id = :tenant_id AND key_id = :key_id
RETURNING key_id;
