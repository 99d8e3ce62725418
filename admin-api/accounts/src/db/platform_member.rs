//! People of the platform.

use schemas::permission::PlatformRole;
use schemas::public_id::PersonId;
use sqlx::PgConnection;

use crate::db::scope::PlatformScope;

/// The person's role, whatever the person has shown.
pub(crate) async fn role_of(
    connection: &mut PgConnection,
    person: PersonId,
) -> Result<Option<PlatformRole>, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT role FROM platform_member WHERE person_id = $1");
    let word: Option<String> = query.bind(person.uuid()).fetch_optional(connection).await?;
    Ok(word.and_then(|word| word.parse().ok()))
}

/// The person's role, if a second factor is on and the person is not disabled: nobody else works for the platform.
pub(crate) async fn good_role_of(
    connection: &mut PgConnection,
    person: PersonId,
) -> Result<Option<PlatformRole>, sqlx::Error> {
    let query = sqlx::query_scalar(
        "SELECT m.role FROM platform_member m JOIN second_factor f ON f.person_id = m.person_id
         JOIN person p ON p.id = m.person_id
         WHERE m.person_id = $1 AND f.confirmed_at IS NOT NULL AND p.disabled_at IS NULL",
    );
    let word: Option<String> = query.bind(person.uuid()).fetch_optional(connection).await?;
    Ok(word.and_then(|word| word.parse().ok()))
}

pub(crate) async fn set(
    scope: &mut PlatformScope,
    person: PersonId,
    role: PlatformRole,
) -> Result<(), sqlx::Error> {
    let now = scope.now();
    let query = "INSERT INTO platform_member (person_id, role, created_at) VALUES ($1, $2, $3)
         ON CONFLICT (person_id) DO UPDATE SET role = excluded.role";
    sqlx::query(query).bind(person.uuid()).bind(role.as_str()).bind(now).execute(scope.connection()).await?;
    Ok(())
}

/// `false`: the person had no role.
pub(crate) async fn remove(scope: &mut PlatformScope, person: PersonId) -> Result<bool, sqlx::Error> {
    let query = sqlx::query("DELETE FROM platform_member WHERE person_id = $1").bind(person.uuid());
    Ok(query.execute(scope.connection()).await?.rows_affected() == 1)
}
