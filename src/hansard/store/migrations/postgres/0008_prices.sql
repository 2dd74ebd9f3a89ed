-- Prices that were set above the table that comes with the program. A document is never
-- changed: the one with the highest number is in force. tenant_id '' is every tenant.

CREATE TABLE price_versions (
    tenant_id TEXT COLLATE "C" NOT NULL,
    number BIGINT NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    source TEXT NOT NULL,
    sha256 TEXT COLLATE "C" NOT NULL,
    document TEXT NOT NULL,
    imported_at_us BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, number)
);
