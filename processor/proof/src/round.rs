//! A round of erasures, and how Postgres holds one.

use std::fmt::Write;

use clickhouse::Client;
use schemas::id::{Position, ProjectId, TenantId};
use schemas::subject::SubjectKind;
use schemas::time::Micros;
use sqlx::PgConnection;
use sqlx::types::chrono::{DateTime, Utc};

/// What an erasure takes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Events of somebody, or one event.
    Subject(SubjectKind, String),
    /// Events received before.
    Before(Micros),
}

/// One erasure of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Erasure {
    pub(crate) id: i64,
    pub(crate) tenant: TenantId,
    /// `None`: all of the tenant's.
    pub(crate) project: Option<ProjectId>,
    pub(crate) what: What,
    /// By partition: where the log ended after it was asked for.
    pub(crate) ends: Vec<u64>,
}

impl Erasure {
    /// Which rows it may take at all, as a condition.
    fn area(&self) -> String {
        let ends: Vec<String> =
            self.ends.iter().map(|end| Position::first_of(*end).number().to_string()).collect();
        let mut area = format!("tenant_id = {}", self.tenant);
        if let Some(project) = self.project {
            // Writing to a string does not fail.
            let _ = write!(area, " AND project_id = {project}");
        }
        let _ = write!(area, " AND position < arrayElement([{}], log_partition + 1)", ends.join(", "));
        area
    }
}

/// Erasures that are carried out together: all of subjects, or all of retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Which attempt this is: each has a number of its own.
    pub(crate) number: i64,
    /// Whether its rows are counted in the books, and only to be deleted.
    pub(crate) is_counted: bool,
    pub(crate) erasures: Vec<Erasure>,
}

impl Round {
    /// Whether the rows are chosen by their age, and not one by one.
    fn is_retention(&self) -> bool {
        self.erasures.iter().all(|erasure| matches!(erasure.what, What::Before(_)))
    }

    /// A condition on rows of `events` that is met by exactly those of this round. It holds no personal data: ClickHouse
    /// keeps the text of a mutation.
    pub(crate) fn rows(&self) -> String {
        let each: Vec<String> = self
            .erasures
            .iter()
            .filter_map(|erasure| match &erasure.what {
                What::Before(before) => Some(format!(
                    "({} AND received_at < fromUnixTimestamp64Micro(toInt64({})))",
                    erasure.area(),
                    before.0
                )),
                What::Subject(..) => None,
            })
            .collect();
        if self.is_retention() {
            return format!("({})", each.join(" OR "));
        }
        let mut tenants: Vec<i64> = self.erasures.iter().map(|erasure| erasure.tenant.0).collect();
        tenants.sort_unstable();
        tenants.dedup();
        let tenants: Vec<String> = tenants.iter().map(ToString::to_string).collect();
        format!(
            "(tenant_id IN ({}) AND (log_partition, position) IN (SELECT log_partition, position FROM erased_ids WHERE round = {}))",
            tenants.join(", "),
            self.number
        )
    }

    /// A query for those rows, each position once, with `whose`: the erasure, or in a round of retention the tenant.
    pub(crate) fn each_once(&self) -> String {
        if self.is_retention() {
            return format!(
                "SELECT log_partition, position, tenant_id, project_id, event_hash, received_at, tenant_id AS whose
                 FROM events FINAL WHERE {}",
                self.rows()
            );
        }
        format!(
            "SELECT log_partition, position, any(tenant_id) AS tenant_id, any(project_id) AS project_id,
                    any(event_hash) AS event_hash, any(received_at) AS received_at, min(erasure) AS whose
             FROM erased_ids WHERE round = {} GROUP BY log_partition, position",
            self.number
        )
    }

    /// The erasure that a row of [`Round::each_once`] belongs to.
    pub(crate) fn erasure(&self, whose: i64) -> Option<i64> {
        let is_retention = self.is_retention();
        let found = |erasure: &&Erasure| whose == if is_retention { erasure.tenant.0 } else { erasure.id };
        self.erasures.iter().find(found).map(|erasure| erasure.id)
    }

    /// Notes which rows the subjects have now, under this round's number. What an earlier attempt noted, or still notes,
    /// stands under another.
    ///
    /// # Errors
    /// If ClickHouse fails: this round must not be counted then.
    pub(crate) async fn note_rows(&self, client: &Client) -> Result<(), clickhouse::error::Error> {
        for erasure in &self.erasures {
            let What::Subject(kind, value) = &erasure.what else { continue };
            let note = format!(
                "INSERT INTO erased_ids (round, erasure, tenant_id, project_id, event_hash, received_at, log_partition, position)
                 SELECT {}, {}, tenant_id, project_id, event_hash, received_at, log_partition, position
                 FROM events WHERE {} AND {} = ?",
                self.number,
                erasure.id,
                erasure.area(),
                kind.column()
            );
            client
                .query(&note)
                .bind(value)
                .with_setting("async_insert", "0")
                .with_setting("insert_deduplicate", "0")
                .with_setting("wait_end_of_query", "1")
                // The text names the subject, and the log of queries is kept for weeks.
                .with_setting("log_queries", "0")
                .execute()
                .await?;
        }
        Ok(())
    }
}

/// The round whose rows are counted and not known to be gone.
///
/// # Errors
/// If Postgres fails.
pub(crate) async fn counted(tx: &mut PgConnection) -> Result<Option<Round>, sqlx::Error> {
    let rows: Vec<ErasureRow> = sqlx::query_as(
        "SELECT id, round, tenant_id, project_id, kind, subject, before, ends FROM erasure WHERE state = 'deleting' ORDER BY id",
    )
    .fetch_all(tx)
    .await?;
    Ok(round_of(rows, true))
}

pub(crate) struct ErasureRow {
    id: i64,
    round: Option<i64>,
    tenant_id: i64,
    project_id: Option<i64>,
    kind: String,
    subject: Option<String>,
    before: Option<DateTime<Utc>>,
    ends: Vec<i64>,
}

service::from_row!(ErasureRow { id, round, tenant_id, project_id, kind, subject, before, ends });

pub(crate) fn round_of(rows: Vec<ErasureRow>, is_counted: bool) -> Option<Round> {
    let number = rows.iter().filter_map(|row| row.round).max()?;
    let erasure = |row: ErasureRow| {
        let what = match (row.before, row.kind.parse(), row.subject) {
            (Some(before), ..) => What::Before(Micros(before.timestamp_micros())),
            (None, Ok(kind), Some(subject)) => What::Subject(kind, subject),
            (None, ..) => return None,
        };
        Some(Erasure {
            id: row.id,
            tenant: TenantId(row.tenant_id),
            project: row.project_id.map(ProjectId),
            what,
            ends: row.ends.into_iter().map(|end| u64::try_from(end).unwrap_or_default()).collect(),
        })
    };
    Some(Round { number, is_counted, erasures: rows.into_iter().filter_map(erasure).collect() })
}

/// An instant as Postgres holds it; what the calendar does not know becomes its end.
pub(crate) fn timestamp(at: Micros) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
