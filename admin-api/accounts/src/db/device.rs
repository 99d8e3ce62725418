//! Devices on which somebody signed in before.

use chrono::{DateTime, Utc};
use schemas::public_id::PersonId;
use sqlx::PgConnection;

use crate::secret::SecretHash;

/// Whether the person signed in on that device before. Noted as used now.
pub(crate) async fn is_known(
    connection: &mut PgConnection,
    email: &str,
    device: &SecretHash,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM known_device d JOIN person p ON p.id = d.person_id WHERE d.hash = $1 AND p.email = $2)",
    )
    .bind(device.as_slice())
    .bind(email)
    .fetch_one(connection)
    .await
}

/// From now on the device is known. `is_unused`: nobody has signed in on it.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    person: PersonId,
    device: &SecretHash,
    is_unused: bool,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO known_device (hash, person_id, last_used_at, is_unused) VALUES ($1, $2, $3, $4)",
    )
    .bind(device.as_slice())
    .bind(person.uuid())
    .bind(now)
    .bind(is_unused)
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether somebody signs in now for the first time on a device that is known. `true` comes once.
pub(crate) async fn begin_use(
    connection: &mut PgConnection,
    person: PersonId,
    device: &SecretHash,
) -> Result<bool, sqlx::Error> {
    let query = "UPDATE known_device SET is_unused = false WHERE hash = $1 AND person_id = $2 AND is_unused";
    let query = sqlx::query(query).bind(device.as_slice()).bind(person.uuid());
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// No device of the person is known any more.
pub(crate) async fn forget_all(connection: &mut PgConnection, person: PersonId) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM known_device WHERE person_id = $1");
    query.bind(person.uuid()).execute(connection).await?;
    Ok(())
}
