-- One row an event. Every value is a function of the log record alone, so that a row written twice from the same
-- record is the same row: it has the same sort key and the same table partition, and FINAL or a merge makes
-- one of the two.
CREATE TABLE IF NOT EXISTS events (
    tenant_id Int64,
    project_id Int64,
    event_id String,
    event_hash UInt128,
    type LowCardinality(String),
    event LowCardinality(String),
    user_id String,
    anonymous_id String,
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    properties String CODEC(ZSTD(1)),
    context String CODEC(ZSTD(1)),
    extra String CODEC(ZSTD(1)),
    client_ip IPv6,
    user_agent LowCardinality(String),
    request_id UUID,
    key_id Int64,
    flags UInt8,
    log_partition UInt32,
    position UInt64 CODEC(Delta, ZSTD(1)),
    first UInt64 MATERIALIZED bitNot(position),
    INDEX by_position (log_partition, position) TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(first)
PARTITION BY toYYYYMM(received_at)
ORDER BY (tenant_id, project_id, toDate(received_at), event, received_at, event_hash)
-- A committed batch must outlive a power cut; insert deduplication loses acknowledged rows when it is killed.
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0;
