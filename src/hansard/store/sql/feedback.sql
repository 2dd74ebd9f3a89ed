-- name: feedback_insert
-- New feedback.
INSERT INTO feedback (
    tenant_id, feedback_id, owner, trace_id, session_id, rating, comment, correction, model_id,
    latency_ms, turn_index, agent_type, created_at_us
) VALUES (
    :tenant_id, :feedback_id, :owner, :trace_id, :session_id, :rating, :comment, :correction,
    :model_id, :latency_ms, :turn_index, :agent_type, :created_at_us
);

-- name: feedback_get
-- One piece of feedback.
SELECT feedback_id, owner, trace_id, session_id, rating, comment, correction, model_id,
    latency_ms, turn_index, agent_type, created_at_us
FROM feedback
WHERE tenant_id = :tenant_id
AND owner = :owner -- if owner
AND feedback_id = :feedback_id;

-- name: feedback_update
-- Change feedback; what is NULL stays as it is.
UPDATE feedback SET rating = coalesce(:rating, rating), comment = coalesce(:comment, comment),
    correction = coalesce(:correction, correction)
WHERE tenant_id = :tenant_id AND feedback_id = :feedback_id
AND owner = :owner -- if owner
RETURNING feedback_id, owner, trace_id, session_id, rating, comment, correction, model_id,
    latency_ms, turn_index, agent_type, created_at_us;

-- name: feedback_list
-- A page of feedback, newest first; the cursor is the position of the last row seen.
SELECT feedback_id, owner, trace_id, session_id, rating, comment, correction, model_id,
    latency_ms, turn_index, agent_type, created_at_us
FROM feedback
WHERE tenant_id = :tenant_id
AND owner = :owner -- if owner
AND coalesce(owner, :anonymous) = :anonymous -- if anonymous
AND trace_id = :trace_id -- if trace_id
AND session_id = :session_id -- if session_id
AND model_id = :model_id -- if model_id
AND agent_type = :agent_type -- if agent_type
AND rating = :rating -- if rating
AND created_at_us >= :since_us -- if since_us
AND created_at_us < :until_us -- if until_us
AND (created_at_us, feedback_id) < (:before_us, :before_id) -- if before
ORDER BY created_at_us DESC, feedback_id DESC
LIMIT :limit OFFSET :offset;

-- name: feedback_count
-- Thumbs by window and type of agent, oldest first. No time is before the origin, so that
-- whole numbers are divided alike everywhere.
SELECT (created_at_us - :origin_us) / :length_us * :length_us + :origin_us AS window_start_us,
    agent_type, count(*) FILTER (WHERE rating > 0), count(*) FILTER (WHERE rating < 0)
FROM feedback
WHERE tenant_id = :tenant_id
AND owner = :owner -- if owner
AND agent_type = :agent_type -- if agent_type
AND created_at_us >= :since_us -- if since_us
AND created_at_us < :until_us -- if until_us
GROUP BY 1, agent_type
ORDER BY window_start_us, agent_type IS NOT NULL, agent_type
LIMIT :limit;

-- name: feedback_purge
-- Remove the oldest feedback from before a moment that is on no session under legal hold.
DELETE FROM feedback
WHERE tenant_id = :tenant_id AND feedback_id IN (
    SELECT feedback_id FROM feedback AS f
    WHERE tenant_id = :tenant_id AND created_at_us < :before_us AND NOT EXISTS (
        SELECT 1 FROM session_details AS d
        WHERE d.tenant_id = :tenant_id AND d.session_id = f.session_id AND d.legal_hold
    )
    ORDER BY created_at_us, feedback_id
    LIMIT :limit
)
RETURNING feedback_id;
