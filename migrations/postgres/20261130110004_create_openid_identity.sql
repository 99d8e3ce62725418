-- People who sign in through an OpenID provider (docs/adr/0032). Written by accounts alone.
SET LOCAL ROLE weir_owner;

ALTER TABLE person ALTER COLUMN password_hash DROP NOT NULL;
COMMENT ON COLUMN person.password_hash IS 'Argon2id, in the PHC form; NULL: signs in through an OpenID provider';

CREATE TABLE openid_identity (
    issuer text NOT NULL,
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    person_id uuid NOT NULL REFERENCES person,
    provider text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (issuer, subject)
);
COMMENT ON TABLE openid_identity IS 'who a provider''s subject is here; its address counts once, when it is linked';
CREATE INDEX ON openid_identity (person_id);

GRANT SELECT, INSERT, DELETE ON openid_identity TO weir_api;

RESET ROLE;
