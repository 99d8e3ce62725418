-- What deduplication knows of: where each stored event stands or stood. Conditions reach both tables' indexes.
CREATE VIEW IF NOT EXISTS known_ids AS
SELECT tenant_id, log_partition, position, project_id, event_hash, received_at FROM events
UNION ALL
SELECT tenant_id, log_partition, position, project_id, event_hash, received_at FROM erased_ids;
