-- The ledger says what is in the rows, not only how many there are: with these sums an altered row is found, and
-- usage that was moved to another period.

SET LOCAL ROLE weir_owner;

ALTER TABLE batch_ledger
    ADD COLUMN hashed bigint NOT NULL DEFAULT 0 CHECK (hashed >= 0),
    ADD COLUMN xor_contents bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN batch_ledger.hashed IS
    'of the stored events those that xor_contents has: fewer than stored where a version before wrote rows';
COMMENT ON COLUMN batch_ledger.xor_contents IS
    'exclusive or over the low 64 bits of the content hashes of the stored events'' rows';

ALTER TABLE erased_range
    ADD COLUMN hashed bigint NOT NULL DEFAULT 0 CHECK (hashed >= 0),
    ADD COLUMN xor_contents bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN erased_range.xor_contents IS 'over their content hashes, as in batch_ledger';

ALTER TABLE erased_hour ADD COLUMN period_start timestamptz NOT NULL DEFAULT 'epoch';
COMMENT ON COLUMN erased_hour.period_start IS 'in which their usage was counted; epoch: their rows do not say';
ALTER TABLE erased_hour DROP CONSTRAINT erased_hour_pkey;
ALTER TABLE erased_hour ADD PRIMARY KEY (tenant_id, project_id, hour, period_start, round);

RESET ROLE;
