-- Events by UTC hour of receipt, for dashboards. Computed from `events` by hours, and as often as they change: read it
-- with FINAL, which keeps the newest version of each row.
CREATE TABLE IF NOT EXISTS events_hourly (
    tenant_id Int64,
    project_id Int64,
    hour DateTime('UTC'),
    event LowCardinality(String),
    events UInt64,
    users AggregateFunction(uniqIf, String, UInt8),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYear(hour)
ORDER BY (tenant_id, project_id, hour, event)
SETTINGS non_replicated_deduplication_window = 0;
