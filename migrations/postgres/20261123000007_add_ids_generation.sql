-- Processors keep the ids that they have seen on disk, filled in the order of the log. Whoever makes ids known behind a
-- cursor (rows of repaired or replayed events) adds one to the partition's generation in the same transaction: what
-- was kept under another generation is not used any more, and read from ClickHouse anew.
ALTER TABLE partition_cursor ADD COLUMN ids_generation bigint NOT NULL DEFAULT 0 CHECK (ids_generation >= 0);
COMMENT ON COLUMN partition_cursor.ids_generation IS 'one more whenever ids become known behind the cursor; stores of seen ids name it';
