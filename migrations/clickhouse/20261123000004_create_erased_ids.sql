-- Where events stood that were erased, and their ids' hashes: exactly these rows are deleted from `events`, and a repeated
-- id stays a duplicate for the whole dedup window. A round may write a position twice; readers count each once.
CREATE TABLE IF NOT EXISTS erased_ids (
    round Int64,
    erasure Int64,
    tenant_id Int64,
    project_id Int64,
    event_hash UInt128,
    received_at DateTime64(6, 'UTC'),
    log_partition UInt32,
    position UInt64 CODEC(Delta, ZSTD(1)),
    noted_at DateTime('UTC') DEFAULT now(),
    INDEX by_position (log_partition, position) TYPE minmax GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(noted_at)
ORDER BY (round, log_partition, position)
-- The longest dedup window is 400 days, from a receipt that came before.
TTL noted_at + INTERVAL 401 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 0, ttl_only_drop_parts = 1;
