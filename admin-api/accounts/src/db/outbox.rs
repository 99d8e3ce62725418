//! Mails to be sent, and what became of them.

use chrono::{DateTime, Utc};
use schemas::public_id::MessageId;
use serde::{Deserialize, Serialize};
use service::store::changed;
use sqlx::PgConnection;

use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// The kind of the jobs that send mails: each mail has one, whose key is the mail's id.
pub const JOB: &str = "mail.send";

/// What such a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendMail {
    /// Which mail.
    pub mail: uuid::Uuid,
}

/// A mail that waits.
pub(crate) struct OutboxRow {
    pub(crate) id: MessageId,
    pub(crate) kind: String,
    pub(crate) recipient: String,
    pub(crate) sealed_body: Vec<u8>,
    pub(crate) created_at: DateTime<Utc>,
}

service::from_row!(OutboxRow { id: uuid, kind, recipient, sealed_body, created_at });

/// Puts a mail into the outbox, with the job that sends it.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    id: MessageId,
    kind: &str,
    recipient: &str,
    sealed_body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO outbox (id, kind, recipient, sealed_body, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id.uuid())
    .bind(kind)
    .bind(recipient)
    .bind(sealed_body)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    let (payload, key) = (SendMail { mail: id.uuid() }, id.uuid().to_string());
    let job = jobs::NewJob { kind: JOB, payload: &payload, not_before: None, key: Some(&key) };
    jobs::insert(connection, job).await?;
    Ok(())
}

const UNSENT: &str = "SELECT id, kind, recipient, sealed_body, created_at FROM outbox
     WHERE sent_at IS NULL AND dropped_at IS NULL";

/// Mails that wait, the oldest first.
pub(crate) async fn unsent(connection: &mut PgConnection, limit: i64) -> Result<Vec<OutboxRow>, sqlx::Error> {
    let query = format!("{UNSENT} ORDER BY created_at, id LIMIT $1");
    sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(limit).fetch_all(connection).await
}

/// One of them; `None`: it was sent, or is not to be.
pub(crate) async fn one_unsent(
    connection: &mut PgConnection,
    id: MessageId,
) -> Result<Option<OutboxRow>, sqlx::Error> {
    let query = format!("{UNSENT} AND id = $1");
    sqlx::query_as(sqlx::AssertSqlSafe(query)).bind(id.uuid()).fetch_optional(connection).await
}

/// Notes that a mail was sent: its link is forgotten here.
///
/// # Errors
/// If Postgres fails, or it is noted already.
pub async fn sent(
    connection: &mut PgConnection,
    id: MessageId,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "UPDATE outbox SET sent_at = $2, sealed_body = '' WHERE id = $1 AND sent_at IS NULL AND dropped_at IS NULL",
    );
    changed(&query.bind(id.uuid()).bind(now).execute(connection).await?, 1)
}

/// Notes that a mail is not to be sent, and why: its link is forgotten here.
///
/// # Errors
/// As [`sent`].
pub async fn dropped(
    connection: &mut PgConnection,
    id: MessageId,
    why: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "UPDATE outbox SET dropped_at = $2, dropped_why = $3, sealed_body = ''
         WHERE id = $1 AND sent_at IS NULL AND dropped_at IS NULL",
    );
    changed(&query.bind(id.uuid()).bind(now).bind(why).execute(connection).await?, 1)
}

/// How many mails were sent to that address since then.
///
/// # Errors
/// If Postgres fails.
pub async fn sent_since(
    connection: &mut PgConnection,
    recipient: &str,
    since: DateTime<Utc>,
) -> Result<i64, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE recipient = $1 AND sent_at > $2");
    query.bind(recipient).bind(since).fetch_one(connection).await
}

/// A mail, as operators see it: not what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SeenMail {
    /// Its id, which stands in its `Message-ID`, too.
    pub id: MessageId,
    /// Its template.
    pub kind: String,
    /// To whom.
    pub recipient: String,
    /// `waiting`, `sent`, `dropped`, or `dead`: its job was given up.
    pub state: String,
    /// When it was put here.
    pub created_at: DateTime<Utc>,
    /// When the relay took it.
    pub sent_at: Option<DateTime<Utc>>,
    /// Why it is not to be sent, or was not sent when that was last tried.
    pub why: Option<String>,
}

service::from_row!(SeenMail { id: uuid, kind, recipient, state, created_at, sent_at, why });

impl Listed for SeenMail {
    const LIST: &'static str = "outbox";
    type Key = (DateTime<Utc>, MessageId);

    fn key(&self) -> Self::Key {
        (self.created_at, self.id)
    }
}

/// Mails, the newest first: of that recipient, if one is named.
///
/// # Errors
/// [`AccountError::InvalidAt`] for a cursor of another list; if Postgres fails.
pub async fn list(
    connection: &mut PgConnection,
    recipient: Option<&str>,
    page: &PageRequest,
) -> Result<Page<SeenMail>, AccountError> {
    let before = page.after::<SeenMail>()?;
    let found = sqlx::query_as(
        "SELECT o.id, o.kind, o.recipient, o.created_at, o.sent_at, coalesce(o.dropped_why, j.last_error) AS why,
             CASE WHEN o.sent_at IS NOT NULL THEN 'sent' WHEN o.dropped_at IS NOT NULL THEN 'dropped'
                 WHEN j.dead_at IS NOT NULL THEN 'dead' ELSE 'waiting' END AS state
         FROM outbox o LEFT JOIN LATERAL (
             SELECT last_error, dead_at FROM job WHERE kind = $5 AND key = o.id::text
             ORDER BY dead_at DESC NULLS FIRST LIMIT 1) AS j ON true
         WHERE ($1::text IS NULL OR o.recipient = $1)
             AND ($2::timestamptz IS NULL OR (o.created_at, o.id) < ($2, $3))
         ORDER BY o.created_at DESC, o.id DESC LIMIT $4",
    )
    .bind(recipient)
    .bind(before.map(|(at, _)| at))
    .bind(before.map(|(_, id)| id.uuid()))
    .bind(page.rows())
    .bind(JOB)
    .fetch_all(connection)
    .await?;
    Ok(page.page(found))
}
