//! When schedules come next.

use sqlx::{PgConnection, PgPool};

use crate::schedule::Schedule;

fn columns(schedules: &[Schedule]) -> (Vec<&'static str>, Vec<i64>, Vec<i64>) {
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    let names = schedules.iter().map(|schedule| schedule.name).collect();
    let spans = schedules.iter().map(|schedule| seconds(schedule.every).max(1)).collect();
    (names, spans, schedules.iter().map(|schedule| seconds(schedule.at)).collect())
}

/// Begins with those that are new, at their next time. One whose span has become shorter comes sooner.
pub(crate) async fn begin(pool: &PgPool, schedules: &[Schedule]) -> Result<(), sqlx::Error> {
    let (names, spans, ats) = columns(schedules);
    sqlx::query(
        "INSERT INTO job_schedule AS s (name, due_at)
         SELECT name, to_timestamp((floor((extract(epoch FROM now()) - at) / every) + 1) * every + at)
         FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS known (name, every, at) ORDER BY name
         ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at WHERE s.due_at > excluded.due_at",
    )
    .bind(names)
    .bind(spans)
    .bind(ats)
    .execute(pool)
    .await?;
    Ok(())
}

/// Makes a job of each schedule that is due, and says when it comes next: after now, however long ago it was due. Of
/// nodes that do this at once, one makes it: the others wait for the row, and find it due no more.
pub(crate) async fn fire(connection: &mut PgConnection, schedules: &[Schedule]) -> Result<u64, sqlx::Error> {
    let (names, spans, ats) = columns(schedules);
    let made = sqlx::query(
        "WITH fired AS (
             UPDATE job_schedule s
             SET due_at = to_timestamp((floor((extract(epoch FROM now()) - at) / every) + 1) * every + at),
                 fired_at = now()
             FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS known (name, every, at)
             WHERE s.name = known.name AND s.due_at <= now()
             RETURNING s.name)
         INSERT INTO job (kind, payload, key, due_at) SELECT name, '{}', 'schedule', now() FROM fired
         ON CONFLICT (kind, key) WHERE dead_at IS NULL DO NOTHING",
    )
    .bind(names)
    .bind(spans)
    .bind(ats)
    .execute(connection)
    .await?;
    Ok(made.rows_affected())
}
