//! `dead_letter`: accepted events that could not be read, and what has become of them.

use std::time::Duration;

use schemas::id::{Position, TenantId};
use serde::Serialize;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, PgConnection, PgExecutor, PgPool};

use crate::letter::{DeadLetter, LetterId, State};

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
    /// Events that were appended to the log again then.
    pub copies: i64,
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
    copies: i64,
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
    copies,
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
            copies: row.copies,
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
        "SELECT partition, position::text AS position, state, tenant_id, project_id, received_at, died_at,
             events, reason,
                length(raw)::bigint AS bytes, replay_asked_at, replayed_at, copies
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

/// Writes letters, in the commit of their batch.
pub(crate) async fn insert(tx: &mut PgConnection, dead: &[DeadLetter]) -> Result<(), sqlx::Error> {
    for letter in dead {
        sqlx::query(
            "INSERT INTO dead_letter (partition, position, tenant_id, project_id, received_at, events, reason, raw,
                                      events_before, appended_at)
             VALUES ($1, $2::text::numeric, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(i64::from(letter.partition))
        .bind(letter.position.number().to_string())
        .bind(letter.owner.map(|(tenant, _)| tenant.0))
        .bind(letter.owner.map(|(_, project)| project.0))
        .bind(letter.received_at.and_then(|at| DateTime::from_timestamp_micros(at.0)))
        .bind(i64::from(letter.events))
        .bind(&letter.reason)
        .bind(&letter.raw)
        .bind(i32::from(letter.events_before))
        .bind(letter.appended_at())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Dead events of a partition that nobody has decided on, at or after the position `from`, of records appended later
/// than `window` before `newest`.
pub(crate) async fn open_events(
    executor: impl PgExecutor<'_>,
    partition: u32,
    from: Position,
    (newest, window): (DateTime<Utc>, Duration),
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT coalesce(sum(events), 0)::bigint FROM dead_letter
         WHERE partition = $1 AND state IN ('dead', 'asked') AND position >= $2::text::numeric
           AND appended_at > $3 - $4 * interval '1 second'",
    )
    .bind(i64::from(partition))
    .bind(from.number().to_string())
    .bind(newest)
    .bind(window.as_secs_f64())
    .fetch_one(executor)
    .await
}

/// A letter whose replay was asked for, with its bytes.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) id: LetterId,
    /// Events of its frame that could be read, and stand before it.
    pub(crate) events_before: u16,
    pub(crate) raw: Vec<u8>,
}

/// Takes the first letter whose replay was asked for and that nobody else is at: for `time` nobody else gets it.
pub(crate) async fn claim(
    executor: impl PgExecutor<'_>,
    time: Duration,
) -> Result<Option<Claimed>, sqlx::Error> {
    let row: Option<(i32, String, i32, Vec<u8>)> = sqlx::query_as(
        "UPDATE dead_letter d SET claimed_until = now() + $1 * interval '1 second'
         FROM (SELECT partition, position FROM dead_letter WHERE state = 'asked' AND claimed_until < now()
               ORDER BY partition, position LIMIT 1 FOR UPDATE SKIP LOCKED) AS first
         WHERE (d.partition, d.position) = (first.partition, first.position)
         RETURNING d.partition, d.position::text, d.events_before, d.raw",
    )
    .bind(time.as_secs_f64())
    .fetch_optional(executor)
    .await?;
    Ok(row.map(|(partition, position, events_before, raw)| Claimed {
        id: LetterId {
            partition: u32::try_from(partition).unwrap_or_default(),
            position: Position::from_number(position.parse().unwrap_or_default()),
        },
        events_before: u16::try_from(events_before).unwrap_or_default(),
        raw,
    }))
}

/// Notes that `copies` events of a letter that was asked for stand in the log once more.
pub(crate) async fn note_replayed(
    executor: impl PgExecutor<'_>,
    id: LetterId,
    copies: i64,
) -> Result<(), sqlx::Error> {
    let (partition, position) = columns(Some(id));
    sqlx::query(
        "UPDATE dead_letter SET state = 'replayed', replayed_at = now(), copies = $3, raw = ''
         WHERE (partition, position) = ($1, $2::text::numeric) AND state = 'asked'",
    )
    .bind(partition)
    .bind(position)
    .bind(copies)
    .execute(executor)
    .await?;
    Ok(())
}

/// Makes a letter that was asked for dead again, with what is wrong with it now.
pub(crate) async fn refuse_replay(
    executor: impl PgExecutor<'_>,
    id: LetterId,
    reason: &str,
) -> Result<(), sqlx::Error> {
    let (partition, position) = columns(Some(id));
    sqlx::query(
        "UPDATE dead_letter SET state = 'dead', reason = $3, claimed_until = '-infinity'
         WHERE (partition, position) = ($1, $2::text::numeric) AND state = 'asked'",
    )
    .bind(partition)
    .bind(position)
    .bind(reason)
    .execute(executor)
    .await?;
    Ok(())
}

/// Lets go of a letter of which nothing has come into the log.
pub(crate) async fn release(executor: impl PgExecutor<'_>, id: LetterId) -> Result<(), sqlx::Error> {
    let (partition, position) = columns(Some(id));
    sqlx::query(
        "UPDATE dead_letter SET claimed_until = '-infinity'
         WHERE (partition, position) = ($1, $2::text::numeric) AND state = 'asked'",
    )
    .bind(partition)
    .bind(position)
    .execute(executor)
    .await?;
    Ok(())
}

/// A name as Postgres takes it.
fn columns(id: Option<LetterId>) -> (Option<i32>, Option<String>) {
    let partition = id.map(|id| i32::try_from(id.partition).unwrap_or(i32::MAX));
    (partition, id.map(|id| id.position.number().to_string()))
}
