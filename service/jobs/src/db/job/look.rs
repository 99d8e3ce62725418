//! What operators see of jobs, and do to them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::public_id::JobId;
use serde::Serialize;
use service::store::StoreError;
use sqlx::{PgConnection, PgPool};

/// A job, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SeenJob {
    /// Its id.
    pub id: JobId,
    /// Its kind.
    pub kind: String,
    /// Where it stands.
    pub state: JobState,
    /// What its kind reads: JSON.
    pub payload: String,
    /// Of the open jobs of its kind, the only one with this key.
    pub key: Option<String>,
    /// How often it was tried.
    pub attempt: i32,
    /// Why it failed when it last did.
    pub last_error: Option<String>,
    /// When it is tried; of one that is running, when its lease ends.
    pub due_at: DateTime<Utc>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was given up.
    pub dead_at: Option<DateTime<Utc>>,
}

service::from_row!(SeenJob {
    id: uuid,
    kind,
    state: parsed,
    payload,
    key,
    attempt,
    last_error,
    due_at,
    created_at,
    dead_at
});

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// It waits for its time, or for room.
    Waiting,
    /// A node runs it, or died while it did.
    Running,
    /// It was given up: it waits for an operator.
    Dead,
}

/// The text names no state.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("it is waiting, running or dead")]
pub struct JobStateError;

impl JobState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = JobStateError;

    fn from_str(text: &str) -> Result<Self, JobStateError> {
        [Self::Waiting, Self::Running, Self::Dead]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(JobStateError)
    }
}

impl TryFrom<String> for JobState {
    type Error = JobStateError;

    fn try_from(text: String) -> Result<Self, JobStateError> {
        text.parse()
    }
}

/// Which jobs.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of that kind.
    pub kind: Option<String>,
    /// In that state.
    pub state: Option<JobState>,
    /// Made before this one, or at the same moment: where the page before ended.
    pub before: Option<(DateTime<Utc>, JobId)>,
}

const COLUMNS: &str = "id, kind, payload, key, attempt, last_error, due_at, created_at, dead_at,
    CASE WHEN dead_at IS NOT NULL THEN 'dead' WHEN claim IS NULL THEN 'waiting' ELSE 'running' END AS state";

/// Jobs that are open or dead, the newest first.
///
/// # Errors
/// If Postgres fails.
pub async fn list(
    connection: &mut PgConnection,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<SeenJob>, StoreError> {
    let query = format!(
        "SELECT {COLUMNS} FROM job
         WHERE ($1::text IS NULL OR kind = $1)
             AND ($2::text IS NULL OR (dead_at IS NOT NULL) = ($2 = 'dead'))
             AND ($2::text IS NULL OR (claim IS NOT NULL) = ($2 = 'running'))
             AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4))
         ORDER BY created_at DESC, id DESC LIMIT $5"
    );
    let found = sqlx::query_as(sqlx::AssertSqlSafe(query))
        .bind(&filter.kind)
        .bind(filter.state.map(JobState::as_str))
        .bind(filter.before.map(|(at, _)| at))
        .bind(filter.before.map(|(_, id)| id.uuid()))
        .bind(limit)
        .fetch_all(connection)
        .await?;
    Ok(found)
}

/// One job, unless it is done or there was none.
///
/// # Errors
/// If Postgres fails.
pub async fn find(connection: &mut PgConnection, id: JobId) -> Result<Option<SeenJob>, StoreError> {
    let query = format!("SELECT {COLUMNS} FROM job WHERE id = $1");
    let found = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(id.uuid()).fetch_optional(connection);
    Ok(found.await?)
}

/// Lets a job that waits or is dead run at once, with all its attempts before it. Whether it did.
///
/// # Errors
/// If Postgres fails, or another job of the same kind and key is open.
pub async fn retry(connection: &mut PgConnection, id: JobId) -> Result<bool, StoreError> {
    let retried: Option<String> = sqlx::query_scalar(
        "WITH retried AS (
             UPDATE job SET due_at = now(), dead_at = NULL, attempt = 0 WHERE id = $1 AND claim IS NULL RETURNING id)
         SELECT pg_notify('weir_job', '')::text FROM retried",
    )
    .bind(id.uuid())
    .fetch_optional(connection)
    .await?;
    Ok(retried.is_some())
}

/// The same for the newest dead job of that kind and key. Its id.
///
/// # Errors
/// As [`retry`].
pub async fn retry_key(
    connection: &mut PgConnection,
    kind: &str,
    key: &str,
) -> Result<Option<JobId>, StoreError> {
    let id: Option<uuid::Uuid> = sqlx::query_scalar(
        "SELECT id FROM job WHERE kind = $1 AND key = $2 AND claim IS NULL ORDER BY dead_at DESC NULLS FIRST LIMIT 1",
    )
    .bind(kind)
    .bind(key)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(id) = id.map(JobId::from) else { return Ok(None) };
    Ok(retry(connection, id).await?.then_some(id))
}

/// Deletes a job that waits or is dead. What it was, if it was there.
///
/// # Errors
/// If Postgres fails.
pub async fn discard(connection: &mut PgConnection, id: JobId) -> Result<Option<SeenJob>, StoreError> {
    let query = format!("DELETE FROM job WHERE id = $1 AND claim IS NULL RETURNING {COLUMNS}");
    let found = sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(id.uuid()).fetch_optional(connection);
    Ok(found.await?)
}

/// Deletes up to `limit` jobs that have been dead for so long. How many.
///
/// # Errors
/// If Postgres fails.
pub async fn sweep_dead(
    connection: &mut PgConnection,
    age: Duration,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query(
        "DELETE FROM job WHERE id IN (SELECT id FROM job WHERE dead_at < now() - $1 ORDER BY dead_at LIMIT $2)",
    )
    .bind(age)
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// What waits of a kind.
pub(crate) struct Waiting {
    pub(crate) kind: String,
    pub(crate) due: i64,
    /// Seconds since the oldest became due.
    pub(crate) age: f64,
    pub(crate) dead: i64,
}

service::from_row!(Waiting { kind, due, age, dead });

/// Counts up to 10,000 of each, which keeps the count cheap.
pub(crate) async fn waiting(pool: &PgPool, kinds: &[&str]) -> Result<Vec<Waiting>, sqlx::Error> {
    sqlx::query_as(
        "SELECT known.kind,
             (SELECT count(*) FROM (
                 SELECT FROM job WHERE kind = known.kind AND dead_at IS NULL AND due_at <= now() LIMIT 10000
             ) AS counted) AS due,
             coalesce((SELECT extract(epoch FROM now() - min(due_at))::float8 FROM job
                 WHERE kind = known.kind AND dead_at IS NULL AND due_at <= now()), 0) AS age,
             (SELECT count(*) FROM (
                 SELECT FROM job WHERE kind = known.kind AND dead_at IS NOT NULL LIMIT 10000) AS counted) AS dead
         FROM unnest($1::text[]) AS known (kind)",
    )
    .bind(kinds)
    .fetch_all(pool)
    .await
}
