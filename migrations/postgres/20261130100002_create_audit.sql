-- Who changed what. Written by accounts, in the transaction of each change. The API's role can add entries, and can
-- neither change nor delete one.
SET LOCAL ROLE weir_owner;

-- Nothing here refers to other tables: entries outlive what they are about.
CREATE TABLE audit_entry (
    chain bigint NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    tenant_id bigint CHECK (CASE WHEN chain < 0 THEN tenant_id IS NULL ELSE tenant_id = chain END),
    id uuid NOT NULL UNIQUE,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL CHECK (action <> ''),
    target text NOT NULL,
    before text,
    after text,
    address text,
    request_id uuid,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (chain, seq)
);
COMMENT ON COLUMN audit_entry.chain IS 'the tenant, or a negative number: one of the platform''s chains';
COMMENT ON COLUMN audit_entry.seq IS 'from 1, without a gap in its chain';
COMMENT ON COLUMN audit_entry.actor IS 'a person''s or token''s public id, operator or system';
COMMENT ON COLUMN audit_entry.before IS 'JSON as it was hashed, without secrets';
COMMENT ON COLUMN audit_entry.hash IS 'SHA-256 over all fields and the hash of the entry before';

CREATE TABLE audit_head (
    chain bigint PRIMARY KEY,
    tenant_id bigint CHECK (CASE WHEN chain < 0 THEN tenant_id IS NULL ELSE tenant_id = chain END),
    seq bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (length(hash) = 32)
);
COMMENT ON TABLE audit_head IS 'the last entry of each chain; locked by the transaction that adds one';

SELECT isolate_tenants('audit_entry');
SELECT isolate_tenants('audit_head');
GRANT SELECT, INSERT ON audit_entry TO weir_api;
GRANT SELECT, INSERT, UPDATE ON audit_head TO weir_api;

RESET ROLE;
