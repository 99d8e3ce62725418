-- Usage says which events it counts, not only how many: a line of an invoice names these sums, and who has the rows
-- can compute them.

SET LOCAL ROLE weir_owner;

ALTER TABLE usage_hour
    ADD COLUMN xor_hash bigint NOT NULL DEFAULT 0,
    ADD COLUMN hashed bigint NOT NULL DEFAULT 0 CHECK (hashed >= 0),
    ADD COLUMN xor_contents bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN usage_hour.hashed IS
    'of the stored events those that both sums have: fewer than stored where a version before counted';
COMMENT ON COLUMN usage_hour.xor_hash IS 'exclusive or over the low 64 bits of the stored events'' hashes';
COMMENT ON COLUMN usage_hour.xor_contents IS
    'exclusive or over the low 64 bits of the content hashes of the stored events'' rows';

ALTER TABLE erased_hour
    ADD COLUMN xor_hash bigint NOT NULL DEFAULT 0,
    ADD COLUMN hashed bigint NOT NULL DEFAULT 0 CHECK (hashed >= 0),
    ADD COLUMN xor_contents bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN erased_hour.xor_hash IS 'over their event hashes, as in usage_hour';
COMMENT ON COLUMN erased_hour.hashed IS 'of these rows those that both sums have: fewer where a version before counted';
COMMENT ON COLUMN erased_hour.xor_contents IS 'over their content hashes, as in usage_hour';

RESET ROLE;
