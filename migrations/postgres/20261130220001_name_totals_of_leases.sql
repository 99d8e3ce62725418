-- A node names the totals that it knows of a lease, so that a reply that is lost costs nothing: it gets what it does
-- not know of, and gives back what Postgres does not know of.
SET LOCAL ROLE weir_owner;

ALTER TABLE quota_lease
    ADD COLUMN taken bigint NOT NULL DEFAULT 0 CHECK (taken >= 0),
    ADD COLUMN returned bigint NOT NULL DEFAULT 0 CHECK (returned >= 0);
COMMENT ON COLUMN quota_lease.taken IS 'events that the node was ever granted; never lowered';
COMMENT ON COLUMN quota_lease.returned IS 'events that the node ever gave back; never lowered';
COMMENT ON COLUMN quota_lease.granted IS 'taken - returned, and copies of a spool: what the node may have accepted';

-- Frames carry a lease's id. A sequence that lost its last values with a failover would give them again, and events
-- would be settled under a lease that they were never charged to.
ALTER TABLE quota_lease ALTER COLUMN id DROP IDENTITY;
ALTER TABLE quota_lease ALTER COLUMN id
    SET DEFAULT greatest(1, hashtextextended(gen_random_uuid()::text, 0) & 9223372036854775807);

RESET ROLE;
