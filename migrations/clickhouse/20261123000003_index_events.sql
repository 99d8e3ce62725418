-- For what people ask by: the client's time, a user, an event's id. Only parts that are written from now on have them,
-- older ones as they are merged.
ALTER TABLE events
    ADD INDEX IF NOT EXISTS by_timestamp timestamp TYPE minmax GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_user user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_anonymous anonymous_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ADD INDEX IF NOT EXISTS by_event_id event_id TYPE bloom_filter(0.01) GRANULARITY 1;
