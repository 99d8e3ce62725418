-- Database roles: each process writes only what is its own. A process logs in as whoever DATABASE_URL names, who is a
-- superuser or a member of these roles, and becomes its role on every connection (SET ROLE). With a URL of its own a
-- process needs to be a member of its role alone.
--
-- A table that is made later says, as is done here, who may read and write it: what is not granted is refused. A later
-- migration begins with SET LOCAL ROLE weir_owner, who owns all tables, and ends with RESET ROLE.

DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['weir_owner', 'weir_ingest', 'weir_processor', 'weir_billing', 'weir_api'] LOOP
        -- Roles belong to the whole server, where another database of weir's may make them at this moment.
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        -- Whoever makes a role without being a superuser may not become it before saying so.
        IF NOT pg_has_role(current_user, name, 'USAGE') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', name);
        END IF;
    END LOOP;
END $$;

DO $$
DECLARE name text;
BEGIN
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO weir_owner', current_schema());
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO weir_ingest, weir_processor, weir_billing, weir_api', current_schema());
    -- By name: others may have tables and functions in the same schema.
    FOREACH name IN ARRAY ARRAY[
        'plan', 'tenant', 'project', 'api_key', 'erasure', 'erased_range', 'erased_hour', 'rollup_hour', 'event_log',
        'partition_cursor', 'processor_node', 'batch_ledger', 'dead_letter', 'reconciliation', 'reconciled_partition',
        'mismatched_range', 'usage_hour', 'ingest_node', 'quota_period', 'quota_lease', 'outcome_minute'
    ] LOOP
        EXECUTE format('ALTER TABLE %I OWNER TO weir_owner', name);
    END LOOP;
    -- Sequences of identity columns follow their tables.
    ALTER SEQUENCE change_number OWNER TO weir_owner;
    ALTER SEQUENCE erasure_round OWNER TO weir_owner;
    ALTER SEQUENCE rollup_version OWNER TO weir_owner;
    ALTER FUNCTION stamp_change() OWNER TO weir_owner;
    ALTER FUNCTION notify_change() OWNER TO weir_owner;
    ALTER FUNCTION refuse_delete() OWNER TO weir_owner;
END $$;

-- Accounts.
GRANT SELECT ON plan, tenant TO weir_ingest, weir_processor;
GRANT SELECT ON api_key, project TO weir_ingest;
GRANT UPDATE (last_used_at) ON api_key TO weir_ingest;
GRANT SELECT, INSERT, UPDATE ON plan, tenant, project, api_key TO weir_api;
GRANT USAGE ON SEQUENCE change_number TO weir_api;
GRANT SELECT, INSERT ON erasure TO weir_api;

-- The log and its cursors. Every process binds the database to its log, or finds that it is bound.
GRANT SELECT, INSERT ON event_log TO weir_ingest, weir_processor, weir_billing, weir_api;
GRANT SELECT, INSERT (partition) ON partition_cursor TO weir_ingest, weir_processor, weir_billing, weir_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON partition_cursor, processor_node TO weir_processor;
GRANT SELECT, INSERT, UPDATE ON batch_ledger, dead_letter, reconciliation, reconciled_partition TO weir_processor;
GRANT SELECT, INSERT, UPDATE, DELETE ON mismatched_range TO weir_processor;

-- Metering: called by ingest (leases), processor (usage, settlement) and billing (what is left over).
GRANT SELECT, INSERT, UPDATE ON ingest_node, quota_period, quota_lease TO weir_ingest;
GRANT SELECT, INSERT, UPDATE ON usage_hour, quota_period TO weir_processor;
GRANT SELECT, UPDATE ON quota_lease TO weir_processor;
GRANT SELECT, UPDATE ON quota_period TO weir_billing;
GRANT SELECT, UPDATE, DELETE ON ingest_node, quota_lease TO weir_billing;
GRANT SELECT, INSERT, UPDATE ON outcome_minute TO weir_ingest;
-- Locking rows takes the right to change them.
GRANT SELECT, UPDATE, DELETE ON outcome_minute TO weir_billing;
GRANT SELECT ON usage_hour, quota_period, outcome_minute TO weir_api;

-- Erasure and roll-ups.
GRANT SELECT, INSERT, UPDATE, DELETE ON erasure, erased_range, erased_hour TO weir_processor;
GRANT SELECT, INSERT, UPDATE ON rollup_hour TO weir_processor;
GRANT USAGE ON SEQUENCE erasure_round, rollup_version TO weir_processor;
