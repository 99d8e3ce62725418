//! Sessions, each with one family of refresh tokens.

use chrono::{DateTime, TimeDelta, Utc};
use schemas::id::TenantId;
use schemas::public_id::{PersonId, SessionId};
use serde::Serialize;
use sqlx::PgConnection;

use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};
use crate::realm::Realm;
use crate::secret::SecretHash;

/// From its beginning to its end, whatever is done in it.
const LIFE: TimeDelta = TimeDelta::days(90);
/// Without a refresh for so long it is over.
const IDLE: TimeDelta = TimeDelta::days(14);
/// How long after its successor was made a refresh token still gets an access token: two tabs race.
pub(crate) const GRACE: TimeDelta = TimeDelta::seconds(10);

/// A session, as its person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// What the client called itself when it signed in.
    pub user_agent: String,
    /// Where it signed in from.
    pub address: Option<String>,
    /// The country of that address in two letters; `None`: no geo database says so.
    pub country: Option<String>,
    /// When it signed in.
    pub created_at: DateTime<Utc>,
    /// When it last asked for an access token.
    pub last_seen_at: DateTime<Utc>,
}

service::from_row!(Session { id: uuid, user_agent, address, country, created_at, last_seen_at });

/// An open session: whose, for which tenant it works, and on which listener it is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenSession {
    pub(crate) id: SessionId,
    pub(crate) person: PersonId,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) realm: Realm,
}

type OpenRow = (uuid::Uuid, uuid::Uuid, Option<i64>);

fn open_session(realm: Realm, (id, person, tenant): OpenRow) -> OpenSession {
    OpenSession { id: id.into(), person: person.into(), tenant: tenant.map(TenantId), realm }
}

/// Opens a session. `false`: the person is disabled.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    session: &Session,
    of: OpenSession,
    refresh: &SecretHash,
) -> Result<bool, sqlx::Error> {
    let now = session.created_at;
    let made = sqlx::query(
        "WITH made AS (
             INSERT INTO session (id, person_id, current_tenant, user_agent, address, created_at, last_seen_at,
                                  expires_at, country, realm)
             SELECT $1, id, $3, $4, $5, $6, $6, $7, $9, $10 FROM person WHERE id = $2 AND disabled_at IS NULL
             RETURNING id)
         INSERT INTO refresh_token (hash, session_id, created_at) SELECT $8, id, $6 FROM made",
    )
    .bind(of.id.uuid())
    .bind(of.person.uuid())
    .bind(of.tenant.map(|tenant| tenant.0))
    .bind(&session.user_agent)
    .bind(&session.address)
    .bind(now)
    .bind(now + LIFE)
    .bind(refresh.as_slice())
    .bind(&session.country)
    .bind(of.realm.as_str())
    .execute(connection)
    .await?;
    Ok(made.rows_affected() == 1)
}

/// Whether the person has signed in within the time after which sessions are swept.
pub(crate) async fn has_any(connection: &mut PgConnection, person: PersonId) -> Result<bool, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT EXISTS (SELECT FROM session WHERE person_id = $1)");
    query.bind(person.uuid()).fetch_one(connection).await
}

/// Exchanges the refresh token `old` for `new`, in one statement: of many that try at once, one does.
pub(crate) async fn rotate(
    connection: &mut PgConnection,
    realm: Realm,
    old: &SecretHash,
    new: &SecretHash,
    now: DateTime<Utc>,
) -> Result<Option<OpenSession>, sqlx::Error> {
    let row: Option<OpenRow> = sqlx::query_as(
        "WITH spent AS (
             UPDATE refresh_token r SET superseded_at = $3 FROM session s JOIN person p ON p.id = s.person_id
             WHERE r.hash = $1 AND r.superseded_at IS NULL AND s.id = r.session_id AND s.ended_at IS NULL
                 AND s.expires_at > $3 AND s.last_seen_at > $4 AND s.realm = $5 AND p.disabled_at IS NULL
             RETURNING r.session_id),
         seen AS (
             UPDATE session s SET last_seen_at = greatest(s.last_seen_at, $3) FROM spent WHERE s.id = spent.session_id
             RETURNING s.id, s.person_id, s.current_tenant),
         child AS (INSERT INTO refresh_token (hash, session_id, created_at) SELECT $2, id, $3 FROM seen)
         SELECT id, person_id, current_tenant FROM seen",
    )
    .bind(old.as_slice())
    .bind(new.as_slice())
    .bind(now)
    .bind(now - IDLE)
    .bind(realm.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| open_session(realm, row)))
}

/// The open session of a refresh token that was exchanged already, and when.
pub(crate) async fn of_superseded(
    connection: &mut PgConnection,
    realm: Realm,
    token: &SecretHash,
    now: DateTime<Utc>,
) -> Result<Option<(OpenSession, DateTime<Utc>)>, sqlx::Error> {
    let row: Option<(uuid::Uuid, uuid::Uuid, Option<i64>, DateTime<Utc>)> = sqlx::query_as(
        "SELECT s.id, s.person_id, s.current_tenant, r.superseded_at
         FROM refresh_token r JOIN session s ON s.id = r.session_id JOIN person p ON p.id = s.person_id
         WHERE r.hash = $1 AND r.superseded_at IS NOT NULL AND s.ended_at IS NULL AND s.expires_at > $2
             AND s.realm = $3 AND p.disabled_at IS NULL",
    )
    .bind(token.as_slice())
    .bind(now)
    .bind(realm.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(id, person, tenant, at)| (open_session(realm, (id, person, tenant)), at)))
}

/// The session, if it is open and its person is not disabled.
pub(crate) async fn find_open(
    connection: &mut PgConnection,
    realm: Realm,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<OpenSession>, sqlx::Error> {
    let row: Option<OpenRow> = sqlx::query_as(
        "SELECT s.id, s.person_id, s.current_tenant FROM session s JOIN person p ON p.id = s.person_id
         WHERE s.id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 AND s.realm = $3 AND p.disabled_at IS NULL",
    )
    .bind(id.uuid())
    .bind(now)
    .bind(realm.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| open_session(realm, row)))
}

impl Listed for Session {
    const LIST: &'static str = "sessions";
    type Key = (DateTime<Utc>, uuid::Uuid);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id.uuid())
    }
}

/// A page of the person's open sessions, the newest first.
pub(crate) async fn list(
    connection: &mut PgConnection,
    person: PersonId,
    now: DateTime<Utc>,
    asked: &PageRequest,
) -> Result<Page<Session>, AccountError> {
    let before = asked.after::<Session>()?;
    let rows = sqlx::query_as(
        "SELECT id, user_agent, address, country, created_at, last_seen_at FROM session
         WHERE person_id = $1 AND ended_at IS NULL AND expires_at > $2 AND last_seen_at > $3
           AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5))
         ORDER BY created_at DESC, id DESC LIMIT $6",
    )
    .bind(person.uuid())
    .bind(now)
    .bind(now - IDLE)
    .bind(before.map(|(at, _)| at))
    .bind(before.map(|(_, id)| id))
    .bind(asked.rows())
    .fetch_all(connection)
    .await?;
    Ok(asked.page(rows))
}

/// One of the person's open sessions, which nobody else ends or goes on with until the transaction ends.
pub(crate) async fn find(
    connection: &mut PgConnection,
    person: PersonId,
    id: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Session>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, user_agent, address, country, created_at, last_seen_at FROM session
         WHERE person_id = $1 AND id = $2 AND ended_at IS NULL AND expires_at > $3 AND last_seen_at > $4
         FOR NO KEY UPDATE",
    )
    .bind(person.uuid())
    .bind(id.uuid())
    .bind(now)
    .bind(now - IDLE)
    .fetch_optional(connection)
    .await
}

/// Which sessions of a person are to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    One(SessionId),
    AllExcept(SessionId),
    All,
}

/// Ends sessions of the person, and says how many were open. Their refresh tokens are worth nothing from then on, and
/// their access
/// tokens neither.
pub(crate) async fn end(
    connection: &mut PgConnection,
    person: PersonId,
    which: Which,
    why: &str,
    now: DateTime<Utc>,
) -> Result<u64, sqlx::Error> {
    let (one, except) = match which {
        Which::One(id) => (Some(id.uuid()), None),
        Which::AllExcept(id) => (None, Some(id.uuid())),
        Which::All => (None, None),
    };
    let ended = sqlx::query(
        "UPDATE session SET ended_at = $2, ended_why = $3
         WHERE person_id = $1 AND ended_at IS NULL AND ($4::uuid IS NULL OR id = $4)
           AND ($5::uuid IS NULL OR id <> $5)",
    )
    .bind(person.uuid())
    .bind(now)
    .bind(why)
    .bind(one)
    .bind(except)
    .execute(connection)
    .await?;
    Ok(ended.rows_affected())
}

/// Which tenant the session works for from now on.
pub(crate) async fn switch(
    connection: &mut PgConnection,
    id: SessionId,
    tenant: TenantId,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query("UPDATE session SET current_tenant = $2 WHERE id = $1");
    query.bind(id.uuid()).bind(tenant.0).execute(connection).await?;
    Ok(())
}
