-- What takes an entry back was named <event_id>.reversed, which a call could be named too. It has
-- the id by which a second correction of the entry is refused; where there was one, both stay.
UPDATE usage_entries SET event_id = reverses || '~'
WHERE reverses IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM usage_entries AS known
    WHERE known.tenant_id = usage_entries.tenant_id
        AND known.session_id = usage_entries.session_id
        AND known.event_id = usage_entries.reverses || '~'
);
