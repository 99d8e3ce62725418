-- What an event's user agent, address and URLs say. Rows from before have enrichment 0 and empty columns.
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS enrichment UInt16,
    ADD COLUMN IF NOT EXISTS browser LowCardinality(String),
    ADD COLUMN IF NOT EXISTS browser_version UInt16,
    ADD COLUMN IF NOT EXISTS os LowCardinality(String),
    ADD COLUMN IF NOT EXISTS os_version LowCardinality(String),
    ADD COLUMN IF NOT EXISTS device_type LowCardinality(String),
    ADD COLUMN IF NOT EXISTS geo_country LowCardinality(String),
    ADD COLUMN IF NOT EXISTS geo_region LowCardinality(String),
    ADD COLUMN IF NOT EXISTS geo_city LowCardinality(String),
    ADD COLUMN IF NOT EXISTS geo_continent LowCardinality(String),
    ADD COLUMN IF NOT EXISTS geo_time_zone LowCardinality(String),
    ADD COLUMN IF NOT EXISTS geo_built DateTime('UTC'),
    ADD COLUMN IF NOT EXISTS utm_source LowCardinality(String),
    ADD COLUMN IF NOT EXISTS utm_medium LowCardinality(String),
    ADD COLUMN IF NOT EXISTS utm_campaign LowCardinality(String),
    ADD COLUMN IF NOT EXISTS utm_term String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS utm_content String CODEC(ZSTD(1));
