-- Dead letters can be looked at, replayed and given up; how many there may be; what reconciliation has seen.

ALTER TABLE partition_cursor ADD COLUMN dead_forgiven_below bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN partition_cursor.dead_forgiven_below IS 'dead events at offsets before it do not count against the budget of dead events';

ALTER TABLE dead_letter
    ADD COLUMN state text NOT NULL DEFAULT 'dead' CHECK (state IN ('dead', 'asked', 'replayed', 'discarded')),
    ADD COLUMN events_before integer NOT NULL DEFAULT 0 CHECK (events_before >= 0),
    ADD COLUMN appended_at timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN died_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN replay_asked_at timestamptz,
    ADD COLUMN replayed_at timestamptz,
    ADD COLUMN discarded_at timestamptz,
    ADD COLUMN stored bigint NOT NULL DEFAULT 0 CHECK (stored >= 0),
    ADD COLUMN duplicate bigint NOT NULL DEFAULT 0 CHECK (duplicate >= 0),
    ADD COLUMN more_at integer CHECK (more_at BETWEEN 32768 AND 65535),
    ADD COLUMN more_events integer NOT NULL DEFAULT 0 CHECK (more_events >= 0),
    ADD COLUMN stored_events bytea NOT NULL DEFAULT '',
    ADD CHECK ((state = 'asked') <= (replay_asked_at IS NOT NULL)),
    ADD CHECK ((state = 'replayed') = (replayed_at IS NOT NULL)),
    ADD CHECK ((state = 'discarded') = (discarded_at IS NOT NULL));
COMMENT ON COLUMN dead_letter.state IS 'asked: the owner of the partition is to replay it';
COMMENT ON COLUMN dead_letter.events_before IS 'events of the same frame that could be read, and stand at positions of their own';
COMMENT ON COLUMN dead_letter.appended_at IS 'the time of its log record';
COMMENT ON COLUMN dead_letter.stored IS 'of its events, once it is replayed';
COMMENT ON COLUMN dead_letter.more_at IS 'index, within the log record, of its second event once that is known; the first stands at the letter''s position';
COMMENT ON COLUMN dead_letter.stored_events IS 'a bit for each event, the lowest of the first byte first: 1, it was stored; 0, a duplicate';

-- Letters from before could not tell; the envelope says how many events the frame has.
UPDATE dead_letter SET events_before = greatest(0, get_byte(raw, 2) + 256 * get_byte(raw, 3) - events)
WHERE tenant_id IS NOT NULL AND length(raw) > 3;

CREATE INDEX dead_letter_asked ON dead_letter (partition, position) WHERE state = 'asked';
CREATE INDEX dead_letter_open ON dead_letter (partition, appended_at) WHERE state IN ('dead', 'asked');

-- Rows of ClickHouse against the batch ledger, hour by hour.
CREATE TABLE reconciliation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    ended_at timestamptz
);
COMMENT ON COLUMN reconciliation.ended_at IS 'when the last run ended that could compare all that it was to; NULL: none has';
INSERT INTO reconciliation DEFAULT VALUES;

CREATE TABLE reconciled_partition (
    partition integer PRIMARY KEY REFERENCES partition_cursor,
    new_to bigint NOT NULL DEFAULT 0,
    old_to bigint NOT NULL DEFAULT 0
);
COMMENT ON COLUMN reconciled_partition.new_to IS 'every ledger range that ends at or before it was compared since it was committed';
COMMENT ON COLUMN reconciled_partition.old_to IS 'where the comparison of older ranges, which begins anew again and again, goes on';

CREATE TABLE mismatched_range (
    partition integer NOT NULL REFERENCES partition_cursor,
    lo bigint NOT NULL,
    hi bigint NOT NULL,
    detail text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, lo)
);
COMMENT ON TABLE mismatched_range IS 'ledger ranges whose rows did not agree with the ledger when reconciliation last looked';
