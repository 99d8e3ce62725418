-- What becomes of mails, to whom none is sent, and where the audit's chains stood (docs/adr/0026).
SET LOCAL ROLE weir_owner;

ALTER TABLE outbox
    ADD COLUMN dropped_at timestamptz,
    ADD COLUMN dropped_why text,
    ADD CHECK ((dropped_at IS NULL) = (dropped_why IS NULL)),
    ADD CHECK (sent_at IS NULL OR dropped_at IS NULL);
COMMENT ON COLUMN outbox.dropped_at IS 'when it was found that it is not to be sent: too old, or nobody wants it';
CREATE INDEX outbox_sent ON outbox (recipient, sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX outbox_made ON outbox (created_at, id);
GRANT UPDATE (dropped_at, dropped_why), DELETE ON outbox TO weir_api;

CREATE TABLE mail_suppression (
    address text NOT NULL CHECK (address = lower(address)),
    scope text NOT NULL CHECK (scope IN ('all', 'optional')),
    reason text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (address, scope)
);
COMMENT ON TABLE mail_suppression IS 'to whom no mails are sent';
COMMENT ON COLUMN mail_suppression.scope IS 'optional: only what nobody needs, as an invitation';
CREATE INDEX ON mail_suppression (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON mail_suppression TO weir_api;

CREATE TABLE audit_anchor (
    chain bigint NOT NULL,
    tenant_id bigint CHECK (CASE WHEN chain < 0 THEN tenant_id IS NULL ELSE tenant_id = chain END),
    seq bigint NOT NULL CHECK (seq > 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    at timestamptz NOT NULL,
    PRIMARY KEY (chain, seq)
);
COMMENT ON TABLE audit_anchor IS 'where a chain stood on a day: an entry before that is neither changed nor cut off';
SELECT isolate_tenants('audit_anchor');
-- The API's role can neither change nor delete an anchor.
GRANT SELECT, INSERT ON audit_anchor TO weir_api;

-- What has expired is deleted.
GRANT DELETE ON session, invitation TO weir_api;
CREATE INDEX ON session (last_seen_at);
CREATE INDEX ON known_device (last_used_at);

-- Mails of the version before wait without a job.
INSERT INTO job (kind, payload, key, due_at)
SELECT 'mail.send', format('{"mail":"%s"}', id), id::text, now() FROM outbox WHERE sent_at IS NULL;

RESET ROLE;
