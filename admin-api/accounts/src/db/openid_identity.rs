//! Who the subjects of OpenID providers are here.

use chrono::{DateTime, Utc};
use schemas::public_id::PersonId;
use serde::Serialize;
use sqlx::PgConnection;

use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// Whom a provider means: for one issuer always the same person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
}

/// What signs a person in through a provider, as the person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct LinkedIdentity {
    /// The provider's name here.
    pub provider: String,
    /// Its issuer.
    pub issuer: String,
    /// Whom it means.
    pub subject: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

service::from_row!(LinkedIdentity { provider, issuer, subject, created_at });

impl Listed for LinkedIdentity {
    const LIST: &'static str = "identities";
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.issuer.clone(), self.subject.clone())
    }
}

/// A page of what signs the person in, by issuer and subject.
pub(crate) async fn list(
    connection: &mut PgConnection,
    person: PersonId,
    asked: &PageRequest,
) -> Result<Page<LinkedIdentity>, AccountError> {
    let after = asked.after::<LinkedIdentity>()?;
    let rows = sqlx::query_as(
        "SELECT provider, issuer, subject, created_at FROM openid_identity
         WHERE person_id = $1 AND ($2::text IS NULL OR (issuer, subject) > ($2, $3))
         ORDER BY issuer, subject LIMIT $4",
    )
    .bind(person.uuid())
    .bind(after.as_ref().map(|(issuer, _)| issuer))
    .bind(after.as_ref().map(|(_, subject)| subject))
    .bind(asked.rows())
    .fetch_all(connection)
    .await?;
    Ok(asked.page(rows))
}

/// Nobody whom the provider means is the person any more. Who that was.
pub(crate) async fn remove(
    connection: &mut PgConnection,
    person: PersonId,
    provider: &str,
) -> Result<Vec<LinkedIdentity>, sqlx::Error> {
    let query = "DELETE FROM openid_identity WHERE person_id = $1 AND provider = $2
         RETURNING provider, issuer, subject, created_at";
    sqlx::query_as(query).bind(person.uuid()).bind(provider).fetch_all(connection).await
}

/// How many there are of the person's.
pub(crate) async fn count(connection: &mut PgConnection, person: PersonId) -> Result<i64, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT count(*) FROM openid_identity WHERE person_id = $1");
    query.bind(person.uuid()).fetch_one(connection).await
}

/// The person whom a provider means.
pub(crate) async fn find(
    connection: &mut PgConnection,
    of: Subject<'_>,
) -> Result<Option<PersonId>, sqlx::Error> {
    let query =
        sqlx::query_scalar("SELECT person_id FROM openid_identity WHERE issuer = $1 AND subject = $2");
    let person: Option<uuid::Uuid> =
        query.bind(of.issuer).bind(of.subject).fetch_optional(connection).await?;
    Ok(person.map(PersonId::from))
}

/// From now on the provider's subject is that person. `false`: it is somebody already.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    of: Subject<'_>,
    person: PersonId,
    provider: &str,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query(
        "INSERT INTO openid_identity (issuer, subject, person_id, provider, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
    )
    .bind(of.issuer)
    .bind(of.subject)
    .bind(person.uuid())
    .bind(provider)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}
