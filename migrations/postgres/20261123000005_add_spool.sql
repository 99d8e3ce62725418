-- Ingest nodes on Kafka keep a spool on their disk for when Kafka is away. What a node accepted may stand there long
-- after the node is dead, so its leases are not settled before its spool is known to be drained.

ALTER TABLE ingest_node ADD COLUMN spool uuid;
CREATE INDEX ON ingest_node (spool);
COMMENT ON COLUMN ingest_node.spool IS 'the spool that may hold events of this node which are not in the log yet; NULL: none does';

COMMENT ON COLUMN quota_period.granted IS 'events used or leased out, less what came back; raised above the cap only by copies that are refunded as duplicates';
