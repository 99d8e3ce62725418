//! Claims: each is a lease, named by a number that no other claim has. What renews or ends a job names its claim, and
//! finds no row once another worker has claimed the job.

use std::time::Duration;

use schemas::public_id::JobId;
use serde::de::DeserializeOwned;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::ended::{Ended, Failure, Where};

/// A job that was claimed.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id, the same at each attempt.
    pub id: JobId,
    /// Its kind's name.
    pub kind: String,
    /// JSON.
    pub payload: String,
    /// Which attempt this is, from 1.
    pub attempt: i32,
    claim: Uuid,
}

impl Job {
    /// The payload, read.
    ///
    /// # Errors
    /// [`Failure::Dead`] if it is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.payload).map_err(|error| Failure::Dead(error.into()))
    }

    /// Ends the job in the transaction of what it did: when that commits, the job is gone. Commit right after it: until
    /// then, this holds the job's row.
    ///
    /// # Errors
    /// [`Failure::Lost`]: then nothing of the transaction must be committed. If Postgres fails.
    pub async fn finish(&self, transaction: &mut PgConnection) -> Result<Ended, Failure> {
        if delete_claimed(transaction, self).await? {
            Ok(Ended(Where::Transaction))
        } else {
            Err(Failure::Lost)
        }
    }
}

/// Where a job that was not done is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Put {
    /// It failed.
    Failed,
    /// It was not really tried: the attempt does not count.
    Untried,
}

type Row = (Uuid, String, String, i32, Uuid);

/// Claims the oldest due jobs of each kind, as many as there is room for. Those whose lease has ended are due.
pub(crate) async fn claim(
    connection: &mut PgConnection,
    kinds: &[&str],
    room: &[i64],
    lease: Duration,
) -> Result<Vec<Job>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "WITH due AS MATERIALIZED (
             SELECT job.id FROM unnest($1::text[], $2::bigint[]) AS wanted (kind, room)
             CROSS JOIN LATERAL (
                 SELECT id FROM job WHERE kind = wanted.kind AND dead_at IS NULL AND due_at <= now()
                 ORDER BY due_at LIMIT wanted.room FOR UPDATE SKIP LOCKED) AS job)
         UPDATE job SET attempt = attempt + 1, claim = gen_random_uuid(), due_at = now() + $3
         FROM due WHERE job.id = due.id
         RETURNING job.id, job.kind, job.payload, job.attempt, job.claim",
    )
    .bind(kinds)
    .bind(room)
    .bind(lease)
    .fetch_all(connection)
    .await?;
    let job = |(id, kind, payload, attempt, claim): Row| Job { id: id.into(), kind, payload, attempt, claim };
    Ok(rows.into_iter().map(job).collect())
}

/// Renews the lease. Whether the claim still holds.
pub(crate) async fn renew(pool: &PgPool, job: &Job, lease: Duration) -> Result<bool, sqlx::Error> {
    let renewed = sqlx::query("UPDATE job SET due_at = now() + $3 WHERE id = $1 AND claim = $2")
        .bind(job.id.uuid())
        .bind(job.claim)
        .bind(lease)
        .execute(pool)
        .await?;
    Ok(renewed.rows_affected() == 1)
}

/// Deletes a job that is done. Whether the claim still held.
pub(crate) async fn delete_claimed(connection: &mut PgConnection, job: &Job) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query("DELETE FROM job WHERE id = $1 AND claim = $2")
        .bind(job.id.uuid())
        .bind(job.claim)
        .execute(connection)
        .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Lets the job wait for so long. Whether the claim still held.
pub(crate) async fn put_off(
    connection: &mut PgConnection,
    job: &Job,
    wait: Duration,
    put: Put,
    why: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let put_off = sqlx::query(
        "UPDATE job SET claim = NULL, due_at = now() + $3, attempt = attempt - $4, last_error = coalesce($5, last_error)
         WHERE id = $1 AND claim = $2",
    )
    .bind(job.id.uuid())
    .bind(job.claim)
    .bind(wait)
    .bind(i32::from(put == Put::Untried))
    .bind(why)
    .execute(connection)
    .await?;
    Ok(put_off.rows_affected() == 1)
}

/// Makes the job a dead one. Whether the claim still held.
pub(crate) async fn give_up(
    connection: &mut PgConnection,
    job: &Job,
    why: &str,
) -> Result<bool, sqlx::Error> {
    let given_up = sqlx::query(
        "UPDATE job SET claim = NULL, dead_at = now(), last_error = $3 WHERE id = $1 AND claim = $2",
    )
    .bind(job.id.uuid())
    .bind(job.claim)
    .bind(why)
    .execute(connection)
    .await?;
    Ok(given_up.rows_affected() == 1)
}
