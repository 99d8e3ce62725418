-- When a key was last used. Written by ingest, every half minute for the keys that were used, which is no change of
-- the directory: it must neither get a number nor wake anybody. A column of api_key that is added later has to be
-- named here, unless it is of that kind too.

ALTER TABLE api_key ADD COLUMN last_used_at timestamptz;
COMMENT ON COLUMN api_key.last_used_at IS 'as an ingest node noted within half a minute; NULL: never, or not since this is noted';

DROP TRIGGER stamp ON api_key;
DROP TRIGGER notify ON api_key;
CREATE TRIGGER stamp
    BEFORE INSERT OR UPDATE OF id, tenant_id, project_id, hash, created_at, expires_at, revoked_at, change ON api_key
    FOR EACH ROW EXECUTE FUNCTION stamp_change();
CREATE TRIGGER notify
    AFTER INSERT OR UPDATE OF id, tenant_id, project_id, hash, created_at, expires_at, revoked_at, change ON api_key
    FOR EACH STATEMENT EXECUTE FUNCTION notify_change();
