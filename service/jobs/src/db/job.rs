//! Jobs.

mod claim;
mod look;

use chrono::{DateTime, Utc};
use schemas::public_id::JobId;
use serde::Serialize;
use sqlx::PgConnection;

pub use claim::Job;
pub(crate) use claim::{Put, claim, delete_claimed, give_up, put_off, renew};
pub(crate) use look::waiting;
pub use look::{Filter, JobState, SeenJob, discard, find, list, retry, retry_key, sweep_dead};

/// A job to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewJob<'a, P> {
    /// Its kind's name.
    pub kind: &'a str,
    /// What its kind reads: 64 KiB of JSON at most, and no secret, since operators see it.
    pub payload: &'a P,
    /// When it may begin; `None`: at once.
    pub not_before: Option<DateTime<Utc>>,
    /// While a job of that kind and key is open, another is not made: 1 to 256 bytes.
    pub key: Option<&'a str>,
}

/// Makes a job in the transaction that wants it. `None` if one of the same kind and key is open: it may be running
/// already, and then it does not see what has changed since.
///
/// # Errors
/// If Postgres fails, or the payload is too large.
pub async fn insert<P: Serialize + Sync>(
    transaction: &mut PgConnection,
    new: NewJob<'_, P>,
) -> Result<Option<JobId>, sqlx::Error> {
    let payload = serde_json::to_string(new.payload).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let made: Option<uuid::Uuid> = sqlx::query_scalar(
        "INSERT INTO job (kind, payload, key, due_at) VALUES ($1, $2, $3, coalesce($4, now()))
         ON CONFLICT (kind, key) WHERE dead_at IS NULL DO NOTHING
         RETURNING id",
    )
    .bind(new.kind)
    .bind(payload)
    .bind(new.key)
    .bind(new.not_before)
    .fetch_optional(transaction)
    .await?;
    Ok(made.map(JobId::from))
}
