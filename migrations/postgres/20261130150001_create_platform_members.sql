-- People of the platform: operators and support. They sign in on the operators' listener, with a second factor
-- (docs/adr/0027). Written by accounts alone.
SET LOCAL ROLE weir_owner;

CREATE TABLE platform_member (
    person_id uuid PRIMARY KEY REFERENCES person,
    role text NOT NULL CHECK (role IN ('operator', 'support')),
    created_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON platform_member TO weir_api;

ALTER TABLE person ADD COLUMN disabled_at timestamptz;
COMMENT ON COLUMN person.disabled_at IS 'since when the person can''t sign in; the audit says why';
-- Operators look for people by the beginning of an address.
CREATE INDEX ON person (email text_pattern_ops);

ALTER TABLE session ADD COLUMN realm text NOT NULL DEFAULT 'tenants' CHECK (realm IN ('tenants', 'platform'));
COMMENT ON COLUMN session.realm IS 'the listener on which it was opened, and is good: the tenants'' or the operators''';

-- Operators read the audit of all tenants, the newest first.
CREATE INDEX ON audit_entry (at, chain, seq);

RESET ROLE;
