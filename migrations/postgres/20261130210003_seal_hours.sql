-- What a tenant's closed hour holds, as a signed hash that nobody can change afterwards (docs/adr/0035).

SET LOCAL ROLE weir_owner;

CREATE TABLE evidence_key (
    id text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
    public_key bytea NOT NULL CHECK (octet_length(public_key) = 32),
    since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE evidence_key IS 'with which hours were sealed; nobody has these keys'' secrets from here';

CREATE TABLE hour_seal (
    tenant_id bigint NOT NULL,
    number bigint NOT NULL CHECK (number > 0),
    hour timestamptz NOT NULL,
    period_start timestamptz NOT NULL,
    events bigint NOT NULL CHECK (events > 0),
    quantity numeric(20) NOT NULL CHECK (quantity >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    ends bigint[] NOT NULL,
    previous bytea NOT NULL CHECK (octet_length(previous) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    key_id text NOT NULL REFERENCES evidence_key,
    signature bytea NOT NULL CHECK (octet_length(signature) = 64),
    sealed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, number)
);
COMMENT ON TABLE hour_seal IS
    'what was stored of a tenant''s hour; a further seal of the same hour is of late events alone';
COMMENT ON COLUMN hour_seal.ends IS 'by partition: the offset before which the sealed events stand';
COMMENT ON COLUMN hour_seal.previous IS 'the hash of the tenant''s seal before; zeros for the first';
-- Which hours are not sealed, and what a tenant's hours are sealed by.
CREATE INDEX ON hour_seal (hour, tenant_id, period_start);

SELECT isolate_tenants('hour_seal');
GRANT SELECT, INSERT ON hour_seal, evidence_key TO weir_processor;
GRANT SELECT ON hour_seal, evidence_key TO weir_api, weir_billing;

RESET ROLE;
