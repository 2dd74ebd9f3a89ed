-- Prices that were set above the table that comes with the program. A document is never
-- changed: the one with the highest number is in force. tenant_id '' is every tenant.

CREATE TABLE price_versions (
    tenant_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    version TEXT NOT NULL,
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    document TEXT NOT NULL,
    imported_at_us INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, number)
) STRICT;
