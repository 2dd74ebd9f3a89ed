-- name: schema_book_count
-- Whether migrations have ever been applied: 1 or 0.
SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations';
