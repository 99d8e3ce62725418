//! Who the subjects of OpenID providers are here.

use chrono::{DateTime, Utc};
use schemas::public_id::PersonId;
use sqlx::PgConnection;

/// Whom a provider means: for one issuer always the same person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) subject: &'a str,
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
