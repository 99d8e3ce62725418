//! Links in mails, and the second step of a sign-in: each is good once, and not for long.

use chrono::{DateTime, TimeDelta, Utc};
use schemas::public_id::PersonId;
use sqlx::PgConnection;

use crate::db::second_factor;
use crate::secret::SecretHash;

/// What a token lets one do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OneTime {
    /// Become a person, with what the payload says.
    Register,
    /// Choose another password.
    ResetPassword,
    /// Have the address that the payload says.
    ChangeEmail,
    /// Show the second factor.
    Challenge,
    /// Add a passkey.
    AddPasskey,
    /// Sign in with a passkey alone.
    PasskeyLogin,
    /// Join the provider's subject that the payload names to a person.
    LinkOpenId,
}

impl OneTime {
    fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::ResetPassword => "reset_password",
            Self::ChangeEmail => "change_email",
            Self::Challenge => "challenge",
            Self::AddPasskey => "add_passkey",
            Self::PasskeyLogin => "passkey_login",
            Self::LinkOpenId => "link_openid",
        }
    }

    /// For how long it is good.
    fn life(self) -> TimeDelta {
        match self {
            Self::Register | Self::ChangeEmail => TimeDelta::days(1),
            Self::ResetPassword => TimeDelta::hours(1),
            Self::Challenge | Self::AddPasskey | Self::PasskeyLogin => TimeDelta::minutes(5),
            Self::LinkOpenId => TimeDelta::minutes(10),
        }
    }
}

/// What stands behind a token.
pub(crate) struct Behind {
    pub(crate) person: Option<PersonId>,
    pub(crate) payload: Option<String>,
}

type Row = (Option<uuid::Uuid>, Option<String>);

fn behind((person, payload): Row) -> Behind {
    Behind { person: person.map(PersonId::from), payload }
}

pub(crate) async fn insert(
    connection: &mut PgConnection,
    purpose: OneTime,
    hash: &SecretHash,
    behind: &Behind,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO one_time_token (hash, purpose, person_id, payload, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(hash.as_slice())
    .bind(purpose.as_str())
    .bind(behind.person.map(PersonId::uuid))
    .bind(&behind.payload)
    .bind(now)
    .bind(now + purpose.life())
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that a token was used which no row stood for before: it says itself until when it is good. `false`: it was
/// used already.
pub(crate) async fn insert_used(
    connection: &mut PgConnection,
    purpose: OneTime,
    hash: &SecretHash,
    person: PersonId,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO one_time_token (hash, purpose, person_id, created_at, expires_at, used_at)
         VALUES ($1, $2, $3, $4, $5, $4) ON CONFLICT DO NOTHING",
    )
    .bind(hash.as_slice())
    .bind(purpose.as_str())
    .bind(person.uuid())
    .bind(now)
    .bind(expires_at)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Uses the token up: of many who try at once, one gets what stands behind it.
pub(crate) async fn spend(
    connection: &mut PgConnection,
    purpose: OneTime,
    hash: &SecretHash,
    now: DateTime<Utc>,
) -> Result<Option<Behind>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "UPDATE one_time_token SET used_at = $3, payload = NULL
         FROM (SELECT hash, payload FROM one_time_token WHERE hash = $1 FOR UPDATE) AS before
         WHERE one_time_token.hash = before.hash AND purpose = $2 AND used_at IS NULL AND expires_at > $3
         RETURNING person_id, before.payload",
    )
    .bind(hash.as_slice())
    .bind(purpose.as_str())
    .bind(now)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(behind))
}

/// Whose challenge it is, without using it up: a code may be mistyped.
pub(crate) async fn look(
    connection: &mut PgConnection,
    purpose: OneTime,
    hash: &SecretHash,
    now: DateTime<Utc>,
) -> Result<Option<Behind>, sqlx::Error> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT person_id, payload FROM one_time_token
         WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3",
    )
    .bind(hash.as_slice())
    .bind(purpose.as_str())
    .bind(now)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(behind))
}

/// Makes all other tokens of the person for that purpose worthless.
pub(crate) async fn forget(
    connection: &mut PgConnection,
    purpose: OneTime,
    person: PersonId,
) -> Result<(), sqlx::Error> {
    let query =
        sqlx::query("DELETE FROM one_time_token WHERE person_id = $1 AND purpose = $2 AND used_at IS NULL");
    query.bind(person.uuid()).bind(purpose.as_str()).execute(connection).await?;
    Ok(())
}

/// Makes worthless what was begun in the person's name and not finished: links, sign-ins, changes of address, passkeys
/// and the secret of an app. For an account that its person takes back: somebody else may have begun it.
pub(crate) async fn forget_begun(connection: &mut PgConnection, person: PersonId) -> Result<(), sqlx::Error> {
    let tokens = sqlx::query("DELETE FROM one_time_token WHERE person_id = $1 AND used_at IS NULL");
    tokens.bind(person.uuid()).execute(&mut *connection).await?;
    second_factor::remove_proposed(connection, person).await
}
