-- name: price_version_insert
-- The next prices of a tenant; no row if somebody else's came between.
INSERT INTO price_versions (
    tenant_id, number, version, source, sha256, document, imported_at_us
)
SELECT :tenant_id, coalesce(max(number), 0) + 1, :version, :source, :document_hash, :document,
    :imported_at_us
FROM price_versions WHERE tenant_id = :tenant_id
ON CONFLICT (tenant_id, number) DO NOTHING
RETURNING number;

-- name: price_version_newest
-- Which prices of a tenant are in force.
SELECT number FROM price_versions WHERE tenant_id = :tenant_id
ORDER BY number DESC
LIMIT 1;

-- name: price_version_document
-- Prices of a tenant, as they were imported.
SELECT document FROM price_versions WHERE tenant_id = :tenant_id AND number = :number;

-- name: price_version_list
-- The prices of a tenant, the newest first.
SELECT tenant_id, number, version, source, sha256, imported_at_us
FROM price_versions WHERE tenant_id = :tenant_id
ORDER BY number DESC
LIMIT :limit;
