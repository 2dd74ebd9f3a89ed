-- name: schema_book_count
-- Whether migrations have ever been applied: 1 or 0.
SELECT count(*) FROM pg_tables
WHERE schemaname = current_schema() AND tablename = 'schema_migrations';
