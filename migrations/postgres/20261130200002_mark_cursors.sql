-- A log that was made again under the same name is known by its records: the last one that was processed is no more.
-- The rights on partition_cursor are of all its columns.
SET LOCAL ROLE weir_owner;

ALTER TABLE partition_cursor
    ADD COLUMN mark_offset bigint CHECK (mark_offset >= 0),
    ADD COLUMN mark_hash bigint,
    ADD CONSTRAINT mark_is_whole CHECK ((mark_offset IS NULL) = (mark_hash IS NULL));
COMMENT ON COLUMN partition_cursor.mark_offset IS
    'of the last record that was processed; NULL: none was, or by a version before';
COMMENT ON COLUMN partition_cursor.mark_hash IS 'of that record, with its partition, offset and time';

RESET ROLE;
