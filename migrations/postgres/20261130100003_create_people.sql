-- People, what they may do in tenants, and how they show who they are (docs/adr/0025). Written by accounts alone.
-- No secret stands here in the clear: those with 256 random bits as SHA-256, passwords as Argon2id, what must be read
-- again sealed under a key that is not in the database.
SET LOCAL ROLE weir_owner;

-- What people see of a tenant and a project. Apart from ingest's tables: a customer who renames a thing takes no lock
-- that the directory's other writers wait for.
CREATE TABLE tenant_profile (
    tenant_id bigint PRIMARY KEY REFERENCES tenant,
    public_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    title text NOT NULL CHECK (title <> '')
);
COMMENT ON COLUMN tenant_profile.title IS 'what its people call it; tenant.name is its slug';

CREATE TABLE project_profile (
    tenant_id bigint NOT NULL,
    project_id bigint NOT NULL,
    public_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    PRIMARY KEY (tenant_id, project_id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id)
);

INSERT INTO tenant_profile (tenant_id, title) SELECT id, name FROM tenant;
INSERT INTO project_profile (tenant_id, project_id) SELECT tenant_id, id FROM project;

CREATE TABLE person (
    id uuid PRIMARY KEY,
    email text NOT NULL UNIQUE CHECK (email = lower(email)),
    name text NOT NULL CHECK (name <> ''),
    password_hash text NOT NULL,
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN person.email IS 'shown to be the person''s: nobody is here before that';
COMMENT ON COLUMN person.password_hash IS 'Argon2id, in the PHC form';

CREATE TABLE member_role (
    tenant_id bigint NOT NULL REFERENCES tenant,
    id uuid NOT NULL,
    name text NOT NULL CHECK (name <> ''),
    permissions text[] NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name)
);

CREATE TABLE membership (
    tenant_id bigint NOT NULL REFERENCES tenant,
    id uuid NOT NULL,
    person_id uuid NOT NULL REFERENCES person,
    built_in text CHECK (built_in IN ('owner', 'admin', 'developer', 'billing', 'viewer')),
    custom uuid,
    limited boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, person_id),
    FOREIGN KEY (tenant_id, custom) REFERENCES member_role (tenant_id, id),
    CHECK ((built_in IS NULL) <> (custom IS NULL)),
    CHECK (NOT (limited AND built_in = 'owner'))
);
COMMENT ON COLUMN membership.limited IS 'to the projects in membership_project, also when these are none';
CREATE INDEX ON membership (person_id);

CREATE TABLE membership_project (
    tenant_id bigint NOT NULL,
    membership_id uuid NOT NULL,
    project_id bigint NOT NULL,
    PRIMARY KEY (tenant_id, membership_id, project_id),
    FOREIGN KEY (tenant_id, membership_id) REFERENCES membership (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id)
);

CREATE TABLE invitation (
    tenant_id bigint NOT NULL REFERENCES tenant,
    id uuid NOT NULL,
    email text NOT NULL CHECK (email = lower(email)),
    built_in text CHECK (built_in IN ('admin', 'developer', 'billing', 'viewer')),
    custom uuid,
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    invited_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, custom) REFERENCES member_role (tenant_id, id),
    CHECK ((built_in IS NULL) <> (custom IS NULL)),
    CHECK (accepted_at IS NULL OR revoked_at IS NULL)
);
CREATE UNIQUE INDEX ON invitation (tenant_id, email) WHERE accepted_at IS NULL AND revoked_at IS NULL;

CREATE TABLE session (
    id uuid PRIMARY KEY,
    person_id uuid NOT NULL REFERENCES person,
    current_tenant bigint REFERENCES tenant,
    user_agent text NOT NULL,
    address text,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_why text,
    CHECK ((ended_at IS NULL) = (ended_why IS NULL))
);
COMMENT ON COLUMN session.current_tenant IS 'which tenant the next access token is for; the session is the person''s';
CREATE INDEX ON session (person_id) WHERE ended_at IS NULL;

CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    session_id uuid NOT NULL REFERENCES session ON DELETE CASCADE,
    created_at timestamptz NOT NULL,
    superseded_at timestamptz
);
-- The newest of a family is the only one that can be exchanged.
CREATE UNIQUE INDEX ON refresh_token (session_id) WHERE superseded_at IS NULL;
CREATE INDEX ON refresh_token (session_id);

CREATE TABLE one_time_token (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    purpose text NOT NULL CHECK (purpose IN ('register', 'reset_password', 'challenge')),
    person_id uuid REFERENCES person,
    payload text,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
COMMENT ON COLUMN one_time_token.payload IS 'of register: who asked, as JSON, the password as its hash';
CREATE INDEX ON one_time_token (expires_at);
CREATE INDEX ON one_time_token (person_id);

CREATE TABLE second_factor (
    person_id uuid PRIMARY KEY REFERENCES person,
    sealed_secret bytea NOT NULL,
    confirmed_at timestamptz,
    last_step bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL
);
COMMENT ON COLUMN second_factor.last_step IS 'the 30 s step of the last code that was taken; none up to it is taken';

CREATE TABLE recovery_code (
    person_id uuid NOT NULL REFERENCES person,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    used_at timestamptz,
    PRIMARY KEY (person_id, hash)
);

CREATE TABLE known_device (
    hash bytea PRIMARY KEY CHECK (length(hash) = 32),
    person_id uuid NOT NULL REFERENCES person,
    last_used_at timestamptz NOT NULL
);
CREATE INDEX ON known_device (person_id);

CREATE TABLE attempt (
    key bytea PRIMARY KEY CHECK (length(key) = 32),
    failures integer NOT NULL CHECK (failures > 0),
    last_at timestamptz NOT NULL,
    open_at timestamptz NOT NULL
);
COMMENT ON TABLE attempt IS 'an attempt is counted before it is looked at, and taken back when it succeeds';
COMMENT ON COLUMN attempt.key IS 'SHA-256 of what is guessed at, or of the device or source that guesses';
COMMENT ON COLUMN attempt.open_at IS 'when the next attempt is looked at';
CREATE INDEX ON attempt (last_at);

CREATE TABLE machine_token (
    tenant_id bigint NOT NULL REFERENCES tenant,
    id uuid NOT NULL,
    name text NOT NULL CHECK (name <> ''),
    hash bytea NOT NULL UNIQUE CHECK (length(hash) = 32),
    permissions text[] NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

-- Keys that sign access tokens: at most one that signs, and one that will.
CREATE TABLE signing_key (
    kid text PRIMARY KEY,
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    sealed_private_key bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('next', 'current', 'retired')),
    created_at timestamptz NOT NULL,
    current_since timestamptz,
    retired_at timestamptz
);
CREATE UNIQUE INDEX ON signing_key (state) WHERE state <> 'retired';

-- Mails to be sent. A later step sends them.
CREATE TABLE outbox (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    recipient text NOT NULL,
    sealed_body bytea NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at timestamptz
);
COMMENT ON COLUMN outbox.sealed_body IS 'what the template needs, as JSON, sealed: a link in it lets somebody in';
CREATE INDEX ON outbox (created_at) WHERE sent_at IS NULL;

SELECT isolate_tenants(name::regclass) FROM unnest(ARRAY[
    'tenant_profile', 'project_profile', 'member_role', 'membership', 'membership_project', 'invitation',
    'machine_token'
]) AS name;

GRANT SELECT, INSERT, UPDATE ON tenant_profile, person, membership, member_role, invitation, session, one_time_token,
    second_factor, recovery_code, known_device, attempt, machine_token, signing_key TO weir_api;
GRANT SELECT, INSERT ON project_profile, membership_project, outbox TO weir_api;
GRANT UPDATE (sent_at, sealed_body) ON outbox TO weir_api;
GRANT SELECT, INSERT, UPDATE (superseded_at) ON refresh_token TO weir_api;
GRANT DELETE ON membership, membership_project, member_role, one_time_token, second_factor, recovery_code, known_device,
    attempt TO weir_api;

RESET ROLE;
