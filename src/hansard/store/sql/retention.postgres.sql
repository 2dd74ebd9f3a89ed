-- name: retention_turn
SELECT pg_advisory_xact_lock(:key);
