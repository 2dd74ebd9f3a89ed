-- name: legal_hold_find
SELECT d.tenant_id, d.session_id FROM session_details AS d
JOIN unnest(:tenant_id::text[], :session_id::text[]) AS r(tenant_id, session_id)
    ON d.tenant_id = r.tenant_id AND d.session_id = r.session_id
WHERE d.legal_hold OR EXISTS (SELECT 1 FROM legal_holds AS l WHERE l.tenant_id = d.tenant_id);

-- name: legal_hold_close
LOCK TABLE legal_holds IN ACCESS EXCLUSIVE MODE;
