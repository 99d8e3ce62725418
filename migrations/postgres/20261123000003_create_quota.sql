-- What tenants may still send. Written by billing, which ingest and processor call as a library.

CREATE TABLE ingest_node (
    id uuid PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    ends bigint[]
);
COMMENT ON TABLE ingest_node IS 'one row for each run of an ingest process; gone when its leases are settled';
COMMENT ON COLUMN ingest_node.lease_until IS 'until when the node may spend its leases without another heartbeat';
COMMENT ON COLUMN ingest_node.ends IS 'by partition: the end of the log after lease_until had passed; its events stand before';

CREATE TABLE quota_period (
    tenant_id bigint NOT NULL,
    period_start timestamptz NOT NULL,
    granted bigint NOT NULL DEFAULT 0 CHECK (granted >= 0),
    PRIMARY KEY (tenant_id, period_start)
);
COMMENT ON COLUMN quota_period.granted IS 'events used or leased out, less what came back; never raised above the cap';

CREATE TABLE quota_lease (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node_id uuid NOT NULL REFERENCES ingest_node,
    tenant_id bigint NOT NULL,
    period_start timestamptz NOT NULL,
    granted bigint NOT NULL CHECK (granted >= 0),
    processed bigint NOT NULL DEFAULT 0 CHECK (processed >= 0),
    UNIQUE (node_id, tenant_id, period_start),
    FOREIGN KEY (tenant_id, period_start) REFERENCES quota_period
);
COMMENT ON COLUMN quota_lease.granted IS 'events that the node may accept in all, less what it gave back';
COMMENT ON COLUMN quota_lease.processed IS 'accepted events under this lease that the processors have come by';
