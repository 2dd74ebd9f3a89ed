-- name: installation_get
-- A value that belongs to this database as a whole.
SELECT value FROM installation WHERE name = :name;

-- name: schema_version
-- Number of the last migration.
SELECT max(version) FROM schema_migrations;
