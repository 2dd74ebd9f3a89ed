-- name: legal_hold_find
-- Those of some sessions that are under legal hold, their own or the tenant's.
SELECT d.tenant_id, d.session_id FROM session_details AS d
WHERE d.tenant_id = :tenant_id AND d.session_id = :session_id
    AND (d.legal_hold OR EXISTS (SELECT 1 FROM legal_holds AS l WHERE l.tenant_id = d.tenant_id));

-- name: legal_hold_get
-- Since when nothing of a tenant may be removed.
SELECT since_us FROM legal_holds WHERE tenant_id = :tenant_id;

-- name: legal_hold_close
-- Wait for the removals under way, which have read this table; others begin after this
-- transaction.
SELECT 1;

-- name: legal_hold_insert
-- Put a tenant under legal hold, unless it is.
INSERT INTO legal_holds (tenant_id, since_us) VALUES (:tenant_id, :since_us)
ON CONFLICT (tenant_id) DO NOTHING;

-- name: legal_hold_delete
-- Lift a tenant's legal hold; those of its sessions stay.
DELETE FROM legal_holds WHERE tenant_id = :tenant_id;
