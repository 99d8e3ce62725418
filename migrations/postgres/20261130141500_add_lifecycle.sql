-- Tenants that are deleted, restored, closed and erased; projects that are renamed, archived and deleted; names of
-- keys; and memberships that are limited to some projects.
SET LOCAL ROLE weir_owner;

ALTER TABLE tenant DROP CONSTRAINT tenant_status_check;
ALTER TABLE tenant ADD CONSTRAINT tenant_status_check
    CHECK (status IN ('active', 'frozen', 'closed', 'deleted', 'erased'));
COMMENT ON COLUMN tenant.status IS 'ingest lets in active ones alone; schemas/src/lifecycle.rs has the transitions';

-- A customer who renames a tenant takes no lock that the directory's other writers wait for: ingest knows no names. A
-- column of tenant that is added later has to be named here, unless ingest does not know it either.
DROP TRIGGER stamp ON tenant;
DROP TRIGGER notify ON tenant;
CREATE TRIGGER stamp
    BEFORE INSERT OR UPDATE OF id, plan_id, quota, rate, time_zone, status, created_at, client_ip, change ON tenant
    FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER notify
    AFTER INSERT OR UPDATE OF id, plan_id, quota, rate, time_zone, status, created_at, client_ip, change ON tenant
    FOR EACH STATEMENT EXECUTE FUNCTION notify_change();

ALTER TABLE tenant_profile ADD COLUMN deleted_at timestamptz, ADD COLUMN erased_at timestamptz;
COMMENT ON COLUMN tenant_profile.deleted_at IS 'since when it is deleted; 30 days later it is erased';
CREATE INDEX ON tenant_profile (deleted_at) WHERE deleted_at IS NOT NULL AND erased_at IS NULL;

ALTER TABLE project_profile ADD COLUMN archived_at timestamptz, ADD COLUMN deleted_at timestamptz;
COMMENT ON COLUMN project_profile.archived_at IS 'since when it takes no new keys';
COMMENT ON COLUMN project_profile.deleted_at IS 'since when it is gone for its people; its events and its usage stay';
GRANT UPDATE ON project_profile TO weir_api;

ALTER TABLE erasure ADD COLUMN public_id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid();

-- What people see of a key; api_key stays ingest's.
ALTER TABLE api_key ADD UNIQUE (tenant_id, id);
CREATE TABLE key_profile (
    tenant_id bigint NOT NULL,
    project_id bigint NOT NULL,
    key_id bigint NOT NULL,
    name text NOT NULL,
    created_by text NOT NULL,
    replaced_by bigint,
    PRIMARY KEY (tenant_id, key_id),
    FOREIGN KEY (tenant_id, key_id) REFERENCES api_key (tenant_id, id),
    FOREIGN KEY (tenant_id, replaced_by) REFERENCES api_key (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES project (tenant_id, id)
);
COMMENT ON COLUMN key_profile.name IS 'what people call it; empty: nothing';
COMMENT ON COLUMN key_profile.replaced_by IS 'the key that a rotation made in its place';
SELECT isolate_tenants('key_profile');
GRANT SELECT, INSERT, UPDATE ON key_profile TO weir_api;

-- A role is deleted with the closed invitations that name it.
CREATE INDEX ON membership (tenant_id, custom) WHERE custom IS NOT NULL;
CREATE INDEX ON invitation (tenant_id, custom) WHERE custom IS NOT NULL;
GRANT DELETE ON invitation TO weir_api;
CREATE INDEX ON session (current_tenant) WHERE ended_at IS NULL;

-- A tenant's usage of some days.
CREATE INDEX ON usage_hour (tenant_id, hour);

-- Within its tenant, a transaction sees the projects that it names, or `all`. A setting that is missing names none, and
-- so does an empty one. What belongs to no single project is seen by those who see all.
CREATE FUNCTION isolate_projects(target regclass, id_column name DEFAULT 'project_id') RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    setting text := 'current_setting(''weir.projects'', true)';
    seen text := format('%s = ''all'' OR %I::text = ANY (string_to_array(%s, '',''))', setting, id_column, setting);
BEGIN
    EXECUTE format(
        'CREATE POLICY own_projects ON %s AS RESTRICTIVE TO weir_api USING (%s) WITH CHECK (%s)', target, seen, seen
    );
END $$;
REVOKE EXECUTE ON FUNCTION isolate_projects(regclass, name) FROM PUBLIC;

SELECT isolate_projects('project', 'id');
SELECT isolate_projects(name::regclass) FROM unnest(ARRAY[
    'project_profile', 'api_key', 'key_profile', 'usage_hour', 'dead_letter', 'outcome_minute', 'erasure', 'erased_hour'
]) AS name;

-- Erases what Postgres has of a tenant that was deleted before `deleted_before`, except for figures that are proved:
-- usage, quota, what was erased of it, and dead letters, which processors discard. The API's role calls it, and has
-- none of its rights otherwise. A table with a `tenant_id` that is made later is named here, or in the list of those
-- that stay in admin-api/accounts/tests/it/erased.rs.
CREATE FUNCTION erase_tenant(erased bigint, deleted_before timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM FROM tenant t JOIN tenant_profile p ON p.tenant_id = t.id
    WHERE t.id = erased AND t.status = 'deleted' AND p.deleted_at < deleted_before FOR UPDATE OF t;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE session SET current_tenant = NULL WHERE current_tenant = erased;
    DELETE FROM membership WHERE tenant_id = erased;
    DELETE FROM invitation WHERE tenant_id = erased;
    DELETE FROM member_role WHERE tenant_id = erased;
    DELETE FROM machine_token WHERE tenant_id = erased;
    DELETE FROM key_profile WHERE tenant_id = erased;
    DELETE FROM outcome_minute WHERE tenant_id = erased;
    DELETE FROM audit_entry WHERE tenant_id = erased;
    DELETE FROM audit_head WHERE tenant_id = erased;
    DELETE FROM audit_anchor WHERE tenant_id = erased;
    UPDATE api_key SET revoked_at = now() WHERE tenant_id = erased AND revoked_at IS NULL;
    -- Names that no customer can have: no project is called as a number, and no slug has an underscore.
    UPDATE project SET name = id::text WHERE tenant_id = erased;
    UPDATE tenant_profile SET title = 'erased', erased_at = now() WHERE tenant_id = erased;
    UPDATE tenant SET name = 'erased_' || id, status = 'erased' WHERE id = erased;
    RETURN true;
END $$;
-- It works with its owner's rights: a caller's temporary table must not take the place of one of these.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION erase_tenant(bigint, timestamptz) SET search_path = %I, pg_temp', current_schema()
    );
END $$;
REVOKE EXECUTE ON FUNCTION erase_tenant(bigint, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_tenant(bigint, timestamptz) TO weir_api;

RESET ROLE;
