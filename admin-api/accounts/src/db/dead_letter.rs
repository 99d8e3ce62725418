//! `dead_letter`, which the processor writes: what operators see of it, and decide.

mod decide;

use chrono::{DateTime, Utc};
use schemas::id::{Position, TenantId};
use schemas::letter::{LetterId, LetterState};
use schemas::public_id::{PublicProjectId, PublicTenantId};
use serde::Serialize;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::check;
use crate::db::scope::PlatformScope;
use crate::db::tenant;
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};

pub use decide::{Decision, decide};

/// Bytes of the words that a reason is looked through for.
const WORDS_BYTES_MAX: usize = 200;

/// A dead letter without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = DeadLetter)]
pub struct Letter {
    /// Its name: partition and position.
    pub id: LetterId,
    /// What has become of it.
    pub state: LetterState,
    /// Whose it is, if it could be read so far and the tenant is still there.
    pub tenant: Option<PublicTenantId>,
    /// Of which project.
    pub project: Option<PublicProjectId>,
    /// When ingest received it.
    pub received_at: Option<DateTime<Utc>>,
    /// When it became a dead letter.
    pub died_at: DateTime<Utc>,
    /// Accepted events that it stands for; 1 where that can't be known.
    pub events: i64,
    /// What is wrong with it.
    pub reason: String,
    /// Bytes of its frame.
    pub bytes: i64,
    /// When its replay was last asked for.
    pub replay_asked_at: Option<DateTime<Utc>>,
    /// When it was replayed.
    pub replayed_at: Option<DateTime<Utc>>,
    /// Events that were appended to the log again then.
    pub copies: i64,
}

/// Which letters. What is not named is not looked at.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Which {
    /// This one.
    pub id: Option<LetterId>,
    /// Of this tenant: its public id, slug or number.
    pub tenant: Option<String>,
    /// Those with these words in their reason.
    pub reason: Option<String>,
    /// That died not before.
    pub from: Option<DateTime<Utc>>,
    /// That died before.
    pub to: Option<DateTime<Utc>>,
    /// In this state.
    pub state: Option<LetterState>,
}

struct Row {
    partition: i32,
    position: String,
    state: String,
    tenant: Option<Uuid>,
    project: Option<Uuid>,
    received_at: Option<DateTime<Utc>>,
    died_at: DateTime<Utc>,
    events: i64,
    reason: String,
    bytes: i64,
    replay_asked_at: Option<DateTime<Utc>>,
    replayed_at: Option<DateTime<Utc>>,
    copies: i64,
}

service::from_row!(Row {
    partition,
    position,
    state,
    tenant,
    project,
    received_at,
    died_at,
    events,
    reason,
    bytes,
    replay_asked_at,
    replayed_at,
    copies,
});

impl From<Row> for Letter {
    fn from(row: Row) -> Self {
        let position = Position::from_number(row.position.parse().unwrap_or_default());
        Self {
            id: LetterId { partition: u32::try_from(row.partition).unwrap_or_default(), position },
            state: row.state.parse().unwrap_or(LetterState::Dead),
            tenant: row.tenant.map(Into::into),
            project: row.project.map(Into::into),
            received_at: row.received_at,
            died_at: row.died_at,
            events: row.events,
            reason: row.reason,
            bytes: row.bytes,
            replay_asked_at: row.replay_asked_at,
            replayed_at: row.replayed_at,
            copies: row.copies,
        }
    }
}

impl Listed for Letter {
    const LIST: &'static str = "dead_letters";
    type Key = (u32, u64);

    fn key(&self) -> Self::Key {
        (self.id.partition, self.id.position.number())
    }
}

/// The condition that [`Which`] makes of its parameters `$1` to `$7`.
const IS_MEANT: &str = "($1::int IS NULL OR (d.partition, d.position) = ($1, $2::text::numeric))
     AND ($3::bigint IS NULL OR d.tenant_id = $3) AND ($4::text IS NULL OR position($4 IN d.reason) > 0)
     AND ($5::timestamptz IS NULL OR d.died_at >= $5) AND ($6::timestamptz IS NULL OR d.died_at < $6)
     AND ($7::text IS NULL OR d.state = $7)";

/// Binds them.
macro_rules! bound {
    ($query:expr, $which:expr, $tenant:expr) => {{
        let (partition, position) = columns($which.id.map(|id| (id.partition, id.position.number())));
        $query
            .bind(partition)
            .bind(position)
            .bind($tenant.map(|tenant: TenantId| tenant.0))
            .bind(&$which.reason)
            .bind($which.from)
            .bind($which.to)
            .bind($which.state.map(LetterState::as_str))
    }};
}

use bound;

/// A page of letters in the order of their names.
///
/// # Errors
/// [`AccountError::NotFound`] if there is no such tenant.
pub async fn list(
    scope: &mut PlatformScope,
    which: &Which,
    asked: &PageRequest,
) -> Result<Page<Letter>, AccountError> {
    let tenant = which.checked(scope).await?;
    let (after_partition, after_position) = columns(asked.after::<Letter>()?);
    let query = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT d.partition, d.position::text AS position, d.state, t.public_id AS tenant, p.public_id AS project,
                d.received_at, d.died_at, d.events, d.reason, length(d.raw)::bigint AS bytes, d.replay_asked_at,
                d.replayed_at, d.copies
         FROM dead_letter d LEFT JOIN tenant_profile t ON t.tenant_id = d.tenant_id
         LEFT JOIN project_profile p ON (p.tenant_id, p.project_id) = (d.tenant_id, d.project_id)
         WHERE {IS_MEANT} AND ($8::int IS NULL OR (d.partition, d.position) > ($8, $9::text::numeric))
         ORDER BY d.partition, d.position LIMIT $10"
    )));
    let rows: Vec<Row> = bound!(query, which, tenant)
        .bind(after_partition)
        .bind(after_position)
        .bind(asked.rows())
        .fetch_all(scope.connection())
        .await?;
    Ok(asked.page(rows.into_iter().map(Letter::from).collect()))
}

/// One letter.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut PlatformScope, id: LetterId) -> Result<Letter, AccountError> {
    let which = Which { id: Some(id), ..Which::default() };
    let found = list(scope, &which, &PageRequest::default()).await?.items.pop();
    found.ok_or_else(|| AccountError::NotFound(format!("dead letter {id}")))
}

/// The bytes of a letter's frame; none once it is replayed or discarded.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn raw(scope: &mut PlatformScope, id: LetterId) -> Result<Vec<u8>, AccountError> {
    let (partition, position) = columns(Some((id.partition, id.position.number())));
    let raw = sqlx::query_scalar(
        "SELECT raw FROM dead_letter WHERE (partition, position) = ($1, $2::text::numeric)",
    );
    let raw = raw.bind(partition).bind(position).fetch_optional(scope.connection()).await?;
    raw.ok_or_else(|| AccountError::NotFound(format!("dead letter {id}")))
}

impl Which {
    /// The tenant that is named.
    async fn checked(&self, scope: &mut PlatformScope) -> Result<Option<TenantId>, AccountError> {
        check::time("letters/from", self.from)?;
        check::time("letters/to", self.to)?;
        if self.reason.as_ref().is_some_and(|words| words.is_empty() || words.len() > WORDS_BYTES_MAX) {
            let rule = format!("the words of a letter's reason have 1 to {WORDS_BYTES_MAX} bytes");
            return Err(AccountError::Invalid(rule));
        }
        match &self.tenant {
            Some(named) => Ok(Some(tenant::named(scope, named).await?)),
            None => Ok(None),
        }
    }
}

/// A name as Postgres takes it.
fn columns(name: Option<(u32, u64)>) -> (Option<i32>, Option<String>) {
    let partition = name.map(|(partition, _)| i32::try_from(partition).unwrap_or(i32::MAX));
    (partition, name.map(|(_, position)| position.to_string()))
}
