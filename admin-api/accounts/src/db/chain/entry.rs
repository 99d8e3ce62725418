//! Entries of the audit, and the ends of their chains.

use chrono::{DateTime, Datelike, Utc};
use schemas::public_id::AuditId;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Chain;
use crate::error::AccountError;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = AuditEntry)]
pub struct Entry {
    /// Its chain: the tenant's id, or a negative number for one of the platform's.
    #[serde(skip)]
    pub chain: i64,
    /// Its number in its chain, from 1.
    pub seq: i64,
    /// Its id.
    pub id: AuditId,
    /// When the change's transaction began.
    pub at: DateTime<Utc>,
    /// Who: a public id, `operator` or `system`.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub target: String,
    /// What it was like, as JSON.
    pub before: Option<String>,
    /// What it is like since, as JSON.
    pub after: Option<String>,
    /// The address that the request came from.
    pub address: Option<String>,
    /// The id of the request.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub request_id: Option<Uuid>,
    /// SHA-256 over all of this and the hash before.
    #[serde(skip)]
    pub hash: Vec<u8>,
}

service::from_row!(Entry {
    chain,
    seq,
    id: uuid,
    at,
    actor,
    action,
    target,
    before,
    after,
    address,
    request_id,
    hash,
});

/// The last entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its number; 0: there is none.
    pub(crate) seq: i64,
    pub(super) hash: Vec<u8>,
}

service::from_row!(Head { seq, hash });

impl Default for Head {
    /// The head of a chain without entries.
    fn default() -> Self {
        Self { seq: 0, hash: vec![0; 32] }
    }
}

pub(super) async fn lock_head(connection: &mut PgConnection, chain: Chain) -> Result<Head, sqlx::Error> {
    sqlx::query_as(
        "INSERT INTO audit_head AS h (chain, tenant_id) VALUES ($1, $2)
         ON CONFLICT (chain) DO UPDATE SET seq = h.seq RETURNING seq, hash",
    )
    .bind(chain.number())
    .bind(chain.tenant().map(|tenant| tenant.0))
    .fetch_one(connection)
    .await
}

pub(super) async fn move_head(
    connection: &mut PgConnection,
    chain: Chain,
    head: &Head,
) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE audit_head SET seq = $2, hash = $3 WHERE chain = $1")
        .bind(chain.number())
        .bind(head.seq)
        .bind(&head.hash)
        .execute(connection)
        .await?;
    Ok(())
}

pub(crate) async fn head(connection: &mut PgConnection, chain: Chain) -> Result<Head, sqlx::Error> {
    let head = sqlx::query_as("SELECT seq, hash FROM audit_head WHERE chain = $1");
    Ok(head.bind(chain.number()).fetch_optional(connection).await?.unwrap_or_default())
}

pub(super) async fn insert(
    connection: &mut PgConnection,
    chain: Chain,
    entry: &Entry,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO audit_entry (chain, seq, tenant_id, id, at, actor, action, target, before, after, address,
                                  request_id, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(entry.chain)
    .bind(entry.seq)
    .bind(chain.tenant().map(|tenant| tenant.0))
    .bind(entry.id.uuid())
    .bind(entry.at)
    .bind(&entry.actor)
    .bind(&entry.action)
    .bind(&entry.target)
    .bind(&entry.before)
    .bind(&entry.after)
    .bind(&entry.address)
    .bind(entry.request_id)
    .bind(&entry.hash)
    .execute(connection)
    .await?;
    Ok(())
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT chain, seq, id, at, actor, action, target, before, after, address, request_id, hash
             FROM audit_entry WHERE chain = $1 AND ",
            $rest
        )
    };
}

/// `$4` to `$8` are a [`Filter`].
macro_rules! select_filtered {
    ($rest:literal) => {
        concat!(
            select!(""),
            "($4::text IS NULL OR actor = $4)
             AND ($5::text IS NULL OR action = $5 OR ($5 LIKE '%.*' AND starts_with(action, left($5, -1))))
             AND ($6::text IS NULL OR target = $6)
             AND ($7::timestamptz IS NULL OR at >= $7) AND ($8::timestamptz IS NULL OR at < $8) AND ",
            $rest
        )
    };
}

/// Which entries somebody asks for. What is not named is not looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Who: a public id, `operator` or `system`.
    pub actor: Option<String>,
    /// What was done, as in `key.create`; `key.*`: whatever was done to keys.
    pub action: Option<String>,
    /// To what.
    pub target: Option<String>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
}

/// Bytes of what a filter asks for. An export notes its filter in the audit.
const ASKED_BYTES_MAX: usize = 200;

impl Filter {
    /// # Errors
    /// [`AccountError::InvalidAt`] for what can be in no entry.
    pub(crate) fn check(&self) -> Result<(), AccountError> {
        for (name, text) in [("actor", &self.actor), ("action", &self.action), ("target", &self.target)] {
            if text.as_ref().is_some_and(|text| text.len() > ASKED_BYTES_MAX || text.contains('\0')) {
                let rule = format!("{name} has at most {ASKED_BYTES_MAX} bytes, and no U+0000");
                return Err(AccountError::parameter(name, rule));
            }
        }
        for (name, at) in [("from", self.from), ("to", self.to)] {
            if at.is_some_and(|at| !(1970..2200).contains(&at.year())) {
                return Err(AccountError::parameter(name, format!("{name} lies between 1970 and 2200")));
            }
        }
        Ok(())
    }
}

/// Entries after number `after`, the oldest first.
pub(super) async fn oldest(
    connection: &mut PgConnection,
    chain: Chain,
    after: i64,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let query = sqlx::query_as(select!("seq > $2 ORDER BY seq LIMIT $3"));
    query.bind(chain.number()).bind(after).bind(limit).fetch_all(connection).await
}

/// Which way a page of entries goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Onward {
    /// Before that number, the newest first.
    Before(i64),
    /// After that number, the oldest first.
    After(i64),
}

/// Some of the entries that somebody asks for.
pub(crate) async fn page(
    connection: &mut PgConnection,
    chain: Chain,
    filter: &Filter,
    onward: Onward,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let (query, edge) = match onward {
        Onward::Before(seq) => (select_filtered!("seq < $2 ORDER BY seq DESC LIMIT $3"), seq),
        Onward::After(seq) => (select_filtered!("seq > $2 ORDER BY seq LIMIT $3"), seq),
    };
    sqlx::query_as(query)
        .bind(chain.number())
        .bind(edge)
        .bind(limit)
        .bind(&filter.actor)
        .bind(&filter.action)
        .bind(&filter.target)
        .bind(filter.from)
        .bind(filter.to)
        .fetch_all(connection)
        .await
}
