//! `verification`: proofs and repairs that operators ask for. Processors carry them out, one at a time; what processors
//! compare by themselves, all the time, is shown with them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::public_id::VerificationId;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::scope::PlatformScope;
use crate::error::AccountError;
use crate::page::{Listed, Page, PageRequest};
use crate::random::Random;

/// For so long a verification is kept after it has ended.
const KEPT: Duration = Duration::from_hours(24 * 90);
/// Ranges that do not agree of which the summary shows the details.
const SHOWN_MAX: i64 = 100;

/// A proof that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Verification {
    /// Its id.
    pub id: VerificationId,
    /// Whether what does not agree is repaired first.
    pub repairs: bool,
    /// `asked`, `running`, or `ended`.
    pub state: &'static str,
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
    /// By whom, as the audit has it.
    pub asked_by: String,
    /// When a processor began.
    pub begun_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Whether everything agrees; `null` after the end: that could not be found out.
    pub holds: Option<bool>,
    /// As `weir verify --json` prints it.
    #[schema(value_type = Option<Object>)]
    pub verdict: Option<Value>,
    /// What a repair has done, as `weir verify --repair --json` prints it.
    #[schema(value_type = Option<Object>)]
    pub done: Option<Value>,
    /// Why it could not be found out.
    pub problem: Option<String>,
}

/// What processors compare by themselves.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Reconciliation {
    /// When the last comparison ended; `None`: none has.
    pub compared_at: Option<DateTime<Utc>>,
    /// By partition: up to which offset rows were compared since their commit.
    pub partitions: Vec<ComparedPartition>,
    /// Ranges whose rows did not agree when they were last looked at.
    pub mismatched_ranges: i64,
    /// The first of them.
    pub mismatches: Vec<Mismatch>,
    /// What was asked for last.
    pub last_asked: Option<Verification>,
}

/// How far a partition was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ComparedPartition {
    /// The partition.
    pub partition: i32,
    /// All ranges before this offset were compared.
    pub compared_to: i64,
    /// The cursor, up to which there is something to compare.
    pub next_offset: i64,
}

/// A range of the log whose rows do not agree with the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Mismatch {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// One past the last.
    pub to: i64,
    /// What is wrong.
    pub detail: String,
    /// Since when.
    pub found_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    mends: bool,
    asked_at: DateTime<Utc>,
    asked_by: String,
    begun_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    holds: Option<bool>,
    result: Option<String>,
    problem: Option<String>,
}

service::from_row!(Row { id, mends, asked_at, asked_by, begun_at, ended_at, holds, result, problem });

impl From<Row> for Verification {
    fn from(row: Row) -> Self {
        let mut result: Value =
            row.result.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let mut member = |name: &str| result.get_mut(name).map(Value::take).filter(|value| !value.is_null());
        Self {
            id: row.id.into(),
            repairs: row.mends,
            state: match (row.begun_at, row.ended_at) {
                (_, Some(_)) => "ended",
                (Some(_), None) => "running",
                (None, None) => "asked",
            },
            asked_at: row.asked_at,
            asked_by: row.asked_by,
            begun_at: row.begun_at,
            ended_at: row.ended_at,
            holds: row.holds,
            verdict: member("verdict"),
            done: member("done"),
            problem: row.problem,
        }
    }
}

impl Listed for Verification {
    const LIST: &'static str = "verifications";
    type Key = (DateTime<Utc>, Uuid);

    fn key(&self) -> Self::Key {
        (self.asked_at, self.id.uuid())
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, mends, asked_at, asked_by, begun_at, ended_at, holds, result, problem FROM verification ",
            $rest
        )
    };
}

/// Asks for a proof; with a reason for the audit, for a repair before it.
///
/// # Errors
/// [`AccountError::Conflict`] if one is asked for already, or is under way.
pub async fn ask(
    scope: &mut PlatformScope,
    random: &Random,
    repair_because: Option<&str>,
) -> Result<Verification, AccountError> {
    if let Some(because) = repair_because {
        check::reason(because)?;
    }
    let forget = sqlx::query("DELETE FROM verification WHERE ended_at < $1");
    forget.bind(scope.now() - KEPT).execute(scope.connection()).await?;
    let open = sqlx::query_as(select!("WHERE ended_at IS NULL")).fetch_optional(scope.connection()).await?;
    if let Some(open) = open.map(|row: Row| Verification::from(row)) {
        return Err(already(Some(open.id)));
    }
    let (id, now, by) = (VerificationId::of_random(random.bytes()), scope.now(), scope.caller().actor);
    sqlx::query("INSERT INTO verification (id, mends, asked_at, asked_by) VALUES ($1, $2, $3, $4)")
        .bind(id.uuid())
        .bind(repair_because.is_some())
        .bind(now)
        .bind(by.to_string())
        .execute(scope.connection())
        .await
        .map_err(|error| match error.as_database_error() {
            Some(database) if database.is_unique_violation() => already(None),
            _ => error.into(),
        })?;
    let note = match repair_because {
        None => Note::new("verification.ask", id),
        Some(because) => Note::new("verification.repair", id).after(&because),
    };
    scope.note(Chain::OPERATORS, note);
    find(scope, id).await
}

fn already(open: Option<VerificationId>) -> AccountError {
    let which = open.map_or_else(String::new, |id| format!(": {id}"));
    AccountError::Conflict(format!("a verification is asked for already, and has not ended{which}"))
}

/// A page of verifications, the newest first.
///
/// # Errors
/// [`AccountError`].
pub async fn list(
    scope: &mut PlatformScope,
    asked: &PageRequest,
) -> Result<Page<Verification>, AccountError> {
    let before = asked.after::<Verification>()?;
    let rows: Vec<Row> = sqlx::query_as(select!(
        "WHERE $1::timestamptz IS NULL OR (asked_at, id) < ($1, $2) ORDER BY asked_at DESC, id DESC LIMIT $3"
    ))
    .bind(before.map(|(at, _)| at))
    .bind(before.map(|(_, id)| id))
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows.into_iter().map(Verification::from).collect()))
}

/// One of them.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find(scope: &mut PlatformScope, id: VerificationId) -> Result<Verification, AccountError> {
    let row = sqlx::query_as(select!("WHERE id = $1")).bind(id.uuid()).fetch_optional(scope.connection());
    let row: Option<Row> = row.await?;
    row.map(Into::into).ok_or_else(|| AccountError::NotFound(format!("verification {id}")))
}

/// What processors have found by themselves, and what was asked for last.
///
/// # Errors
/// If Postgres fails.
pub async fn reconciliation(scope: &mut PlatformScope) -> Result<Reconciliation, AccountError> {
    let compared_at =
        sqlx::query_scalar("SELECT ended_at FROM reconciliation").fetch_one(scope.connection()).await?;
    let partitions: Vec<(i32, i64, i64)> = sqlx::query_as(
        "SELECT c.partition, coalesce(r.new_to, 0), c.next_offset FROM partition_cursor c
         LEFT JOIN reconciled_partition r USING (partition) ORDER BY c.partition",
    )
    .fetch_all(scope.connection())
    .await?;
    let mismatched_ranges =
        sqlx::query_scalar("SELECT count(*) FROM mismatched_range").fetch_one(scope.connection()).await?;
    let mismatches: Vec<(i32, i64, i64, String, DateTime<Utc>)> = sqlx::query_as(
        "SELECT partition, lo, hi, detail, found_at FROM mismatched_range ORDER BY partition, lo LIMIT $1",
    )
    .bind(SHOWN_MAX)
    .fetch_all(scope.connection())
    .await?;
    let last_asked = list(scope, &PageRequest::default()).await?.items.into_iter().next();
    let partition =
        |(partition, compared_to, next_offset)| ComparedPartition { partition, compared_to, next_offset };
    let mismatch =
        |(partition, from, to, detail, found_at)| Mismatch { partition, from, to, detail, found_at };
    Ok(Reconciliation {
        compared_at,
        partitions: partitions.into_iter().map(partition).collect(),
        mismatched_ranges,
        mismatches: mismatches.into_iter().map(mismatch).collect(),
        last_asked,
    })
}
