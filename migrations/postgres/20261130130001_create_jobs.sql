-- Work that is done later, and what comes again and again (docs/adr/0026). Written by the crate `jobs`. Nothing here is
-- a tenant's: a payload names things by their ids.
SET LOCAL ROLE weir_owner;

CREATE TABLE job (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind <> ''),
    payload text NOT NULL CHECK (octet_length(payload) <= 65536),
    key text CHECK (octet_length(key) BETWEEN 1 AND 256),
    due_at timestamptz NOT NULL,
    claim uuid,
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    last_error text,
    dead_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (claim IS NULL OR dead_at IS NULL)
);
COMMENT ON TABLE job IS 'open and dead jobs; one that is done is deleted';
COMMENT ON COLUMN job.payload IS 'JSON, as its kind reads it';
COMMENT ON COLUMN job.key IS 'of the open jobs of a kind, one at most has this key';
COMMENT ON COLUMN job.due_at IS 'when it may be claimed; while it runs: when its lease ends';
COMMENT ON COLUMN job.claim IS 'of the run under way, made by each claim: what ends the job must name it';
COMMENT ON COLUMN job.dead_at IS 'when it was given up';
-- Claims look for the oldest of a kind. One that runs stands here too, at the end of its lease: a crash needs no sweep.
CREATE INDEX job_due ON job (kind, due_at) WHERE dead_at IS NULL;
CREATE UNIQUE INDEX job_key ON job (kind, key) WHERE dead_at IS NULL;
CREATE INDEX job_dead ON job (kind, dead_at) WHERE dead_at IS NOT NULL;
CREATE INDEX job_made ON job (created_at, id);

CREATE FUNCTION announce_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A schedule that is not due inserts no row, each second, on every node.
    IF EXISTS (SELECT FROM made) THEN
        PERFORM pg_notify('weir_job', '');
    END IF;
    RETURN NULL;
END $$;
-- One that comes later is found by the look that every worker takes each second.
CREATE TRIGGER announce AFTER INSERT ON job REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION announce_job();

CREATE TABLE job_schedule (
    name text PRIMARY KEY CHECK (name <> ''),
    due_at timestamptz NOT NULL,
    fired_at timestamptz
);
COMMENT ON TABLE job_schedule IS 'when each schedule comes next; the kind of its jobs has its name';

GRANT SELECT, INSERT, UPDATE, DELETE ON job TO weir_api;
GRANT SELECT, INSERT, UPDATE ON job_schedule TO weir_api;

RESET ROLE;
