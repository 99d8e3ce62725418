use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::key::KeyHash;
use schemas::time::Micros;
use service::shutdown::Shutdown;
use sqlx::PgPool;
use sqlx::postgres::PgListener;

use super::{Directory, KeyEntry, NEVER, Tenant, Terms};
use crate::metrics;

/// A look at least so often, whether or not a notification came: the stated bound on revocation and plan change,
/// with a lost notification.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long Postgres may take over a look.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);
const CHANNEL: &str = "weir_change";

type TenantRow = (i64, bool, Option<i64>, Option<i64>, String, i64);
type KeyRow = (i64, i64, i64, Vec<u8>, Option<i64>, bool, i64);

/// Fills the directory for the first time, and begins to listen.
///
/// # Errors
/// If Postgres fails.
pub async fn load(directory: &Directory, pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let listener = listen(pool).await?;
    look(directory, pool).await?;
    Ok(listener)
}

/// Keeps the directory fresh until `shutdown` is ordered. With Postgres away, it stays as it is.
pub async fn keep_fresh(directory: Arc<Directory>, pool: PgPool, listener: PgListener, shutdown: Shutdown) {
    let mut listener = Some(listener);
    let mut current_at = Instant::now();
    while !shutdown.is_ordered() {
        wait(&mut listener, &pool, &shutdown).await;
        match tokio::time::timeout(LOOK_DEADLINE, look(&directory, &pool)).await {
            Ok(Ok(())) => current_at = Instant::now(),
            Ok(Err(error)) => tracing::warn!(%error, "keys and tenants could not be looked at"),
            Err(_) => tracing::warn!("Postgres did not answer a look at keys and tenants"),
        }
        ::metrics::gauge!(metrics::DIRECTORY_AGE_SECONDS).set(current_at.elapsed().as_secs_f64());
    }
}

/// Until a notification comes, or it is time to look anyway. A lost connection is made anew.
async fn wait(listener: &mut Option<PgListener>, pool: &PgPool, shutdown: &Shutdown) {
    let notified = async {
        match listener {
            Some(listener) => listener.recv().await.is_ok(),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        alive = notified => if !alive { *listener = None },
        () = tokio::time::sleep(LOOK_EVERY) => {}
        () = shutdown.ordered() => return,
    }
    if listener.is_none() {
        *listener = listen(pool).await.ok();
    }
}

async fn listen(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Reads what is newer than the newest that is known.
async fn look(directory: &Directory, pool: &PgPool) -> Result<(), sqlx::Error> {
    let since = directory.0.read().change;
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let tenants: Vec<TenantRow> = sqlx::query_as(
        "SELECT t.id, t.status = 'active', coalesce(t.quota, p.quota), coalesce(t.rate, p.rate), t.time_zone,
                greatest(t.change, p.change)
         FROM tenant t JOIN plan p ON p.id = t.plan_id WHERE t.change > $1 OR p.change > $1",
    )
    .bind(since)
    .fetch_all(&mut *tx)
    .await?;
    let keys: Vec<KeyRow> = sqlx::query_as(
        "SELECT id, tenant_id, project_id, hash, (extract(epoch FROM expires_at) * 1000000)::bigint,
                revoked_at IS NOT NULL, change
         FROM api_key WHERE change > $1",
    )
    .bind(since)
    .fetch_all(&mut *tx)
    .await?;
    tx.commit().await?;
    let changes = tenants.len() + keys.len();
    if changes > 0 {
        directory.apply(tenants, keys);
        ::metrics::counter!(metrics::DIRECTORY_CHANGES).increment(u64::try_from(changes).unwrap_or(u64::MAX));
    }
    Ok(())
}

impl Directory {
    fn apply(&self, tenants: Vec<TenantRow>, keys: Vec<KeyRow>) {
        let mut entries = self.0.write();
        for (id, active, quota, rate, zone, change) in tenants {
            let id = TenantId(id);
            let rate = rate.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
            let zone = zone.parse().unwrap_or_else(|_| {
                tracing::error!(tenant = %id, zone, "the tenant's time zone is not known, its months begin in UTC");
                Tz::UTC
            });
            let terms = Terms { active, quota, rate, zone };
            entries.change = entries.change.max(change);
            match entries.tenants.get(&id) {
                Some(tenant) => tenant.revise(terms),
                None => drop(entries.tenants.insert(id, Arc::new(Tenant::new(id, terms)))),
            }
        }
        for (id, tenant, project, hash, expires_at, revoked, change) in keys {
            entries.change = entries.change.max(change);
            let entry = entries.tenants.get(&TenantId(tenant)).cloned().zip(hash.try_into().ok());
            let (Some(id), Some((tenant, hash))) = (KeyId::from_number(id), entry) else {
                tracing::error!(
                    key = id,
                    "a key in Postgres is not one that weir could have made, it is left out"
                );
                continue;
            };
            let expires_at = expires_at.map_or(NEVER, Micros);
            let entry =
                KeyEntry { hash: KeyHash(hash), tenant, project: ProjectId(project), expires_at, revoked };
            entries.keys.insert(id, entry);
        }
    }
}
