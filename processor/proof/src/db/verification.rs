//! `verification`, which accounts asks for.

use std::time::Duration;

use sqlx::PgExecutor;
use uuid::Uuid;

/// A verification that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) id: Uuid,
    pub(crate) mends: bool,
    /// Of this attempt.
    pub(crate) claim: Uuid,
    /// This one included.
    pub(crate) attempts: i32,
}

service::from_row!(Taken { id, mends, claim, attempts });

/// Takes the one that is open, unless another process is at it: for `time` nobody else gets it.
pub(crate) async fn take(
    executor: impl PgExecutor<'_>,
    time: Duration,
) -> Result<Option<Taken>, sqlx::Error> {
    sqlx::query_as(
        "UPDATE verification SET claim = gen_random_uuid(), claimed_until = now() + $1 * interval '1 second',
             begun_at = coalesce(begun_at, now()), attempts = attempts + 1
         WHERE id = (SELECT id FROM verification WHERE ended_at IS NULL AND claimed_until < now()
                     FOR UPDATE SKIP LOCKED)
         RETURNING id, mends, claim, attempts",
    )
    .bind(time.as_secs_f64())
    .fetch_optional(executor)
    .await
}

/// Prolongs the claim. `false`: another process has taken it meanwhile, or it has ended.
pub(crate) async fn prolong(
    executor: impl PgExecutor<'_>,
    taken: Taken,
    time: Duration,
) -> Result<bool, sqlx::Error> {
    let prolonged = sqlx::query(
        "UPDATE verification SET claimed_until = now() + $3 * interval '1 second'
         WHERE id = $1 AND claim = $2 AND ended_at IS NULL",
    );
    let prolonged = prolonged.bind(taken.id).bind(taken.claim).bind(time.as_secs_f64()).execute(executor);
    Ok(prolonged.await?.rows_affected() == 1)
}

/// Gives the claim back, and the attempt: it came to no end for no reason of its own. Nothing, if another process has
/// taken it meanwhile, or it has ended.
pub(crate) async fn release(executor: impl PgExecutor<'_>, taken: Taken) -> Result<(), sqlx::Error> {
    let released = sqlx::query(
        "UPDATE verification SET claimed_until = '-infinity', attempts = attempts - 1
         WHERE id = $1 AND claim = $2 AND ended_at IS NULL",
    );
    released.bind(taken.id).bind(taken.claim).execute(executor).await?;
    Ok(())
}

/// How a verification ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Whether everything agrees, and the verdict as JSON.
    Found { holds: bool, result: String },
    /// Why that could not be found out.
    Unknown(String),
}

/// Ends it. `false`: another process has taken it meanwhile, or it has ended.
pub(crate) async fn end(executor: impl PgExecutor<'_>, taken: Taken, end: &End) -> Result<bool, sqlx::Error> {
    let (holds, result, problem) = match end {
        End::Found { holds, result } => (Some(*holds), Some(result), None),
        End::Unknown(problem) => (None, None, Some(problem)),
    };
    let ended = sqlx::query(
        "UPDATE verification SET ended_at = now(), holds = $3, result = $4, problem = $5
         WHERE id = $1 AND claim = $2 AND ended_at IS NULL",
    );
    let ended = ended.bind(taken.id).bind(taken.claim).bind(holds).bind(result).bind(problem);
    Ok(ended.execute(executor).await?.rows_affected() == 1)
}
