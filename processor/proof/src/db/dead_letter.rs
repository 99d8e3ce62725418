//! `dead_letter`, which `processor` writes.

use schemas::id::{Position, ProjectId, TenantId};
use schemas::time::Micros;
use sqlx::PgExecutor;

use crate::books::HourOf;

/// A letter as the ledgers count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) at: (u32, Position),
    /// Events of its frame that could be read, and stand before it.
    pub(crate) events_before: u16,
    /// `None`: counted under no tenant.
    pub(crate) hour: Option<HourOf>,
    pub(crate) events: i64,
    /// Whether a version before stored its events where it stands: the ledgers count them as what they became.
    pub(crate) is_stored_there: bool,
}

/// What a letter is made of.
type Row = (i32, String, i32, i64, Option<i64>, Option<i64>, Option<i64>, bool);

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT partition, position::text, events_before, events, tenant_id, project_id,
                    (extract(epoch FROM date_trunc('hour', received_at, 'UTC')) * 1000000)::bigint,
                    state = 'replayed' AND copies = 0
             FROM dead_letter",
            $condition
        )
    };
}

fn letter((partition, position, events_before, events, tenant, project, hour, there): Row) -> Letter {
    Letter {
        at: (
            u32::try_from(partition).unwrap_or_default(),
            Position::from_number(position.parse().unwrap_or_default()),
        ),
        events_before: u16::try_from(events_before).unwrap_or_default(),
        hour: tenant.zip(project).zip(hour).map(|((tenant, project), hour)| HourOf {
            hour: Micros(hour),
            tenant: TenantId(tenant),
            project: ProjectId(project),
        }),
        events,
        is_stored_there: there,
    }
}

/// All letters, whatever has become of them.
pub(crate) async fn all(executor: impl PgExecutor<'_>) -> Result<Vec<Letter>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(select!("")).fetch_all(executor).await?;
    Ok(rows.into_iter().map(letter).collect())
}

/// Those of a partition.
pub(crate) async fn of_partition(
    executor: impl PgExecutor<'_>,
    partition: u32,
) -> Result<Vec<Letter>, sqlx::Error> {
    let rows: Vec<Row> = sqlx::query_as(select!(" WHERE partition = $1"))
        .bind(i32::try_from(partition).unwrap_or(i32::MAX))
        .fetch_all(executor)
        .await?;
    Ok(rows.into_iter().map(letter).collect())
}

/// Discards the letters of erased tenants, whose bytes are events of theirs; those that are being replayed wait. How
/// many.
pub(crate) async fn discard_erased(executor: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let discarded = sqlx::query(
        "UPDATE dead_letter SET state = 'discarded', discarded_at = now(), raw = ''
         WHERE state IN ('dead', 'asked') AND claimed_until <= now()
           AND tenant_id IN (SELECT id FROM tenant WHERE status = 'erased')",
    )
    .execute(executor)
    .await?;
    Ok(discarded.rows_affected())
}

/// Whether a copy of a letter may be on its way into the log.
pub(crate) async fn is_any_claimed(executor: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM dead_letter WHERE state = 'asked' AND claimed_until > now())",
    )
    .fetch_one(executor)
    .await
}
