-- What operators ask for over HTTP, and processors carry out: proofs and repairs. And what operators see of the river.
SET LOCAL ROLE weir_owner;

CREATE TABLE verification (
    id uuid PRIMARY KEY,
    mends boolean NOT NULL,
    asked_at timestamptz NOT NULL,
    asked_by text NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    claim uuid,
    claimed_until timestamptz NOT NULL DEFAULT '-infinity',
    begun_at timestamptz,
    ended_at timestamptz,
    holds boolean,
    result text CHECK (octet_length(result) <= 1048576),
    problem text,
    CHECK ((ended_at IS NULL) <= (holds IS NULL AND result IS NULL AND problem IS NULL)),
    CHECK ((holds IS NULL) = (result IS NULL)),
    CHECK ((ended_at IS NOT NULL) <= ((holds IS NULL) <> (problem IS NULL)))
);
COMMENT ON TABLE verification IS 'proofs that were asked for; accounts asks, a processor carries it out';
COMMENT ON COLUMN verification.mends IS 'what does not agree is repaired first';
COMMENT ON COLUMN verification.claim IS 'of the attempt under way: what ends it must name it';
COMMENT ON COLUMN verification.claimed_until IS 'until then a processor is at it, and nobody else begins';
COMMENT ON COLUMN verification.holds IS 'whether everything agrees; NULL: that could not be found out';
COMMENT ON COLUMN verification.result IS 'JSON: the verdict, and what a repair has done';
-- One at a time.
CREATE UNIQUE INDEX verification_open ON verification ((true)) WHERE ended_at IS NULL;
CREATE INDEX verification_asked ON verification (asked_at, id);

GRANT SELECT, INSERT, DELETE ON verification TO weir_api;
GRANT SELECT, UPDATE ON verification TO weir_processor;

-- Dead letters, over all tenants.
CREATE INDEX dead_letter_tenant ON dead_letter (tenant_id, partition, position);
GRANT SELECT, UPDATE (state, replay_asked_at, discarded_at, raw) ON dead_letter TO weir_api;

-- To look at.
GRANT SELECT ON reconciliation, reconciled_partition, mismatched_range, processor_node, ingest_node, quota_lease
    TO weir_api;

RESET ROLE;
