-- Where an imported session came from; the unique key makes an import happen once.
-- owner is '' where there is none, so that the key has no NULL.

CREATE TABLE imports (
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    owner TEXT NOT NULL,
    source_format TEXT NOT NULL,
    source_key TEXT NOT NULL,
    source_session_id TEXT,
    imported_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, session_id),
    UNIQUE (tenant_id, owner, source_format, source_key),
    FOREIGN KEY (tenant_id, session_id) REFERENCES sessions ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
