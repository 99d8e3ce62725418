-- Dead letters are replayed by appending their events to the log again (docs/adr/0023). What kept their events at their
-- old positions goes.

SET LOCAL ROLE weir_owner;

-- A processor of the version before may be at a letter: there may be rows of it that no ledger counts yet. It ends that
-- within a second or so, or makes the letter dead again.
LOCK TABLE dead_letter IN ACCESS EXCLUSIVE MODE;
DO $$
BEGIN
    IF EXISTS (SELECT FROM dead_letter WHERE state = 'asked') THEN
        RAISE EXCEPTION 'dead letters wait for their replay: let a processor of the version before do it '
            '(weir dead list --state asked shows none then), and migrate again';
    END IF;
END $$;

-- Letters that were replayed where they stood: the ledgers count there what became of each event. So the letter stands
-- for as many, and for the hour in which its frame says that it was received.
ALTER TABLE dead_letter DROP CONSTRAINT dead_letter_events_check;
UPDATE dead_letter SET events = stored + duplicate, raw = '', received_at = coalesce(received_at, CASE
    WHEN length(raw) >= 76 AND get_byte(raw, 0) IN (1, 3) THEN 'epoch'::timestamptz + interval '1 microsecond' * (
        SELECT sum(get_byte(raw, CASE get_byte(raw, 0) WHEN 1 THEN 44 ELSE 68 END + n) * 256::numeric ^ n)::float8
        FROM generate_series(0, 7) AS n) END)
WHERE state = 'replayed';

ALTER TABLE dead_letter
    DROP COLUMN stored,
    DROP COLUMN duplicate,
    DROP COLUMN more_at,
    DROP COLUMN more_events,
    DROP COLUMN stored_events,
    ADD CHECK (events >= 0),
    ADD COLUMN copies bigint NOT NULL DEFAULT 0 CHECK (copies >= 0),
    ADD COLUMN claimed_until timestamptz NOT NULL DEFAULT '-infinity';
COMMENT ON COLUMN dead_letter.state IS 'asked: a processor is to append its events to the log again; replayed: it has';
COMMENT ON COLUMN dead_letter.raw IS 'its whole frame; nothing once it is replayed or discarded';
COMMENT ON COLUMN dead_letter.copies IS
    'events that its replay appended to the log; 0 for one that was replayed where it stood, by a version before';
COMMENT ON COLUMN dead_letter.claimed_until IS
    'until then a processor may be appending its events, and nobody else does';

RESET ROLE;
