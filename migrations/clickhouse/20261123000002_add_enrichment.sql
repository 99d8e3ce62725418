-- What an event's user agent, address and URLs say. Rows from before have enrichment 0 and empty columns. Plain texts:
-- they compress as well, and with LowCardinality an insert took half as long again (docs/adr/0013).
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS enrichment UInt16,
    ADD COLUMN IF NOT EXISTS browser String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS browser_version UInt16,
    ADD COLUMN IF NOT EXISTS os String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS os_version String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS device_type String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS geo_country String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS geo_region String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS geo_city String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS geo_continent String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS geo_time_zone String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS geo_built DateTime('UTC'),
    ADD COLUMN IF NOT EXISTS utm_source String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS utm_medium String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS utm_campaign String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS utm_term String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS utm_content String CODEC(ZSTD(1));
