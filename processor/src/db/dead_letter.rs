//! `dead_letter`: accepted events that could not be read, and what has become of them. What operators decide about
//! them is written by accounts.

use std::time::Duration;

use schemas::id::Position;
use schemas::letter::LetterId;
use sqlx::types::chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::number;
use crate::letter::DeadLetter;

/// Writes letters, in the commit of their batch.
pub(crate) async fn insert(tx: &mut PgConnection, dead: &[DeadLetter]) -> Result<(), sqlx::Error> {
    if dead.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO dead_letter (partition, position, tenant_id, project_id, received_at, events, reason, raw,
                                  events_before, appended_at)
         SELECT partition, position::numeric, tenant, project, received, events, reason, raw, before, appended
         FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::bigint[], $7::text[],
                     $8::bytea[], $9::int[], $10::timestamptz[])
              AS letter (partition, position, tenant, project, received, events, reason, raw, before, appended)",
    )
    .bind(column(dead, |letter| i32::try_from(letter.partition).unwrap_or(i32::MAX)))
    .bind(column(dead, |letter| letter.position.number().to_string()))
    .bind(column(dead, |letter| letter.owner.map(|(tenant, _)| tenant.0)))
    .bind(column(dead, |letter| letter.owner.map(|(_, project)| project.0)))
    .bind(column(dead, |letter| letter.received_at.and_then(|at| DateTime::from_timestamp_micros(at.0))))
    .bind(column(dead, |letter| i64::from(letter.events)))
    .bind(column(dead, |letter| letter.reason.to_string()))
    .bind(dead.iter().map(|letter| letter.raw.as_ref()).collect::<Vec<&[u8]>>())
    .bind(column(dead, |letter| i32::from(letter.events_before)))
    .bind(column(dead, DeadLetter::appended_at))
    .execute(&mut *tx)
    .await?;
    Ok(())
}

fn column<T>(dead: &[DeadLetter], of: impl Fn(&DeadLetter) -> T) -> Vec<T> {
    dead.iter().map(of).collect()
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
    let (partition, position) = columns(id);
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
    let (partition, position) = columns(id);
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
    let (partition, position) = columns(id);
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
fn columns(id: LetterId) -> (i32, String) {
    (number(id.partition), id.position.number().to_string())
}
