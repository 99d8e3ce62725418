-- How much of a client's address events carry. Ingest applies it before the log.
ALTER TABLE tenant
    ADD COLUMN client_ip text NOT NULL DEFAULT 'full' CHECK (client_ip IN ('full', 'truncated', 'none'));
COMMENT ON COLUMN tenant.client_ip IS 'full; truncated: 24 bits of IPv4, 48 of IPv6; none';
