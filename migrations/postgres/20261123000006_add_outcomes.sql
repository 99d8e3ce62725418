-- What became of each tenant's events at ingest, for the tenant to see. Written by billing's `outcomes`, which ingest
-- calls every few seconds with what it has counted so far, and deleted by billing when it is some days old.
-- Nothing here refers to the directory's tables: what is counted is not to wait for their locks.

CREATE TABLE outcome_minute (
    tenant_id bigint NOT NULL,
    minute timestamptz NOT NULL CHECK (minute = date_trunc('minute', minute, 'UTC')),
    project_id bigint NOT NULL,
    key_id bigint,
    outcome text NOT NULL CHECK (outcome <> ''),
    events bigint NOT NULL CHECK (events >= 0),
    requests bigint NOT NULL CHECK (requests >= 0),
    node_run uuid NOT NULL,
    UNIQUE NULLS NOT DISTINCT (tenant_id, minute, project_id, key_id, outcome, node_run)
) WITH (fillfactor = 70);
COMMENT ON TABLE outcome_minute IS 'a row grows for a minute, in the room that its page has left; then it stays';
COMMENT ON COLUMN outcome_minute.minute IS 'UTC minute in which the requests were received';
COMMENT ON COLUMN outcome_minute.key_id IS 'NULL: keys of the project for which a node had no room';
COMMENT ON COLUMN outcome_minute.outcome IS 'accepted, duplicate_of_request, no_reply, a problem''s code, or a warning';
COMMENT ON COLUMN outcome_minute.requests IS 'requests that were refused before their events were read: these events are in no row';
COMMENT ON COLUMN outcome_minute.node_run IS 'one run of an ingest process, which alone writes its rows';

-- For retention. Its entries repeat, so it is small.
CREATE INDEX ON outcome_minute (minute);
