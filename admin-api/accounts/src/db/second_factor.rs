//! Second factors: a one-time code's secret, sealed, and recovery codes.

use chrono::{DateTime, TimeDelta, Utc};
use schemas::public_id::PersonId;
use sqlx::PgConnection;

use crate::secret::SecretHash;

/// The sealed secret, and whether it counts yet.
pub(crate) struct SecondFactor {
    pub(crate) sealed_secret: Vec<u8>,
    pub(crate) confirmed_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

service::from_row!(SecondFactor { sealed_secret, confirmed_at, created_at });

/// For how long a secret may be confirmed.
const PROPOSED: TimeDelta = TimeDelta::minutes(10);

impl SecondFactor {
    /// Whether a code of it would confirm it.
    pub(crate) fn is_proposed(&self, now: DateTime<Utc>) -> bool {
        self.confirmed_at.is_none() && now - self.created_at < PROPOSED
    }
}

pub(crate) async fn find(
    connection: &mut PgConnection,
    person: PersonId,
) -> Result<Option<SecondFactor>, sqlx::Error> {
    let query = "SELECT sealed_secret, confirmed_at, created_at FROM second_factor WHERE person_id = $1";
    sqlx::query_as(query).bind(person.uuid()).fetch_optional(connection).await
}

/// A secret that is not confirmed yet takes the place of another such. `false`: one is confirmed.
pub(crate) async fn propose(
    connection: &mut PgConnection,
    person: PersonId,
    sealed_secret: &[u8],
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let made = sqlx::query(
        "INSERT INTO second_factor AS f (person_id, sealed_secret, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (person_id) DO UPDATE SET sealed_secret = $2, created_at = $3 WHERE f.confirmed_at IS NULL",
    )
    .bind(person.uuid())
    .bind(sealed_secret)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Takes the code of that step, which confirms the secret. `false`: a code of it, or of a later one, was taken before.
pub(crate) async fn take_step(
    connection: &mut PgConnection,
    person: PersonId,
    step: i64,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query(
        "UPDATE second_factor SET last_step = $2, confirmed_at = coalesce(confirmed_at, $3)
         WHERE person_id = $1 AND last_step < $2",
    )
    .bind(person.uuid())
    .bind(step)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Recovery codes that the person has not used.
pub(crate) async fn recovery_codes_left(
    connection: &mut PgConnection,
    person: PersonId,
) -> Result<i64, sqlx::Error> {
    let query = "SELECT count(*) FROM recovery_code WHERE person_id = $1 AND used_at IS NULL";
    sqlx::query_scalar(query).bind(person.uuid()).fetch_one(connection).await
}

/// No recovery code stands in any more.
pub(crate) async fn remove_recovery_codes(
    connection: &mut PgConnection,
    person: PersonId,
) -> Result<(), sqlx::Error> {
    let codes = sqlx::query("DELETE FROM recovery_code WHERE person_id = $1").bind(person.uuid());
    codes.execute(connection).await?;
    Ok(())
}

/// Codes of an app are not asked for any more. `false`: there was no app.
pub(crate) async fn remove(connection: &mut PgConnection, person: PersonId) -> Result<bool, sqlx::Error> {
    let removed = sqlx::query("DELETE FROM second_factor WHERE person_id = $1").bind(person.uuid());
    Ok(removed.execute(connection).await?.rows_affected() == 1)
}

/// A secret that is not confirmed can't be any more.
pub(crate) async fn remove_proposed(
    connection: &mut PgConnection,
    person: PersonId,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("DELETE FROM second_factor WHERE person_id = $1 AND confirmed_at IS NULL");
    query.bind(person.uuid()).execute(connection).await?;
    Ok(())
}

/// The person's recovery codes are these, and no others.
pub(crate) async fn set_recovery_codes(
    connection: &mut PgConnection,
    person: PersonId,
    hashes: &[SecretHash],
) -> Result<(), sqlx::Error> {
    remove_recovery_codes(connection, person).await?;
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let new = sqlx::query("INSERT INTO recovery_code (person_id, hash) SELECT $1, unnest($2::bytea[])");
    new.bind(person.uuid()).bind(hashes).execute(connection).await?;
    Ok(())
}

/// Uses a recovery code up. `false`: it is none, or was used.
pub(crate) async fn spend_recovery_code(
    connection: &mut PgConnection,
    person: PersonId,
    hash: &SecretHash,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let query = sqlx::query(
        "UPDATE recovery_code SET used_at = $3 WHERE person_id = $1 AND hash = $2 AND used_at IS NULL",
    );
    let spent = query.bind(person.uuid()).bind(hash.as_slice()).bind(now).execute(connection).await?;
    Ok(spent.rows_affected() == 1)
}
