//! Keys that sign access tokens.

use chrono::{DateTime, TimeDelta, Utc};
use schemas::lock;
use sqlx::PgConnection;

/// A key as it is stored.
pub(crate) struct SigningKeyRow {
    pub(crate) kid: String,
    pub(crate) public_key: Vec<u8>,
    pub(crate) sealed_private_key: Vec<u8>,
    pub(crate) state: String,
    pub(crate) current_since: Option<DateTime<Utc>>,
}

service::from_row!(SigningKeyRow { kid, public_key, sealed_private_key, state, current_since });

/// Lets no other transaction make or rotate keys until this one ends.
pub(crate) async fn take_turn(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock::SIGNING_KEY).execute(connection).await?;
    Ok(())
}

/// Keys that may have signed a token that is still good, and the next one.
pub(crate) async fn in_use(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    token_life: TimeDelta,
) -> Result<Vec<SigningKeyRow>, sqlx::Error> {
    sqlx::query_as(
        "SELECT kid, public_key, sealed_private_key, state, current_since FROM signing_key
         WHERE state <> 'retired' OR retired_at > $1 ORDER BY created_at, kid",
    )
    .bind(now - token_life)
    .fetch_all(connection)
    .await
}

/// The next key, sealed.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    key: &SigningKeyRow,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO signing_key (kid, public_key, sealed_private_key, state, created_at, current_since)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&key.kid)
    .bind(&key.public_key)
    .bind(&key.sealed_private_key)
    .bind(&key.state)
    .bind(now)
    .bind(key.current_since)
    .execute(connection)
    .await?;
    Ok(())
}

/// The current key retires, the next one becomes current; there is no next one then.
pub(crate) async fn advance(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    for statement in [
        "UPDATE signing_key SET state = 'retired', retired_at = $1 WHERE state = 'current'",
        "UPDATE signing_key SET state = 'current', current_since = $1 WHERE state = 'next'",
    ] {
        sqlx::query(statement).bind(now).execute(&mut *connection).await?;
    }
    Ok(())
}
