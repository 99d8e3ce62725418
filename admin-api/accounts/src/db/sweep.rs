//! Deletes what has expired: what it let somebody do, it does not any more, and its hashes and addresses serve nobody.

use chrono::{DateTime, TimeDelta, Utc};
use service::clock::Clock;
use service::store::StoreError;
use sqlx::PgPool;

use crate::caller::{Actor, Caller};
use crate::db::scope::PlatformScope;

/// Rows of a transaction: others wait for none of them long.
const ROWS: i64 = 1_000;

/// What is deleted of a table, and how long after it has expired. `$1` is that time ago, `$2` how many rows at most.
struct Sweep {
    table: &'static str,
    keep: TimeDelta,
    statement: &'static str,
}

const SWEEPS: [Sweep; 8] = [
    Sweep {
        table: "idempotent_request",
        keep: TimeDelta::zero(),
        statement: "DELETE FROM idempotent_request WHERE id IN (
            SELECT id FROM idempotent_request WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Sweep {
        table: "one_time_token",
        keep: TimeDelta::days(1),
        statement: "DELETE FROM one_time_token WHERE hash IN (
            SELECT hash FROM one_time_token WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Sweep {
        table: "attempt",
        // A day forgets.
        keep: TimeDelta::days(2),
        statement: "DELETE FROM attempt WHERE key IN (
            SELECT key FROM attempt WHERE last_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Sweep {
        // With its refresh tokens: until then, one of them that is shown again is known for what it is.
        table: "session",
        keep: TimeDelta::days(120),
        statement: "DELETE FROM session WHERE id IN (
            SELECT id FROM session WHERE last_seen_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Sweep {
        table: "known_device",
        keep: TimeDelta::days(400),
        statement: "DELETE FROM known_device WHERE hash IN (
            SELECT hash FROM known_device WHERE last_used_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Sweep {
        table: "invitation",
        keep: TimeDelta::days(90),
        statement: "DELETE FROM invitation WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM invitation WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Sweep {
        // One that was not sent by then, since its job is dead or there is no relay, is too old to be sent.
        table: "outbox",
        keep: TimeDelta::days(30),
        statement: "DELETE FROM outbox WHERE id IN (
            SELECT id FROM outbox WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
    Sweep {
        table: "mail_suppression",
        keep: TimeDelta::zero(),
        statement: "DELETE FROM mail_suppression WHERE (address, scope) IN (
            SELECT address, scope FROM mail_suppression WHERE expires_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)",
    },
];

/// Deletes all that has expired, a thousand rows at a time. It may be dropped at any point, and be done again.
///
/// # Errors
/// If Postgres fails.
pub async fn sweep(pool: &PgPool, clock: &Clock) -> Result<(), StoreError> {
    for Sweep { table, keep, statement } in SWEEPS {
        let mut deleted = 0;
        loop {
            let mut scope = PlatformScope::open_platform(pool, clock, Caller::local(Actor::System)).await?;
            let before: DateTime<Utc> = scope.now() - keep;
            let query = sqlx::query(statement).bind(before).bind(ROWS);
            let rows = query.execute(scope.connection()).await?.rows_affected();
            scope.commit().await?;
            deleted += rows;
            if i64::try_from(rows).unwrap_or(i64::MAX) < ROWS {
                break;
            }
        }
        if deleted > 0 {
            tracing::info!(table, deleted, "what had expired was deleted");
        }
    }
    Ok(())
}
