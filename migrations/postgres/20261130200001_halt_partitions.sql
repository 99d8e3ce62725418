-- A partition that can't be processed is halted, and the others go on. Nobody takes it until a person has resumed it.
-- The rights on partition_cursor are of all its columns: processors write these, all roles may look.
SET LOCAL ROLE weir_owner;

ALTER TABLE partition_cursor
    ADD COLUMN halted_reason text CHECK (octet_length(halted_reason) <= 8192),
    ADD COLUMN halted_at timestamptz,
    ADD CONSTRAINT halted_has_a_reason CHECK ((halted_reason IS NULL) = (halted_at IS NULL)),
    ADD CONSTRAINT halted_has_no_owner CHECK (halted_at IS NULL OR owner IS NULL);
COMMENT ON COLUMN partition_cursor.halted_reason IS 'why nobody processes it; NULL: it is processed';

RESET ROLE;
