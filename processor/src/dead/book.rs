//! What operators see of dead letters, and ask for.

use eventlog::{EventLog, LogError};
use metering::ledger::Counts;
use schemas::id::{Position, TenantId};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgPool};

use super::{LetterId, State};

/// Letters of one page.
pub const PAGE_LETTERS_MAX: i64 = 1_000;

/// A dead letter without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Its name: partition and position.
    pub id: String,
    /// What has become of it.
    pub state: State,
    /// Whose it is, if it could be read so far.
    pub tenant: Option<i64>,
    /// Of which project.
    pub project: Option<i64>,
    /// When ingest received it.
    pub received_at: Option<DateTime<Utc>>,
    /// When it became a dead letter.
    pub died_at: DateTime<Utc>,
    /// Accepted events that it stands for; 1 where that can't be known.
    pub events: i64,
    /// What is wrong with it.
    pub reason: String,
    /// Bytes of its frame.
    pub bytes: i64,
    /// When its replay was last asked for.
    pub replay_asked_at: Option<DateTime<Utc>>,
    /// When it was replayed.
    pub replayed_at: Option<DateTime<Utc>>,
    /// Events that were stored then.
    pub stored: i64,
    /// Events that were duplicates then.
    pub duplicate: i64,
}

/// Which letters.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// This one.
    pub id: Option<LetterId>,
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Whose reason has this in it.
    pub reason: Option<String>,
    /// That died since.
    pub since: Option<DateTime<Utc>>,
    /// In this state.
    pub state: Option<State>,
}

/// The condition that [`Which`] makes of its parameters `$1` to `$6`.
const IS_MEANT: &str = "($1::int IS NULL OR (partition, position) = ($1, $2::text::numeric))
     AND ($3::bigint IS NULL OR tenant_id = $3) AND ($4::text IS NULL OR position($4 IN reason) > 0)
     AND ($5::timestamptz IS NULL OR died_at >= $5) AND ($6::text IS NULL OR state = $6)";

#[derive()]
struct Row {
    partition: i32,
    position: String,
    state: String,
    tenant_id: Option<i64>,
    project_id: Option<i64>,
    received_at: Option<DateTime<Utc>>,
    died_at: DateTime<Utc>,
    events: i64,
    reason: String,
    bytes: i64,
    replay_asked_at: Option<DateTime<Utc>>,
    replayed_at: Option<DateTime<Utc>>,
    stored: i64,
    duplicate: i64,
}

service::from_row!(Row {
    partition,
    position,
    state,
    tenant_id,
    project_id,
    received_at,
    died_at,
    events,
    reason,
    bytes,
    replay_asked_at,
    replayed_at,
    stored,
    duplicate,
});

impl From<Row> for Letter {
    fn from(row: Row) -> Self {
        Self {
            id: format!("{}:{}", row.partition, row.position),
            state: row.state.parse().unwrap_or(State::Dead),
            tenant: row.tenant_id,
            project: row.project_id,
            received_at: row.received_at,
            died_at: row.died_at,
            events: row.events,
            reason: row.reason,
            bytes: row.bytes,
            replay_asked_at: row.replay_asked_at,
            replayed_at: row.replayed_at,
            stored: row.stored,
            duplicate: row.duplicate,
        }
    }
}

/// The letters in the order of their names, after the one named: [`PAGE_LETTERS_MAX`] at most.
///
/// # Errors
/// If Postgres fails.
pub async fn list(pool: &PgPool, which: &Which, after: Option<LetterId>) -> Result<Vec<Letter>, sqlx::Error> {
    let (partition, position) = columns(which.id);
    let (after_partition, after_position) = columns(after);
    let rows: Vec<Row> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT partition, position::text AS position, state, tenant_id, project_id, received_at, died_at, events, reason,
                length(raw)::bigint AS bytes, replay_asked_at, replayed_at, stored, duplicate
         FROM dead_letter WHERE {IS_MEANT}
           AND ($7::int IS NULL OR (dead_letter.partition, dead_letter.position) > ($7, $8::text::numeric))
         ORDER BY dead_letter.partition, dead_letter.position LIMIT $9"
    )))
    .bind(partition)
    .bind(position)
    .bind(which.tenant.map(|tenant| tenant.0))
    .bind(&which.reason)
    .bind(which.since)
    .bind(which.state.map(State::as_str))
    .bind(after_partition)
    .bind(after_position)
    .bind(PAGE_LETTERS_MAX)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Letter::from).collect())
}

/// The bytes of a letter's frame; `None` if there is no such letter.
///
/// # Errors
/// If Postgres fails.
pub async fn raw(pool: &PgPool, id: LetterId) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let (partition, position) = columns(Some(id));
    sqlx::query_scalar("SELECT raw FROM dead_letter WHERE (partition, position) = ($1, $2::text::numeric)")
        .bind(partition)
        .bind(position)
        .fetch_optional(pool)
        .await
}

/// Asks for the replay of the letters meant that are dead. How many that are.
///
/// # Errors
/// If Postgres fails.
pub async fn ask_replay(pool: &PgPool, which: &Which) -> Result<u64, sqlx::Error> {
    change(pool, which, "state = 'asked', replay_asked_at = now()").await
}

/// Gives up the letters meant that are dead: their bytes are deleted, their events stay counted as dead. How many that
/// were.
///
/// # Errors
/// If Postgres fails.
pub async fn discard(pool: &PgPool, which: &Which) -> Result<u64, sqlx::Error> {
    change(pool, which, "state = 'discarded', discarded_at = now(), raw = ''").await
}

async fn change(pool: &PgPool, which: &Which, set: &'static str) -> Result<u64, sqlx::Error> {
    let (partition, position) = columns(which.id);
    let changed = sqlx::query(AssertSqlSafe(format!(
        "UPDATE dead_letter SET {set} WHERE state = 'dead' AND {IS_MEANT}"
    )))
    .bind(partition)
    .bind(position)
    .bind(which.tenant.map(|tenant| tenant.0))
    .bind(&which.reason)
    .bind(which.since)
    .bind(which.state.map(State::as_str))
    .execute(pool)
    .await?;
    Ok(changed.rows_affected())
}

/// How many letters are in which state, with their events.
///
/// # Errors
/// If Postgres fails.
pub async fn counts(pool: &PgPool) -> Result<Vec<(State, i64, Counts)>, sqlx::Error> {
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT state, count(*), sum(events)::bigint, sum(stored)::bigint, sum(duplicate)::bigint
         FROM dead_letter GROUP BY state ORDER BY state",
    )
    .fetch_all(pool)
    .await?;
    let count = |(state, letters, dead, stored, duplicate): (String, i64, i64, i64, i64)| {
        (state.parse().unwrap_or(State::Dead), letters, Counts { stored, duplicate, dead })
    };
    Ok(rows.into_iter().map(count).collect())
}

/// Why the budget could not be lifted.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// Postgres failed.
    #[error("Postgres can't be used")]
    Postgres(#[from] sqlx::Error),
    /// The log failed.
    #[error("the log can't be asked for its bounds")]
    Log(#[from] LogError),
}

/// Lets all that is in the log now become dead letters without counting against the budget. What comes later counts.
/// By partition: the end of what is forgiven.
///
/// # Errors
/// [`ResumeError`].
pub async fn resume(pool: &PgPool, log: &dyn EventLog) -> Result<Vec<u64>, ResumeError> {
    let ends: Vec<u64> = log.bounds().await?.into_iter().map(|bounds| bounds.end).collect();
    let columns: Vec<i64> = ends.iter().map(|end| i64::try_from(*end).unwrap_or(i64::MAX)).collect();
    sqlx::query(
        "UPDATE partition_cursor c SET dead_forgiven_below = greatest(c.dead_forgiven_below, e.end_offset)
         FROM unnest($1::bigint[]) WITH ORDINALITY AS e (end_offset, place) WHERE c.partition = e.place - 1",
    )
    .bind(columns)
    .execute(pool)
    .await?;
    Ok(ends)
}

/// A name as Postgres takes it.
pub(super) fn columns(id: Option<LetterId>) -> (Option<i32>, Option<String>) {
    let partition = id.map(|id| i32::try_from(id.partition).unwrap_or(i32::MAX));
    (partition, id.map(|id| id.position.number().to_string()))
}

/// A name as Postgres has it.
pub(super) fn id(partition: i32, position: &str) -> LetterId {
    LetterId {
        partition: u32::try_from(partition).unwrap_or_default(),
        position: Position::from_number(position.parse().unwrap_or_default()),
    }
}
