-- A partition that can't be processed is halted, and the others go on. Nobody takes it until a person has resumed it.
-- A processor of the version before does not know halted_at. It takes what no lease runs on: so the lease of a halted
-- partition runs to the end of the year 9999, without an owner. Infinity would not do: the version before reads
-- lease_until into a type that has no such time. No constraint says that a halted partition has no owner: where the
-- version before takes one all the same, the partition would fail with it as it did before, and the constraint would
-- stop its other partitions, too.
-- The rights on partition_cursor are of all its columns: processors write these, all roles may look.
SET LOCAL ROLE weir_owner;

ALTER TABLE partition_cursor
    ADD COLUMN halted_reason text CHECK (octet_length(halted_reason) <= 8192),
    ADD COLUMN halted_at timestamptz,
    ADD CONSTRAINT halted_has_a_reason CHECK ((halted_reason IS NULL) = (halted_at IS NULL));
COMMENT ON COLUMN partition_cursor.halted_reason IS 'why nobody processes it; NULL: it is processed';

RESET ROLE;
