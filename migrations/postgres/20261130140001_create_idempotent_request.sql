-- What a POST with an Idempotency-Key was answered: written in the transaction of the change itself, kept for a day.
SET LOCAL ROLE weir_owner;

CREATE TABLE idempotent_request (
    -- SHA-256 of tenant, caller, route and key.
    id bytea PRIMARY KEY CHECK (length(id) = 32),
    -- NULL: an operator asked for something of no single tenant.
    tenant_id bigint REFERENCES tenant ON DELETE CASCADE,
    -- SHA-256 of what was asked for: the same key with another request is refused.
    request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
    -- Status, header and body, sealed: some replies show a secret.
    reply bytea NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at)
);
CREATE INDEX ON idempotent_request (expires_at);
CREATE INDEX ON idempotent_request (tenant_id);

SELECT isolate_tenants('idempotent_request');
GRANT SELECT, INSERT, UPDATE, DELETE ON idempotent_request TO weir_api;

RESET ROLE;
