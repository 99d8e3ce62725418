-- What people set for themselves. Written by accounts alone (docs/adr/0025).
SET LOCAL ROLE weir_owner;

ALTER TABLE session ADD COLUMN country text CHECK (length(country) = 2);
COMMENT ON COLUMN session.country IS 'of the address at the sign-in, by the geo database, if there is one';

ALTER TABLE one_time_token DROP CONSTRAINT one_time_token_purpose_check;
ALTER TABLE one_time_token ADD CONSTRAINT one_time_token_purpose_check CHECK (purpose IN (
    'register', 'reset_password', 'challenge', 'change_email', 'add_passkey', 'passkey_login', 'link_openid'));
COMMENT ON COLUMN one_time_token.payload IS
    'register: who asked, as JSON, the password as its hash; change_email: the new address; link_openid: the identity';

-- Absence of a row: the person wants these mails.
CREATE TABLE muted_mail (
    person_id uuid NOT NULL REFERENCES person,
    topic text NOT NULL CHECK (topic IN ('usage', 'billing', 'product')),
    PRIMARY KEY (person_id, topic)
);
COMMENT ON TABLE muted_mail IS 'mails that a person does not want; those on security can''t be turned off';

GRANT SELECT, INSERT, DELETE ON muted_mail TO weir_api;

RESET ROLE;
