-- Passkeys: public keys of people's authenticators (docs/adr/0031). Written by accounts alone.
SET LOCAL ROLE weir_owner;

CREATE TABLE passkey (
    id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES person,
    credential_id bytea NOT NULL UNIQUE CHECK (length(credential_id) BETWEEN 1 AND 1023),
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL CHECK (sign_count BETWEEN 0 AND 4294967295),
    backed_up boolean NOT NULL,
    transports text[] NOT NULL,
    name text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL,
    last_used_at timestamptz
);
COMMENT ON COLUMN passkey.public_key IS 'COSE algorithm as one byte (7: ES256, 8: EdDSA), then the key''s point';
COMMENT ON COLUMN passkey.sign_count IS 'of the last signature; 0 stays 0: the authenticator does not count';
CREATE INDEX ON passkey (person_id);

GRANT SELECT, INSERT, DELETE, UPDATE (sign_count, backed_up, last_used_at) ON passkey TO weir_api;

RESET ROLE;
