-- Row-level security: the role of the admin API sees rows of the tenant that its transaction names, and no others
-- (docs/adr/0024). A migration that makes a table with a `tenant_id` calls isolate_tenants on it.
SET LOCAL ROLE weir_owner;

CREATE FUNCTION isolate_tenants(target regclass, id_column name DEFAULT 'tenant_id') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    -- A setting that is not there is NULL, one that was there is '' afterwards: neither is any tenant's id.
    seen text := format('current_setting(''weir.tenant'', true) IN (%I::text, ''all'')', id_column);
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('CREATE POLICY own_tenant ON %s TO weir_api USING (%s) WITH CHECK (%s)', target, seen, seen);
    -- They work on batches of many tenants. GRANTs say which tables; a constant costs no row anything. The owner's is
    -- for later migrations: without it they would silently change no row.
    EXECUTE format(
        'CREATE POLICY every_tenant ON %s TO weir_ingest, weir_processor, weir_billing, weir_owner '
        'USING (true) WITH CHECK (true)',
        target
    );
END $$;
REVOKE EXECUTE ON FUNCTION isolate_tenants(regclass, name) FROM PUBLIC;

SELECT isolate_tenants('tenant', 'id');
SELECT isolate_tenants(name::regclass) FROM unnest(ARRAY[
    'project', 'api_key', 'usage_hour', 'dead_letter', 'quota_period', 'quota_lease', 'outcome_minute', 'erasure',
    'erased_hour'
]) AS name;

RESET ROLE;
