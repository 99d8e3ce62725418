-- What the ledgers say of an erased row is subtracted from them.
ALTER TABLE erased_ids
    ADD COLUMN IF NOT EXISTS period_start DateTime64(0, 'UTC'),
    ADD COLUMN IF NOT EXISTS content_hash UInt128;
