//! To whom no mails are sent: a relay refused the address, its owner wants none, or an operator says so.

use chrono::{DateTime, Utc};
use serde::Serialize;
use service::store::StoreError;
use sqlx::PgConnection;

use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

/// Which mails are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suppressed {
    /// None at all.
    All,
    /// Those that nobody needs, as invitations. What guards an account is sent.
    Optional,
}

impl Suppressed {
    fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Optional => "optional",
        }
    }
}

/// An address to which no mails are sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Suppression {
    /// The address.
    pub address: String,
    /// `all`, or `optional` for those alone that nobody needs.
    pub scope: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Until when; `None`: until somebody removes it.
    pub expires_at: Option<DateTime<Utc>>,
}

service::from_row!(Suppression { address, scope, reason, created_at, expires_at });

/// Sends no more of these mails to that address, until `until`.
///
/// # Errors
/// If Postgres fails.
pub async fn add(
    connection: &mut PgConnection,
    address: &str,
    which: Suppressed,
    reason: &str,
    now: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO mail_suppression AS s (address, scope, reason, created_at, expires_at)
         VALUES (lower($1), $2, $3, $4, $5)
         ON CONFLICT (address, scope) DO UPDATE SET reason = excluded.reason, created_at = excluded.created_at,
             expires_at = excluded.expires_at
         -- What is meant to last is not made shorter.
         WHERE s.expires_at < excluded.expires_at OR excluded.expires_at IS NULL",
    )
    .bind(address)
    .bind(which.as_str())
    .bind(reason)
    .bind(now)
    .bind(until)
    .execute(connection)
    .await?;
    Ok(())
}

/// Why a mail to that address is not to be sent; `None`: it is.
///
/// # Errors
/// If Postgres fails.
pub async fn find(
    connection: &mut PgConnection,
    address: &str,
    is_optional: bool,
    now: DateTime<Utc>,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT reason FROM mail_suppression
         WHERE address = lower($1) AND (scope = 'all' OR $2) AND (expires_at IS NULL OR expires_at > $3)
         ORDER BY scope LIMIT 1",
    )
    .bind(address)
    .bind(is_optional)
    .bind(now)
    .fetch_optional(connection)
    .await
}

/// Sends mails to that address again. Whether there was anything to remove.
///
/// # Errors
/// If Postgres fails.
pub async fn remove(connection: &mut PgConnection, address: &str) -> Result<bool, StoreError> {
    let query = sqlx::query("DELETE FROM mail_suppression WHERE address = lower($1)");
    Ok(query.bind(address).execute(connection).await?.rows_affected() > 0)
}

impl Listed for Suppression {
    const LIST: &'static str = "suppressions";
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.address.clone(), self.scope.clone())
    }
}

/// Addresses in their order.
///
/// # Errors
/// [`AccountError::InvalidAt`] for a cursor of another list; if Postgres fails.
pub async fn list(
    connection: &mut PgConnection,
    page: &PageRequest,
) -> Result<Page<Suppression>, AccountError> {
    let (address, scope) = page.after::<Suppression>()?.unzip();
    let found = sqlx::query_as(
        "SELECT address, scope, reason, created_at, expires_at FROM mail_suppression
         WHERE $1::text IS NULL OR (address, scope) > ($1, $2) ORDER BY address, scope LIMIT $3",
    )
    .bind(address)
    .bind(scope)
    .bind(page.rows())
    .fetch_all(connection)
    .await?;
    Ok(page.page(found))
}
