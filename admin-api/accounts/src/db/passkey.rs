//! People's passkeys.

use chrono::{DateTime, Utc};
use schemas::public_id::{PasskeyId, PersonId};
use serde::Serialize;
use sqlx::PgConnection;

use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// A passkey, as its person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Passkey {
    /// Its id.
    pub id: PasskeyId,
    /// What the person calls it.
    pub name: String,
    /// Whether it is kept in more than one place, as by a password manager.
    pub backed_up: bool,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last signed.
    pub last_used_at: Option<DateTime<Utc>>,
}

service::from_row!(Passkey { id: uuid, name, backed_up, created_at, last_used_at });

/// What a signature is verified with.
pub(crate) struct PasskeyRow {
    pub(crate) id: PasskeyId,
    pub(crate) person_id: PersonId,
    pub(crate) credential_id: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) sign_count: i64,
    pub(crate) transports: Vec<String>,
}

service::from_row!(PasskeyRow {
    id: uuid,
    person_id: uuid,
    credential_id,
    public_key,
    sign_count,
    transports
});

impl Listed for Passkey {
    const LIST: &'static str = "passkeys";
    type Key = (DateTime<Utc>, uuid::Uuid);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id.uuid())
    }
}

/// A page of the person's passkeys, the oldest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    person: PersonId,
    asked: &PageRequest,
) -> Result<Page<Passkey>, AccountError> {
    let after = asked.after::<Passkey>()?;
    let rows = sqlx::query_as(
        "SELECT id, name, backed_up, created_at, last_used_at FROM passkey
         WHERE person_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) > ($2, $3))
         ORDER BY created_at, id LIMIT $4",
    )
    .bind(person.uuid())
    .bind(after.map(|(at, _)| at))
    .bind(after.map(|(_, id)| id))
    .bind(asked.rows())
    .fetch_all(connection)
    .await?;
    Ok(asked.page(rows))
}

/// How many the person has.
pub(crate) async fn count(connection: &mut PgConnection, person: PersonId) -> Result<i64, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT count(*) FROM passkey WHERE person_id = $1");
    query.bind(person.uuid()).fetch_one(connection).await
}

/// All of the person's, with what is needed to ask for one.
pub(crate) async fn rows(
    connection: &mut PgConnection,
    person: PersonId,
) -> Result<Vec<PasskeyRow>, sqlx::Error> {
    let query = "SELECT id, person_id, credential_id, public_key, sign_count, transports FROM passkey
         WHERE person_id = $1 ORDER BY created_at, id LIMIT 200";
    sqlx::query_as(query).bind(person.uuid()).fetch_all(connection).await
}

/// The passkey of that id, whosever it is.
pub(crate) async fn find(
    connection: &mut PgConnection,
    credential_id: &[u8],
) -> Result<Option<PasskeyRow>, sqlx::Error> {
    let query = "SELECT id, person_id, credential_id, public_key, sign_count, transports FROM passkey
         WHERE credential_id = $1";
    sqlx::query_as(query).bind(credential_id).fetch_optional(connection).await
}

/// Adds one to the person's.
///
/// # Errors
/// [`AccountError::Exists`] if somebody has it, the same person or another one.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    row: &PasskeyRow,
    shown: &Passkey,
) -> Result<(), AccountError> {
    sqlx::query(
        "INSERT INTO passkey (id, person_id, credential_id, public_key, sign_count, backed_up, transports, name,
                              created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(row.id.uuid())
    .bind(row.person_id.uuid())
    .bind(&row.credential_id)
    .bind(&row.public_key)
    .bind(row.sign_count)
    .bind(shown.backed_up)
    .bind(&row.transports)
    .bind(&shown.name)
    .bind(shown.created_at)
    .execute(connection)
    .await
    .map_err(AccountError::of_insert(|| "that passkey".to_owned()))?;
    Ok(())
}

/// Takes a signature over, in one statement: of two with one count, one is taken. `false`: the count did not go on.
pub(crate) async fn use_up(
    connection: &mut PgConnection,
    id: PasskeyId,
    sign_count: u32,
    is_backed_up: bool,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let used = sqlx::query(
        "UPDATE passkey SET sign_count = $2, backed_up = $3, last_used_at = $4
         WHERE id = $1 AND (sign_count < $2 OR (sign_count, $2) = (0, 0))",
    )
    .bind(id.uuid())
    .bind(i64::from(sign_count))
    .bind(is_backed_up)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(used.rows_affected() == 1)
}

/// Removes all of the person's, and says how many.
pub(crate) async fn remove_all(connection: &mut PgConnection, person: PersonId) -> Result<u64, sqlx::Error> {
    let query = sqlx::query("DELETE FROM passkey WHERE person_id = $1").bind(person.uuid());
    Ok(query.execute(connection).await?.rows_affected())
}

/// One of the person's.
pub(crate) async fn one(
    connection: &mut PgConnection,
    person: PersonId,
    id: PasskeyId,
) -> Result<Option<Passkey>, sqlx::Error> {
    let query =
        "SELECT id, name, backed_up, created_at, last_used_at FROM passkey WHERE person_id = $1 AND id = $2";
    sqlx::query_as(query).bind(person.uuid()).bind(id.uuid()).fetch_optional(connection).await
}

/// Removes one of the person's, and says what it was. `None`: there is no such one.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    person: PersonId,
    id: PasskeyId,
) -> Result<Option<Passkey>, sqlx::Error> {
    let query = "DELETE FROM passkey WHERE person_id = $1 AND id = $2
         RETURNING id, name, backed_up, created_at, last_used_at";
    sqlx::query_as(query).bind(person.uuid()).bind(id.uuid()).fetch_optional(connection).await
}
