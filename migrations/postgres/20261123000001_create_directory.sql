-- Who may send what: plans, tenants, projects, keys. Written by admin-api and by operators' SQL; read by ingest,
-- which holds all of it in memory.

-- Every row carries the number of the change that wrote it last, and readers ask for what is newer than the
-- newest number they have seen. That is only right if numbers become visible in their order: the lock, held
-- until the transaction's end, makes writers take turns.
CREATE SEQUENCE change_number;

CREATE FUNCTION stamp_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('weir.change_number'));
    NEW.change := nextval('change_number');
    RETURN NEW;
END $$;

CREATE FUNCTION notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('weir_change', '');
    RETURN NULL;
END $$;

-- A deleted row has no number that a reader could see, so rows of the directory stay.
CREATE FUNCTION refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are not deleted: freeze the tenant or revoke the key instead', TG_TABLE_NAME;
END $$;

CREATE TABLE plan (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    quota bigint CHECK (quota >= 0),
    rate bigint CHECK (rate BETWEEN 1 AND 1000000000),
    change bigint NOT NULL
);
COMMENT ON COLUMN plan.quota IS 'events a period; NULL: no cap';
COMMENT ON COLUMN plan.rate IS 'events a second; NULL: no limit';

CREATE TABLE tenant (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> ''),
    plan_id bigint NOT NULL REFERENCES plan,
    quota bigint CHECK (quota >= 0),
    rate bigint CHECK (rate BETWEEN 1 AND 1000000000),
    time_zone text NOT NULL DEFAULT 'UTC',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'frozen')),
    created_at timestamptz NOT NULL DEFAULT now(),
    change bigint NOT NULL
);
COMMENT ON COLUMN tenant.quota IS 'events a period, instead of the plan''s; NULL: the plan''s';
COMMENT ON COLUMN tenant.rate IS 'events a second, instead of the plan''s; NULL: the plan''s';
COMMENT ON COLUMN tenant.time_zone IS 'IANA name; billing periods begin at midnight of the first of the month there';

CREATE TABLE project (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenant,
    name text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
);

CREATE TABLE api_key (
    id bigint PRIMARY KEY CHECK (id >= 0),
    tenant_id bigint NOT NULL,
    project_id bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    change bigint NOT NULL,
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id)
);
COMMENT ON COLUMN api_key.hash IS 'SHA-256 of the whole key';

DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['plan', 'tenant', 'api_key'] LOOP
        EXECUTE format('CREATE INDEX ON %I (change)', t);
        EXECUTE format('CREATE TRIGGER stamp BEFORE INSERT OR UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION stamp_change()', t);
        EXECUTE format('CREATE TRIGGER notify AFTER INSERT OR UPDATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION notify_change()', t);
        EXECUTE format('CREATE TRIGGER keep BEFORE DELETE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_delete()', t);
    END LOOP;
END $$;
CREATE INDEX ON tenant (plan_id);
CREATE INDEX ON api_key (tenant_id, project_id);

INSERT INTO plan (name, quota, rate) VALUES
    ('developer', 10000000, NULL),
    ('unlimited', NULL, NULL);
