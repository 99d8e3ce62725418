//! Replies to requests that carried an idempotency key, and the commits that wait for them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use data_encoding::HEXLOWER;
use parking_lot::Mutex;
use schemas::id::{ProjectId, TenantId};
use schemas::lock::IDEMPOTENT;
use serde::{Deserialize, Serialize};
use service::error::Chain;
use sqlx::{PgConnection, PgPool};

use crate::db::work::{ALL, Work, see};
use crate::error::AccountError;
use crate::seal::{NotOpened, SealKey};

/// For how long a reply is kept.
const LIFE: TimeDelta = TimeDelta::hours(24);
/// For how long a reply waits until its request is released, and how often that is looked at.
const RELEASED_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A reply, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptReply {
    /// Its status.
    pub status: u16,
    /// Names and values of its header that belong to what it shows.
    pub headers: Vec<(String, String)>,
    /// Its body: JSON, or nothing.
    pub body: String,
}

/// A reply, and the only projects that it may be of; `None`: all.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    reply: KeptReply,
    #[serde(default)]
    projects: Option<Vec<i64>>,
}

/// A claimed request, in its scope.
pub(crate) struct Claim {
    pub(crate) request: ClaimedRequest,
    pub(crate) waiting: Waiting,
}

/// What is kept of a request, and what seals its reply.
pub(crate) struct ClaimedRequest {
    pub(crate) id: [u8; 32],
    pub(crate) request_hash: [u8; 32],
    /// The only projects that the caller works with; `None`: all.
    pub(crate) projects: Option<Vec<ProjectId>>,
    pub(crate) seal: Arc<SealKey>,
}

/// Where a commit waits for its reply.
#[derive(Clone, Default)]
pub struct Waiting(Arc<Mutex<Progress>>);

/// How far a request is.
#[derive(Default)]
struct Progress {
    /// The request that a scope has claimed.
    claimed: Option<[u8; 32]>,
    deferred: Option<Deferred>,
}

/// It must not hold the place where it waits: that would keep its connection when nobody waits any more.
struct Deferred {
    work: Work,
    tenant: Option<TenantId>,
    request: ClaimedRequest,
}

impl ClaimedRequest {
    fn seal(&self, reply: &KeptReply) -> Result<Vec<u8>, NotOpened> {
        let projects = self.projects.as_ref().map(|all| all.iter().map(|project| project.0).collect());
        let kept = Kept { reply: reply.clone(), projects };
        // A struct of numbers and texts always serialises.
        self.seal.seal(&place(&self.id), &serde_json::to_vec(&kept).unwrap_or_default())
    }

    /// What was kept; `None`: it does not open.
    ///
    /// # Errors
    /// [`AccountError::Forbidden`] if the caller works with fewer projects now.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Option<KeptReply>, AccountError> {
        let opened = self.seal.open(&place(&self.id), sealed).ok();
        let kept: Option<Kept> = opened.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(Kept { reply, projects }) = kept else { return Ok(None) };
        let sees_all = match (&self.projects, projects) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(now), Some(then)) => then.iter().all(|project| now.contains(&ProjectId(*project))),
        };
        if sees_all {
            return Ok(Some(reply));
        }
        let rule =
            "the request was carried out, and its reply may be of projects that are not yours any more";
        Err(AccountError::Forbidden(rule.to_owned()))
    }
}

fn place(id: &[u8; 32]) -> String {
    format!("idempotent_request {}", HEXLOWER.encode(id))
}

impl Claim {
    /// Leaves the transaction where the reply is waited for.
    pub(crate) fn wait(self, work: Work, tenant: Option<TenantId>) {
        let Self { request, waiting } = self;
        waiting.0.lock().deferred = Some(Deferred { work, tenant, request });
    }
}

impl Waiting {
    /// Whether a commit waits.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.0.lock().deferred.is_some()
    }

    /// Notes that a scope has claimed the request of that id.
    pub(crate) fn claimed(&self, id: [u8; 32]) {
        self.0.lock().claimed = Some(id);
    }

    /// Waits until nobody holds a request any more whose scope was dropped: its transaction is rolled back a moment
    /// after that, and a client that sends the request again at once must not be refused as one that is still running.
    /// It waits a second at most.
    pub async fn released(&self, pool: &PgPool) {
        let claimed = self.0.lock().claimed;
        let Some(id) = claimed else { return };
        let released = async {
            let mut connection = pool.acquire().await?;
            while !try_lock(&mut connection, &id).await? {
                // A lock that is waited for would hold up who tries it.
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok::<_, sqlx::Error>(())
        };
        match tokio::time::timeout(RELEASED_WITHIN, released).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(error = %Chain(&error), "whether a request is released is not known")
            }
            Err(_) => tracing::debug!("a request is not released yet"),
        }
    }

    /// Keeps the reply, and makes all of it so.
    ///
    /// # Errors
    /// If Postgres fails: whether it is so can't be known then.
    pub async fn commit(&self, reply: &KeptReply) -> Result<(), AccountError> {
        let deferred = self.0.lock().deferred.take();
        match deferred {
            Some(deferred) => deferred.commit(reply).await,
            None => Ok(()),
        }
    }

    /// Changes nothing. The request may be sent again at once.
    ///
    /// # Errors
    /// If Postgres fails: nothing is changed then either.
    pub async fn give_up(&self) -> Result<(), AccountError> {
        let deferred = self.0.lock().deferred.take();
        match deferred {
            Some(deferred) => Ok(deferred.work.tx.rollback().await?),
            None => Ok(()),
        }
    }
}

impl Deferred {
    async fn commit(self, reply: &KeptReply) -> Result<(), AccountError> {
        let Self { mut work, tenant, request } = self;
        let sealed = request.seal(reply).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        let tenants = tenant.map_or_else(|| ALL.to_owned(), |tenant| tenant.to_string());
        see(&mut work.tx, &tenants, ALL).await?;
        keep(&mut work.tx, tenant, &request, &sealed, work.now).await?;
        Ok(work.commit().await?)
    }
}

/// Holds the request until the transaction ends, unless another transaction does.
pub(crate) async fn try_lock(connection: &mut PgConnection, id: &[u8; 32]) -> Result<bool, sqlx::Error> {
    let [a, b, c, d, ..] = *id;
    sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1, $2)")
        .bind(IDEMPOTENT)
        .bind(i32::from_be_bytes([a, b, c, d]))
        .fetch_one(connection)
        .await
}

/// Hash of the request and sealed reply, if they are kept.
pub(crate) async fn find(
    connection: &mut PgConnection,
    id: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<Option<(Vec<u8>, Vec<u8>)>, sqlx::Error> {
    sqlx::query_as("SELECT request_hash, reply FROM idempotent_request WHERE id = $1 AND expires_at > $2")
        .bind(id.as_slice())
        .bind(now)
        .fetch_optional(connection)
        .await
}

/// Keeps a reply, in the place of one that has expired.
async fn keep(
    connection: &mut PgConnection,
    tenant: Option<TenantId>,
    request: &ClaimedRequest,
    sealed: &[u8],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let kept = sqlx::query(
        "INSERT INTO idempotent_request AS kept (id, tenant_id, request_hash, reply, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (id) DO UPDATE SET request_hash = excluded.request_hash, reply = excluded.reply,
             created_at = excluded.created_at, expires_at = excluded.expires_at
         WHERE kept.expires_at <= excluded.created_at",
    )
    .bind(request.id.as_slice())
    .bind(tenant.map(|tenant| tenant.0))
    .bind(request.request_hash.as_slice())
    .bind(sealed)
    .bind(now)
    .bind(now + LIFE)
    .execute(connection)
    .await?;
    // The lock is ours, so nobody else has kept one since we looked.
    service::store::changed(&kept, 1)
}
