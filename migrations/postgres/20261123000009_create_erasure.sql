-- What is taken out of `events` on purpose: what a person has a right to see gone, and what a plan keeps no longer.
-- Admin-api asks for the former, processor for the latter and carries both out. Usage and batch ledger stay as they
-- are; the sums of what was taken out stand beside them, so that they can be compared with the rows for ever.

ALTER TABLE plan ADD COLUMN retention_days integer CHECK (retention_days BETWEEN 7 AND 36500);
COMMENT ON COLUMN plan.retention_days IS 'for how long events are kept, from their receipt; NULL: for ever';

CREATE SEQUENCE erasure_round;

CREATE TABLE erasure (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenant,
    project_id bigint,
    kind text NOT NULL CHECK (kind IN ('user', 'anonymous', 'event', 'retention')),
    subject text CHECK (subject <> ''),
    salt bytea,
    subject_hash bytea CHECK (length(subject_hash) = 32),
    before timestamptz,
    requested_at timestamptz NOT NULL DEFAULT now(),
    ends bigint[],
    round bigint,
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'deleting', 'done')),
    events bigint,
    dead_letters bigint,
    done_at timestamptz,
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id),
    CHECK ((kind = 'retention') = (before IS NOT NULL)),
    CHECK (kind = 'retention' OR subject IS NOT NULL OR state = 'done'),
    CHECK (state = 'requested' OR (ends IS NOT NULL AND round IS NOT NULL)),
    CHECK ((state = 'done') = (done_at IS NOT NULL))
);
COMMENT ON COLUMN erasure.project_id IS 'NULL: all projects of the tenant';
COMMENT ON COLUMN erasure.subject IS 'the user, anonymous or event id; NULL once the rows are gone';
COMMENT ON COLUMN erasure.subject_hash IS 'SHA-256 of salt, kind and subject: nothing may bring its events back out of the log; NULL once the log has none of them';
COMMENT ON COLUMN erasure.before IS 'of retention: events received before';
COMMENT ON COLUMN erasure.ends IS 'by partition: the end of the log after it was asked for; events before are erased, later ones are not';
COMMENT ON COLUMN erasure.round IS 'the last attempt to carry it out, together with others; rows that it counted are `erased_ids.round` in ClickHouse';
COMMENT ON COLUMN erasure.state IS 'deleting: counted in erased_range and erased_hour, and being deleted';
COMMENT ON COLUMN erasure.dead_letters IS 'dead letters of the tenant, at that time, in whose bytes the subject stands';

CREATE INDEX ON erasure (tenant_id, id);
CREATE INDEX ON erasure (round);
CREATE INDEX ON erasure (id) WHERE state <> 'done';
CREATE UNIQUE INDEX ON erasure (tenant_id) WHERE kind = 'retention' AND state <> 'done';

-- Rows of `events` that were taken out, by the batch ledger's ranges, whose `lo` stays when they grow.
CREATE TABLE erased_range (
    partition integer NOT NULL,
    lo bigint NOT NULL,
    round bigint NOT NULL,
    rows bigint NOT NULL CHECK (rows > 0),
    xor_hash bigint NOT NULL,
    PRIMARY KEY (partition, lo, round)
);
COMMENT ON COLUMN erased_range.xor_hash IS 'exclusive or over the low 64 bits of their hashes, as in batch_ledger';

-- The same rows, as usage counts them.
CREATE TABLE erased_hour (
    tenant_id bigint NOT NULL,
    project_id bigint NOT NULL,
    hour timestamptz NOT NULL,
    round bigint NOT NULL,
    rows bigint NOT NULL CHECK (rows > 0),
    PRIMARY KEY (tenant_id, project_id, hour, round)
);

-- Hours of `events_hourly` in ClickHouse that are computed, with what the books said just before: when they say something
-- else, the hour is computed anew.
CREATE SEQUENCE rollup_version;

CREATE TABLE rollup_hour (
    hour timestamptz PRIMARY KEY,
    stored bigint NOT NULL,
    erased bigint NOT NULL,
    version bigint NOT NULL
);
COMMENT ON COLUMN rollup_hour.stored IS 'sum of usage_hour.stored, which only grows; -1: to be computed anew';
COMMENT ON COLUMN rollup_hour.erased IS 'sum of erased_hour.rows, which only grows';
CREATE INDEX ON rollup_hour (hour) WHERE stored < 0;
CREATE INDEX ON erased_hour (hour);
CREATE INDEX ON erased_hour (round);
-- Its rows are updated by every batch, which leaves this index alone.
CREATE INDEX ON usage_hour (hour);
