-- Where the processors stand, and what they have counted. Written by processor, in one transaction a batch.
-- Tenants and projects come from log records here, and a record must never be able to stop a processor: so
-- nothing here refers to the directory's tables.

-- The one log that cursors, positions and usage belong to.
CREATE TABLE event_log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    identity text NOT NULL,
    partitions integer NOT NULL CHECK (partitions > 0)
);

CREATE TABLE partition_cursor (
    partition integer PRIMARY KEY CHECK (partition >= 0),
    next_offset bigint NOT NULL DEFAULT 0 CHECK (next_offset >= 0),
    epoch bigint NOT NULL DEFAULT 0,
    owner uuid,
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON COLUMN partition_cursor.next_offset IS 'the first log offset that is not stored and metered yet';
COMMENT ON COLUMN partition_cursor.epoch IS 'one more at each change of owner; a commit names it';

CREATE TABLE processor_node (
    id uuid PRIMARY KEY,
    lease_until timestamptz NOT NULL
);

CREATE TABLE usage_hour (
    tenant_id bigint NOT NULL,
    project_id bigint NOT NULL,
    meter text NOT NULL,
    period_start timestamptz NOT NULL,
    hour timestamptz NOT NULL CHECK (hour = date_trunc('hour', hour, 'UTC')),
    stored bigint NOT NULL CHECK (stored >= 0),
    duplicate bigint NOT NULL CHECK (duplicate >= 0),
    dead bigint NOT NULL CHECK (dead >= 0),
    PRIMARY KEY (tenant_id, project_id, meter, period_start, hour)
);
COMMENT ON COLUMN usage_hour.period_start IS 'start of the billing period, as ingest stamped it: where zones are half an hour off, an hour has events of two';
COMMENT ON COLUMN usage_hour.hour IS 'UTC hour of received_at';
COMMENT ON COLUMN usage_hour.stored IS 'billed';

-- Ranges of the log, without gap or overlap from the first offset to the cursor, with what became of their events.
CREATE TABLE batch_ledger (
    partition integer NOT NULL REFERENCES partition_cursor,
    lo bigint NOT NULL,
    hi bigint NOT NULL CHECK (hi > lo),
    stored bigint NOT NULL CHECK (stored >= 0),
    duplicate bigint NOT NULL CHECK (duplicate >= 0),
    dead bigint NOT NULL CHECK (dead >= 0),
    xor_hash bigint NOT NULL,
    PRIMARY KEY (partition, lo),
    UNIQUE (partition, hi)
);
COMMENT ON COLUMN batch_ledger.xor_hash IS 'exclusive or over the low 64 bits of the stored events'' hashes';

CREATE TABLE dead_letter (
    partition integer NOT NULL REFERENCES partition_cursor,
    position numeric(20) NOT NULL,
    tenant_id bigint,
    project_id bigint,
    received_at timestamptz,
    events bigint NOT NULL CHECK (events > 0),
    reason text NOT NULL,
    raw bytea NOT NULL,
    PRIMARY KEY (partition, position)
);
COMMENT ON COLUMN dead_letter.tenant_id IS 'NULL: the record could not be read so far as to know';
COMMENT ON COLUMN dead_letter.events IS 'how many accepted events this letter stands for; 1 where it can''t be known';
