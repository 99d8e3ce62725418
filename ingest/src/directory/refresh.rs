use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use chrono_tz::Tz;
use schemas::address::AddressPolicy;
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::key::KeyHash;
use schemas::time::Micros;
use service::error::Chain;
use service::shutdown::Shutdown;
use service::store::{POSTGRES, StoreError, in_time};
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::watch;

use super::keys::{KeyEntry, NEVER};
use super::{Directory, Entries, Source};
use crate::db::api_key::{self, KeyRow};
use crate::db::tenant::{self, TenantRow};
use crate::metrics;
use crate::tenant::Terms;

/// A look at least so often, whether or not a notification came: the stated bound on revocation and plan change,
/// with a lost notification.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long Postgres may take over a page.
const PAGE_DEADLINE: Duration = Duration::from_secs(5);
/// Rows in a page. Requests wait while one is taken over.
const PAGE_ROWS: i64 = 2_000;
const CHANNEL: &str = "weir_change";

/// Reads everything.
///
/// # Errors
/// If Postgres fails; the directory is then as it was.
pub async fn load(directory: &Directory, pool: &PgPool) -> Result<(), StoreError> {
    let mut fresh = Entries::default();
    let changes = read(pool, 0, &mut |page| {
        page.apply(&mut fresh, |id| directory.tenant(id));
    })
    .await?;
    fresh.source = Source::Postgres;
    directory.replace(fresh);
    directory.count_changes(changes);
    Ok(())
}

/// Keeps the directory fresh, from when the database is `bound` to the log until `shutdown` is ordered. With
/// Postgres away, it stays as it is. `age` is how old it was when it was read.
pub async fn keep_fresh(
    directory: Arc<Directory>,
    pool: PgPool,
    mut bound: watch::Receiver<bool>,
    age: Duration,
    shutdown: Shutdown,
) {
    let begun = Instant::now();
    let mut current_at = None;
    let mut listener = None;
    while !shutdown.is_ordered() {
        let is_bound = *bound.borrow_and_update();
        if is_bound {
            match look(&directory, &pool).await {
                Ok(()) => current_at = Some(Instant::now()),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "keys and tenants could not be looked at")
                }
            }
        }
        let age = current_at.map_or_else(|| age + begun.elapsed(), |at| at.elapsed());
        ::metrics::gauge!(metrics::DIRECTORY_AGE_SECONDS).set(age.as_secs_f64());
        tokio::select! {
            () = wait(&mut listener, &pool), if is_bound => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Ok(()) = bound.changed(), if !is_bound => {}
            () = shutdown.ordered() => {}
        }
    }
}

/// Until a notification comes. A lost connection is made again.
async fn wait(listener: &mut Option<PgListener>, pool: &PgPool) {
    match listener {
        Some(connected) => {
            if connected.recv().await.is_err() {
                *listener = None;
            }
        }
        // What changed before the first notification is seen at once: a look follows.
        None => match listen(pool).await {
            Ok(connected) => *listener = Some(connected),
            Err(_) => std::future::pending().await,
        },
    }
}

async fn listen(pool: &PgPool) -> Result<PgListener, sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(listener)
}

/// Reads what is newer than the newest that is known; all of it, if what is known does not come from Postgres.
async fn look(directory: &Directory, pool: &PgPool) -> Result<(), StoreError> {
    let (source, since) = {
        let entries = directory.entries.read();
        (entries.source, entries.change)
    };
    let changes = match source {
        Source::Nothing | Source::Disk => {
            load(directory, pool).await?;
            tracing::info!(keys = directory.keys(), was = ?source, "keys and tenants were read from Postgres");
            0
        }
        Source::Postgres => {
            read(pool, since, &mut |page| {
                let mut entries = directory.entries.write();
                page.apply(&mut entries, |_| None);
            })
            .await?
        }
    };
    if changes > 0 {
        directory.count_changes(changes);
        ::metrics::counter!(metrics::DIRECTORY_CHANGES).increment(u64::try_from(changes).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// Rows that were read.
enum Page {
    Tenants(Vec<TenantRow>),
    /// In the order of their changes; all tenants of the same snapshot have come before.
    Keys(Vec<KeyRow>),
    /// Nothing is newer than this change.
    End(i64),
}

/// Reads everything newer than `since`, in pages from one snapshot: tenants, then keys. How many rows.
async fn read(pool: &PgPool, since: i64, take: &mut impl FnMut(Page)) -> Result<usize, StoreError> {
    let mut tx = page(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")).await?;
    let (mut newest, mut count) = (since, 0);
    let mut after = 0;
    loop {
        let rows = page(tenant::newer(&mut tx, since, after, PAGE_ROWS)).await?;
        let Some(last) = rows.last() else { break };
        after = last.id;
        newest = rows.iter().map(|row| row.change).fold(newest, i64::max);
        count += rows.len();
        take(Page::Tenants(rows));
    }
    let mut after = since;
    loop {
        let rows = page(api_key::newer(&mut tx, after, PAGE_ROWS)).await?;
        let Some(last) = rows.last() else { break };
        after = last.change;
        count += rows.len();
        take(Page::Keys(rows));
    }
    take(Page::End(newest.max(after)));
    page(tx.commit()).await?;
    Ok(count)
}

/// What Postgres answers, if it does within the time for a page.
async fn page<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    in_time(POSTGRES, PAGE_DEADLINE, answer).await
}

impl Page {
    /// Puts the rows into `entries`. A tenant that is not there may be known elsewhere.
    fn apply(self, entries: &mut Entries, elsewhere: impl Fn(TenantId) -> Option<Arc<super::Tenant>>) {
        match self {
            Self::Tenants(rows) => {
                for row in rows {
                    let (id, terms) = terms(row);
                    let known = entries.tenants.get(&id).cloned().or_else(|| elsewhere(id));
                    entries.put_tenant(id, terms, known);
                }
            }
            Self::Keys(rows) => {
                for row in rows {
                    let (id, change) = (row.id, row.change);
                    match key(row, entries) {
                        Some(entry) => entries.keys.put(entry),
                        None => tracing::error!(
                            key = id,
                            "a key in Postgres is not one that weir could have made, it is left out"
                        ),
                    }
                    // All tenants are known already, so whatever breaks off here need not be read again.
                    entries.change = entries.change.max(change);
                }
            }
            Self::End(newest) => entries.change = entries.change.max(newest),
        }
    }
}

fn terms(row: TenantRow) -> (TenantId, Terms) {
    let TenantRow { id, active, quota, rate, time_zone: zone, client_ip, .. } = row;
    let id = TenantId(id);
    let rate = rate.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX));
    let zone = zone.parse().unwrap_or_else(|_| {
        tracing::error!(tenant = %id, zone, "the tenant's time zone is not known, its months begin in UTC");
        Tz::UTC
    });
    let client_ip = AddressPolicy::from_word(&client_ip).unwrap_or_else(|| {
        tracing::error!(tenant = %id, client_ip, "the tenant's policy for addresses is not known, none is kept");
        AddressPolicy::None
    });
    (id, Terms { active, quota, rate, zone, client_ip })
}

fn key(row: KeyRow, entries: &Entries) -> Option<KeyEntry> {
    Some(KeyEntry {
        id: KeyId::from_number(row.id)?,
        hash: KeyHash(row.hash.try_into().ok()?),
        tenant: entries.tenants.get(&TenantId(row.tenant_id)).cloned()?,
        project: ProjectId(row.project_id),
        expires_at: row.expires_at.map_or(NEVER, Micros),
        revoked: row.revoked,
        used: AtomicBool::new(false),
    })
}
