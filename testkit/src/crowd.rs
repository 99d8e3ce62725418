//! Many tenants with people in them, written straight into the tables: for what depends on how large these are.

use sqlx::{AssertSqlSafe, PgPool};

/// Memberships of each tenant. Each person has two.
pub const MEMBERS: i64 = 10;

/// What stands in the tables when there are so many tenants. `{n}` is their number, `{m}` that of people.
const ROWS: &[&str] = &[
    "INSERT INTO tenant (id, name, plan_id, change) OVERRIDING SYSTEM VALUE
     SELECT n, 'tenant-' || n, 1, n FROM generate_series(1::bigint, {n}) AS n",
    "INSERT INTO tenant_profile (tenant_id, title) SELECT n, 'Tenant ' || n FROM generate_series(1::bigint, {n}) AS n",
    "INSERT INTO project (id, tenant_id, name) OVERRIDING SYSTEM VALUE
     SELECT n, n, 'default' FROM generate_series(1::bigint, {n}) AS n",
    "INSERT INTO project_profile (tenant_id, project_id) SELECT n, n FROM generate_series(1::bigint, {n}) AS n",
    "INSERT INTO api_key (id, tenant_id, project_id, hash, change)
     SELECT n * 3 + k, n, n, sha256((n * 3 + k)::text::bytea), {n} + n * 3 + k
     FROM generate_series(1::bigint, {n}) AS n, generate_series(0, 2) AS k",
    "INSERT INTO key_profile (tenant_id, project_id, key_id, name, created_by)
     SELECT tenant_id, project_id, id, 'key', 'operator' FROM api_key",
    "INSERT INTO person (id, email, name, password_hash, created_at)
     SELECT md5('person ' || n)::uuid, 'person-' || n || '@example.com', 'Person', '{hash}', now()
     FROM generate_series(0, {m} - 1) AS n",
    "INSERT INTO membership (tenant_id, id, person_id, built_in, created_at)
     SELECT n, md5('member ' || n || ' ' || k)::uuid,
            md5('person ' || ((n * {members} + k) * 7919) % {m})::uuid,
            CASE k WHEN 0 THEN 'owner' ELSE 'viewer' END, now()
     FROM generate_series(1::bigint, {n}) AS n, generate_series(0, {members} - 1) AS k",
    "INSERT INTO member_role (tenant_id, id, name, permissions)
     SELECT n, md5('role ' || n || ' ' || k)::uuid, 'role ' || k, ARRAY['usage.read']
     FROM generate_series(1::bigint, {n}) AS n, generate_series(0, 1) AS k",
    "INSERT INTO invitation (tenant_id, id, email, built_in, token_hash, invited_by, created_at, expires_at)
     SELECT n, md5('invitation ' || n || ' ' || k)::uuid, 'guest-' || n || '-' || k || '@example.com', 'viewer',
            sha256((n || ' ' || k)::bytea), 'operator', now(), now() + interval '7 days'
     FROM generate_series(1::bigint, {n}) AS n, generate_series(0, 1) AS k",
    "INSERT INTO machine_token (tenant_id, id, name, hash, permissions, capacity, created_by, created_at,
                                expires_at)
     SELECT n, md5('token ' || n)::uuid, 'token', sha256(('token ' || n)::bytea), ARRAY['usage.read'],
            'platform', 'operator', now(), now() + interval '30 days'
     FROM generate_series(1::bigint, {n}) AS n",
    "INSERT INTO session (id, person_id, user_agent, created_at, last_seen_at, expires_at)
     SELECT md5('session ' || n)::uuid, md5('person ' || n)::uuid, 'curl', now(), now(), now() + interval '90 days'
     FROM generate_series(0, {m} - 1) AS n",
    "INSERT INTO refresh_token (hash, session_id, created_at)
     SELECT sha256(('refresh ' || n)::bytea), md5('session ' || n)::uuid, now() FROM generate_series(0, {m} - 1) AS n",
    "INSERT INTO known_device (hash, person_id, last_used_at)
     SELECT sha256(('device ' || n)::bytea), md5('person ' || n)::uuid, now() FROM generate_series(0, {m} - 1) AS n",
    "INSERT INTO attempt (key, failures, last_at, open_at)
     SELECT sha256(('attempt ' || n)::bytea), 1, now(), now() FROM generate_series(1::bigint, {n}) AS n",
    "INSERT INTO audit_entry (chain, seq, tenant_id, id, at, actor, action, target, hash)
     SELECT n, k, n, md5('audit ' || n || ' ' || k)::uuid, now(), 'operator', 'key.create', 'key ' || k,
            sha256((n || ' ' || k)::bytea)
     FROM generate_series(1::bigint, {n}) AS n, generate_series(1, 10) AS k",
    "INSERT INTO audit_head (chain, tenant_id, seq) SELECT n, n, 10 FROM generate_series(1::bigint, {n}) AS n",
    "INSERT INTO usage_hour (tenant_id, project_id, meter, period_start, hour, stored, duplicate, dead)
     SELECT n, n, 'events', date_trunc('month', now(), 'UTC'), date_trunc('hour', now(), 'UTC') - k * interval '1 hour',
            7, 0, 0
     FROM generate_series(1::bigint, {n}) AS n, generate_series(0, 4) AS k",
    "SELECT setval(pg_get_serial_sequence('tenant', 'id'), {n}), setval(pg_get_serial_sequence('project', 'id'), {n}),
            setval('change_number', {n} * 10)",
];

/// How many people so many tenants have.
pub fn people(tenants: i64) -> i64 {
    tenants * MEMBERS / 2
}

/// Fills the tables of a new database, whose superuser `pool` is. `hash` is everybody's password's.
pub async fn fill(pool: &PgPool, tenants: i64, hash: &str) {
    let mut connection = pool.acquire().await.unwrap();
    let mut run = async |statement: String| {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await.unwrap();
    };
    // Triggers and references are what other tests are about.
    run("SET session_replication_role = replica; SET statement_timeout = 0".to_owned()).await;
    let [n, m, members] = [tenants, people(tenants), MEMBERS].map(|number| number.to_string());
    for row in ROWS {
        let statement = row.replace("{n}", &n).replace("{m}", &m).replace("{members}", &members);
        run(statement.replace("{hash}", hash)).await;
    }
    run("VACUUM ANALYZE".to_owned()).await;
    run("RESET session_replication_role; RESET statement_timeout".to_owned()).await;
}
