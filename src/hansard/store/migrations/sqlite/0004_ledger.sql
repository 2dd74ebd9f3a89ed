-- The ledger: usage entries outlive their sessions, and say what each call cost and why.
-- An entry is never changed; deleting a session renames its entries' session, to
-- '<session_id>~<ULID>', which no session can be called, so that a new one of that name
-- begins with nothing. Entries of no session have session_id ''.

ALTER TABLE sessions ADD COLUMN agent TEXT;

ALTER TABLE sessions ADD COLUMN unpriced_calls INTEGER NOT NULL DEFAULT 0;

UPDATE sessions SET agent = (
    SELECT d.agent FROM session_details AS d
    WHERE d.tenant_id = sessions.tenant_id AND d.session_id = sessions.session_id
);

ALTER TABLE usage_entries RENAME TO usage_entries_before;

-- kind is 'call', or 'import' for what was paid elsewhere and moves no budget. The counts of an
-- entry that takes another back (reverses) are negative. parts holds the rarer counts as JSON.
-- cost_nanousd NULL is unpriced; price_version NULL beside a cost is the caller's word.
CREATE TABLE usage_entries (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    turn_id TEXT,
    kind TEXT NOT NULL,
    reverses TEXT,
    owner TEXT,
    agent TEXT,
    key_id TEXT,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    model_asked TEXT NOT NULL,
    service_tier TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    parts TEXT,
    cost_nanousd INTEGER,
    price_version TEXT,
    confidence TEXT NOT NULL,
    raw TEXT,
    recorded_at_us INTEGER NOT NULL,
    receipt TEXT,
    PRIMARY KEY (tenant_id, session_id, event_id),
    CHECK (abs(cached_tokens + cache_write_tokens) <= abs(input_tokens)),
    CHECK (abs(reasoning_tokens) <= abs(output_tokens))
) STRICT, WITHOUT ROWID;

INSERT INTO usage_entries
SELECT u.tenant_id, u.session_id, u.event_id, u.turn_id, 'call', NULL, s.owner, s.agent, NULL,
    u.provider, u.model, '', '', u.input_tokens, u.cached_tokens, u.cache_write_tokens,
    u.output_tokens, u.reasoning_tokens, NULL, nullif(u.cost_nanousd, 0), NULL,
    CASE WHEN u.cost_nanousd = 0 THEN 'provider_usage' ELSE 'provider_cost' END, NULL,
    u.recorded_at_us, u.receipt
FROM usage_entries_before AS u
JOIN sessions AS s ON s.tenant_id = u.tenant_id AND s.session_id = u.session_id;

DROP TABLE usage_entries_before;

DROP TABLE model_usage;

UPDATE sessions SET unpriced_calls = (
    SELECT count(*) FROM usage_entries AS u
    WHERE u.tenant_id = sessions.tenant_id AND u.session_id = sessions.session_id
        AND u.cost_nanousd IS NULL
);

-- Sums of usage_entries by session and hour, kept in the transaction that adds an entry.
-- owner and agent are '' where there is none. Lane 0 is of imports; writers that share no
-- session use different lanes, so that none waits for another.
CREATE TABLE session_usage (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    hour_us INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    owner TEXT NOT NULL,
    agent TEXT NOT NULL,
    lane INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id, hour_us, provider, model, owner, agent, lane)
) STRICT, WITHOUT ROWID;

CREATE INDEX session_usage_hour ON session_usage (tenant_id, hour_us, session_id);

-- The same for the whole tenant, whatever the number of sessions.
CREATE TABLE hourly_usage (
    tenant_id TEXT NOT NULL,
    hour_us INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    owner TEXT NOT NULL,
    agent TEXT NOT NULL,
    key_id TEXT NOT NULL,
    lane INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nanousd INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, hour_us, provider, model, owner, agent, key_id, lane)
) STRICT, WITHOUT ROWID;

INSERT INTO session_usage
SELECT tenant_id, session_id, recorded_at_us - (recorded_at_us % 3600000000 + 3600000000) % 3600000000,
    provider, model, coalesce(owner, ''), coalesce(agent, ''), 1, count(*), sum(input_tokens),
    sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(coalesce(cost_nanousd, 0)), count(*) - count(cost_nanousd)
FROM usage_entries
GROUP BY 1, 2, 3, 4, 5, 6, 7;

INSERT INTO hourly_usage
SELECT tenant_id, hour_us, provider, model, owner, agent, '', 1, sum(calls), sum(input_tokens),
    sum(cached_tokens), sum(cache_write_tokens), sum(output_tokens), sum(reasoning_tokens),
    sum(cost_nanousd), sum(unpriced_calls)
FROM session_usage
GROUP BY 1, 2, 3, 4, 5, 6;
