-- In which billing period a row was counted, and a hash of all columns before it, in their order here and in the log's
-- order of bytes (docs/adr/0033). Rows from before have neither.
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS period_start DateTime64(0, 'UTC') CODEC(Delta, ZSTD(1)),
    ADD COLUMN IF NOT EXISTS content_hash UInt128;
