-- The ledger: usage entries outlive their sessions, and say what each call cost and why.
-- An entry is never changed; deleting a session renames its entries' session, to
-- '<session_id>~<ULID>', which no session can be called, so that a new one of that name
-- begins with nothing. Entries of no session have session_id ''.

ALTER TABLE sessions ADD COLUMN agent TEXT COLLATE "C";

ALTER TABLE sessions ADD COLUMN unpriced_calls BIGINT NOT NULL DEFAULT 0;

UPDATE sessions SET agent = (
    SELECT d.agent FROM session_details AS d
    WHERE d.tenant_id = sessions.tenant_id AND d.session_id = sessions.session_id
);

ALTER TABLE usage_entries DROP CONSTRAINT usage_entries_tenant_id_session_id_fkey;

-- kind is 'call', or 'import' for what was paid elsewhere and moves no budget. The counts of an
-- entry that takes another back (reverses) are negative. parts holds the rarer counts as JSON.
-- cost_nanousd NULL is unpriced; price_version NULL beside a cost is the caller's word.
ALTER TABLE usage_entries
    ADD COLUMN kind TEXT NOT NULL DEFAULT 'call',
    ADD COLUMN reverses TEXT,
    ADD COLUMN owner TEXT COLLATE "C",
    ADD COLUMN agent TEXT COLLATE "C",
    ADD COLUMN key_id TEXT COLLATE "C",
    ADD COLUMN model_asked TEXT NOT NULL DEFAULT '',
    ADD COLUMN service_tier TEXT NOT NULL DEFAULT '',
    ADD COLUMN parts TEXT,
    ADD COLUMN price_version TEXT,
    ADD COLUMN confidence TEXT NOT NULL DEFAULT 'provider_usage',
    ADD COLUMN raw TEXT,
    ALTER COLUMN cost_nanousd DROP NOT NULL,
    ADD CHECK (abs(cached_tokens + cache_write_tokens) <= abs(input_tokens)),
    ADD CHECK (abs(reasoning_tokens) <= abs(output_tokens));

UPDATE usage_entries AS u SET owner = s.owner, agent = s.agent,
    confidence = CASE WHEN u.cost_nanousd = 0 THEN 'provider_usage' ELSE 'provider_cost' END,
    cost_nanousd = nullif(u.cost_nanousd, 0)
FROM sessions AS s
WHERE s.tenant_id = u.tenant_id AND s.session_id = u.session_id;

DROP TABLE model_usage;

UPDATE sessions AS s SET unpriced_calls = u.calls
FROM (
    SELECT tenant_id, session_id, count(*) AS calls FROM usage_entries
    WHERE cost_nanousd IS NULL
    GROUP BY tenant_id, session_id
) AS u
WHERE u.tenant_id = s.tenant_id AND u.session_id = s.session_id;

-- Sums of usage_entries by session and hour, kept in the transaction that adds an entry.
-- owner and agent are '' where there is none. Lane 0 is of imports; writers that share no
-- session use different lanes, so that none waits for another.
CREATE TABLE session_usage (
    tenant_id TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL,
    hour_us BIGINT NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    lane INTEGER NOT NULL,
    calls BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nanousd BIGINT NOT NULL,
    unpriced_calls BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, session_id, hour_us, provider, model, owner, agent, lane)
);

CREATE INDEX session_usage_hour ON session_usage (tenant_id, hour_us, session_id);

-- The same for the whole tenant, whatever the number of sessions.
CREATE TABLE hourly_usage (
    tenant_id TEXT COLLATE "C" NOT NULL,
    hour_us BIGINT NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    lane INTEGER NOT NULL,
    calls BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_nanousd BIGINT NOT NULL,
    unpriced_calls BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, hour_us, provider, model, owner, agent, key_id, lane)
);

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
