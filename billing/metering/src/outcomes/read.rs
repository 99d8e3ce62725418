use chrono::{DateTime, Utc};
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::intake::{Intake, IntakeKind};
use schemas::time::Micros;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::lease::timestamp;

/// Counts in one page.
pub const PAGE_ROWS_MAX: u32 = 10_000;

/// What of a tenant's outcomes is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeQuery {
    /// From the minute that holds this instant.
    pub from: Micros,
    /// Up to here.
    pub to: Micros,
    /// In steps of this.
    pub interval: Interval,
    /// Of one project only.
    pub project: Option<ProjectId>,
    /// Of one key only.
    pub key: Option<KeyId>,
    /// What the last page named as its `next`.
    pub after: Option<Cursor>,
    /// Counts at most, 1 to [`PAGE_ROWS_MAX`].
    pub limit: u32,
}

/// The time for which counts are added up; steps begin with the minute, hour or day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// 60 s.
    Minute,
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// All of the time that is asked for.
    Total,
}

/// A page of a tenant's outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutcomePage {
    /// Whose.
    pub tenant: TenantId,
    /// Start of the first minute.
    pub from: DateTime<Utc>,
    /// The end.
    pub to: DateTime<Utc>,
    /// The steps.
    pub interval: Interval,
    /// By time, project, key and outcome.
    pub outcomes: Vec<OutcomeCount>,
    /// What to ask for to get the next page, if there is one.
    pub next: Option<Cursor>,
    /// When this was read. What ingest nodes have counted is some seconds older.
    pub as_of: DateTime<Utc>,
}

/// How many events and requests had one outcome in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutcomeCount {
    /// Start of the step.
    pub at: DateTime<Utc>,
    /// The project's name.
    pub project: String,
    /// The key; `None`: keys of the project for which a node had no room.
    pub key: Option<KeyId>,
    /// `accepted`, `duplicate_of_request`, `no_reply`, a problem's code, or a warning.
    pub outcome: String,
    /// What kind of outcome that is; `None`: a newer weir has written it.
    pub kind: Option<IntakeKind>,
    /// Events.
    pub events: i64,
    /// Requests that were refused before their events were read.
    pub requests: i64,
}

/// The last count of a page: `<microseconds since 1970>.<project>.<key or -1>.<outcome>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    at: Micros,
    project: i64,
    key: i64,
    outcome: String,
}

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(4, '.');
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or(());
        let (at, project, key) = (Micros(number()?), number()?, number()?);
        let is_at = (Micros(0)..Micros::RECEIVED_END).contains(&at);
        let outcome = parts.next().filter(|outcome| is_at && !outcome.contains('\0')).ok_or(())?;
        Ok(Self { at, project, key, outcome: outcome.to_owned() })
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { at, project, key, outcome } = self;
        serializer.collect_str(&format_args!("{}.{project}.{key}.{outcome}", at.0))
    }
}

impl Interval {
    /// How long it is; `None` for all of the time that is asked for.
    #[must_use]
    pub fn micros(self) -> Option<i64> {
        match self {
            Self::Minute => Some(Micros::HOUR / 60),
            Self::Hour => Some(Micros::HOUR),
            Self::Day => Some(24 * Micros::HOUR),
            Self::Total => None,
        }
    }
}

type CountRow = (DateTime<Utc>, i64, String, i64, String, i64, i64);

/// A page of what became of the tenant's events.
///
/// # Errors
/// If Postgres fails.
pub async fn of_tenant(
    pool: &PgPool,
    tenant: TenantId,
    query: &OutcomeQuery,
) -> Result<OutcomePage, sqlx::Error> {
    let minute = Micros::HOUR / 60;
    let from = Micros(query.from.0.div_euclid(minute) * minute);
    let limit = query.limit.clamp(1, PAGE_ROWS_MAX);
    let step = query.interval.micros().unwrap_or(Micros::RECEIVED_END.0);
    // All of UTC's steps begin at a multiple of their length since 1970; that of the whole time begins with it.
    let origin = if query.interval == Interval::Total { from } else { Micros(0) };
    let after = query.after.as_ref();
    let rows: Vec<CountRow> = sqlx::query_as(
        "WITH step AS (
             SELECT date_bin($4 * interval '1 microsecond', minute, $5) AS at, project_id,
                    coalesce(key_id, -1) AS key_id, outcome, events, requests
             FROM outcome_minute
             WHERE tenant_id = $1 AND minute >= greatest($2, $8) AND minute < $3
               AND ($6::bigint IS NULL OR project_id = $6) AND ($7::bigint IS NULL OR key_id = $7))
         SELECT at, s.project_id, coalesce(p.name, ''), s.key_id, outcome,
                sum(events)::bigint, sum(requests)::bigint
         FROM step s LEFT JOIN project p ON (p.tenant_id, p.id) = ($1, s.project_id)
         WHERE $8 IS NULL OR (at, s.project_id, s.key_id, outcome COLLATE \"C\") > ($8, $9, $10, $11::text COLLATE \"C\")
         GROUP BY at, s.project_id, p.name, s.key_id, outcome
         ORDER BY at, s.project_id, s.key_id, outcome COLLATE \"C\" LIMIT $12",
    )
    .bind(tenant.0)
    .bind(timestamp(from))
    .bind(timestamp(query.to))
    .bind(step)
    .bind(timestamp(origin))
    .bind(query.project.map(|project| project.0))
    .bind(query.key.map(KeyId::number))
    .bind(after.map(|after| timestamp(after.at)))
    .bind(after.map(|after| after.project))
    .bind(after.map(|after| after.key))
    .bind(after.map(|after| after.outcome.as_str()))
    .bind(i64::from(limit) + 1)
    .fetch_all(pool)
    .await?;
    let as_of = sqlx::query_scalar("SELECT now()").fetch_one(pool).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.get(limit).and(rows.get(limit - 1)).map(cursor);
    Ok(OutcomePage {
        tenant,
        from: timestamp(from),
        to: timestamp(query.to),
        interval: query.interval,
        outcomes: rows.into_iter().take(limit).map(count).collect(),
        next,
        as_of,
    })
}

fn cursor((at, project, _, key, outcome, ..): &CountRow) -> Cursor {
    Cursor { at: Micros(at.timestamp_micros()), project: *project, key: *key, outcome: outcome.clone() }
}

fn count((at, _, project, key, outcome, events, requests): CountRow) -> OutcomeCount {
    let kind = Intake::from_word(&outcome).map(Intake::kind);
    OutcomeCount { at, project, key: KeyId::from_number(key), outcome, kind, events, requests }
}
