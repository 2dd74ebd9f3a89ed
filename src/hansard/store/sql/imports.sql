-- name: import_insert
-- Where a session came from.
INSERT INTO imports (
    tenant_id, session_id, owner, source_format, source_key, source_session_id, imported_at_us
) VALUES (
    :tenant_id, :session_id, :owner, :source_format, :source_key, :source_session_id,
    :imported_at_us
);

-- name: import_find
-- The session that a document became.
SELECT session_id FROM imports
WHERE tenant_id = :tenant_id AND owner = :owner AND source_format = :source_format
    AND source_key = :source_key;
