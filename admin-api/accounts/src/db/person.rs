//! People. They belong to no tenant.

use chrono::{DateTime, Utc};
use schemas::permission::PlatformRole;
use schemas::public_id::PersonId;
use serde::Serialize;
use sqlx::PgConnection;

use crate::db::pattern;
use crate::db::scope::PlatformScope;
use crate::error::AccountError;
use crate::page::Listed;

/// A person, as the person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Person {
    /// Its id.
    pub id: PersonId,
    /// Address for mails, in lower case. It was shown to be the person's.
    pub email: String,
    /// What the person is called.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

service::from_row!(Person { id: uuid, email, name, created_at });

/// A person, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SeenPerson {
    /// Its id.
    pub id: PersonId,
    /// Address for mails.
    pub email: String,
    /// What the person is called.
    pub name: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Since when it can't sign in.
    pub disabled_at: Option<DateTime<Utc>>,
    /// Whether a second factor is on: codes of an app, or a passkey.
    pub has_second_factor: bool,
    /// What it is for the platform.
    pub platform_role: Option<PlatformRole>,
}

impl Listed for SeenPerson {
    const LIST: &'static str = "people";
    type Key = PersonId;

    fn key(&self) -> PersonId {
        self.id
    }
}

type SeenRow = (uuid::Uuid, String, String, DateTime<Utc>, Option<DateTime<Utc>>, bool, Option<String>);

fn seen_person((id, email, name, created_at, disabled_at, has_second_factor, role): SeenRow) -> SeenPerson {
    let platform_role = role.and_then(|word| word.parse().ok());
    SeenPerson { id: id.into(), email, name, created_at, disabled_at, has_second_factor, platform_role }
}

/// A person and the hash of the password.
pub(crate) struct Credentials {
    pub(crate) id: PersonId,
    /// `None`: signs in through an OpenID provider.
    pub(crate) password_hash: Option<String>,
}

service::from_row!(Credentials { id: uuid, password_hash });

/// Makes a person. `false`: the address has one already.
pub(crate) async fn insert(
    scope: &mut PlatformScope,
    person: &Person,
    password_hash: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let made = sqlx::query(
        "INSERT INTO person (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (email) DO NOTHING",
    )
    .bind(person.id.uuid())
    .bind(&person.email)
    .bind(&person.name)
    .bind(password_hash)
    .bind(person.created_at)
    .execute(scope.connection())
    .await?;
    Ok(made.rows_affected() == 1)
}

pub(crate) async fn by_id(
    connection: &mut PgConnection,
    id: PersonId,
) -> Result<Option<Person>, sqlx::Error> {
    let query = sqlx::query_as("SELECT id, email, name, created_at FROM person WHERE id = $1");
    query.bind(id.uuid()).fetch_optional(connection).await
}

/// Lets nobody else change the person, or what is theirs, before the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection, id: PersonId) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT FROM person WHERE id = $1 FOR UPDATE").bind(id.uuid()).execute(connection).await?;
    Ok(())
}

/// Lets nobody change the person before the transaction ends, nor open a session for it.
pub(crate) async fn hold_changes(connection: &mut PgConnection, id: PersonId) -> Result<(), sqlx::Error> {
    let query = sqlx::query("SELECT FROM person WHERE id = $1 FOR NO KEY UPDATE");
    query.bind(id.uuid()).execute(connection).await?;
    Ok(())
}

/// Who signs in, whose password stays what it is before the transaction ends. `None`: the person is disabled.
pub(crate) async fn hold(
    connection: &mut PgConnection,
    id: PersonId,
) -> Result<Option<Credentials>, sqlx::Error> {
    let query = "SELECT id, password_hash FROM person WHERE id = $1 AND disabled_at IS NULL FOR SHARE";
    sqlx::query_as(query).bind(id.uuid()).fetch_optional(connection).await
}

pub(crate) async fn credentials(
    connection: &mut PgConnection,
    email: &str,
) -> Result<Option<Credentials>, sqlx::Error> {
    let query = sqlx::query_as("SELECT id, password_hash FROM person WHERE email = $1");
    query.bind(email).fetch_optional(connection).await
}

/// Calls the person something else.
pub(crate) async fn set_name(
    connection: &mut PgConnection,
    id: PersonId,
    name: &str,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("UPDATE person SET name = $2 WHERE id = $1");
    query.bind(id.uuid()).bind(name).execute(connection).await?;
    Ok(())
}

/// Gives the person another address.
///
/// # Errors
/// [`AccountError::Exists`] if it is somebody's.
pub(crate) async fn set_email(
    connection: &mut PgConnection,
    id: PersonId,
    email: &str,
) -> Result<(), AccountError> {
    let query = sqlx::query("UPDATE person SET email = $2 WHERE id = $1").bind(id.uuid()).bind(email);
    let changed = query.execute(connection).await;
    changed.map(|_| ()).map_err(AccountError::of_insert(|| format!("a person of the address {email}")))
}

/// People as operators see them: all, or those whose address begins with `query`, or whose id it is.
pub(crate) async fn seen(
    scope: &mut PlatformScope,
    query: Option<&str>,
    after: Option<PersonId>,
    limit: i64,
) -> Result<Vec<SeenPerson>, sqlx::Error> {
    macro_rules! select {
        ($people:literal) => {
            concat!(
                "SELECT p.id, p.email, p.name, p.created_at, p.disabled_at,
                        EXISTS (SELECT FROM second_factor f WHERE f.person_id = p.id AND f.confirmed_at IS NOT NULL)
                            OR EXISTS (SELECT FROM passkey k WHERE k.person_id = p.id),
                        m.role
                 FROM ",
                $people,
                " AS p LEFT JOIN platform_member m ON m.person_id = p.id
                 WHERE ($1::uuid IS NULL OR p.id > $1) ORDER BY p.id LIMIT $2"
            )
        };
    }
    let after = after.map(PersonId::uuid);
    let rows: Vec<SeenRow> = match query {
        None => sqlx::query_as(select!("person")).bind(after).bind(limit),
        Some(query) => match query.parse::<PersonId>() {
            Ok(id) => sqlx::query_as(select!("(SELECT * FROM person WHERE id = $3)"))
                .bind(after)
                .bind(limit)
                .bind(id.uuid()),
            Err(_) => {
                let (from, to) = pattern::beginning(&query.trim().to_lowercase());
                // OFFSET 0: what begins so is looked up first, and not every person in order.
                sqlx::query_as(select!(
                    "(SELECT * FROM person WHERE email ~>=~ $3 AND email ~<~ $4 OFFSET 0)"
                ))
                .bind(after)
                .bind(limit)
                .bind(from)
                .bind(to)
            }
        },
    }
    .fetch_all(scope.connection())
    .await?;
    Ok(rows.into_iter().map(seen_person).collect())
}

/// Since when the person can't sign in; `None`: it can.
pub(crate) async fn set_disabled(
    connection: &mut PgConnection,
    id: PersonId,
    since: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("UPDATE person SET disabled_at = $2 WHERE id = $1");
    query.bind(id.uuid()).bind(since).execute(connection).await?;
    Ok(())
}

/// Gives the person another password, if the hash is still `old`, or in any case without one.
pub(crate) async fn set_password(
    connection: &mut PgConnection,
    id: PersonId,
    old: Option<&str>,
    new: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query(
        "UPDATE person SET password_hash = $3 WHERE id = $1 AND ($2::text IS NULL OR password_hash = $2)",
    )
    .bind(id.uuid())
    .bind(old)
    .bind(new)
    .execute(connection)
    .await?;
    Ok(changed.rows_affected() == 1)
}
