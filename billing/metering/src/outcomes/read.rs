use chrono::{DateTime, Utc};
use schemas::id::{KeyId, ProjectId, TenantId};
use schemas::intake::{Intake, IntakeKind};
use schemas::public_id::PublicProjectId;
use schemas::time::Micros;
use serde::{Deserialize, Serialize};
use service::store::StoreError;
use sqlx::PgConnection;

use crate::db::outcome_minute::{self, Asked, Sum};
use crate::db::timestamp;

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
    /// What the last page named as its `next_cursor`.
    pub after: Option<Cursor>,
    /// Counts at most, 1 to [`PAGE_ROWS_MAX`].
    pub limit: u32,
}

/// The time for which counts are added up; steps begin with the minute, hour or day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OutcomePage {
    /// Start of the first minute.
    pub from: DateTime<Utc>,
    /// The end.
    pub to: DateTime<Utc>,
    /// The steps.
    pub interval: Interval,
    /// By time, project, key and outcome.
    pub items: Vec<OutcomeCount>,
    /// What to ask for to get the next page, if there is one.
    #[schema(value_type = Option<String>)]
    pub next_cursor: Option<Cursor>,
    /// When this was read. What ingest nodes have counted is some seconds older.
    pub as_of: DateTime<Utc>,
}

/// How many events and requests had one outcome in one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct OutcomeCount {
    /// Start of the step.
    pub at: DateTime<Utc>,
    /// The project; `None`: the tenant has it no more.
    pub project: Option<PublicProjectId>,
    /// The project's name.
    pub project_name: String,
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

/// A page of what became of the tenant's events.
///
/// # Errors
/// If Postgres fails.
pub async fn of_tenant(
    connection: &mut PgConnection,
    tenant: TenantId,
    query: &OutcomeQuery,
) -> Result<OutcomePage, StoreError> {
    let minute = Micros::HOUR / 60;
    let from = Micros(query.from.0.div_euclid(minute) * minute);
    let limit = query.limit.clamp(1, PAGE_ROWS_MAX);
    let after = query.after.as_ref();
    let asked = Asked {
        tenant,
        from,
        to: query.to,
        step: query.interval.micros().unwrap_or(Micros::RECEIVED_END.0),
        // All of UTC's steps begin at a multiple of their length since 1970; that of the whole time begins with it.
        origin: if query.interval == Interval::Total { from } else { Micros(0) },
        project: query.project,
        key: query.key,
        after: after.map(|after| (after.at, after.project, after.key, after.outcome.as_str())),
        rows_max: i64::from(limit) + 1,
    };
    let sums = outcome_minute::sums(&mut *connection, asked).await?;
    let as_of = outcome_minute::now(connection).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let next_cursor = sums.get(limit).and(sums.get(limit - 1)).map(cursor);
    Ok(OutcomePage {
        from: timestamp(from),
        to: timestamp(query.to),
        interval: query.interval,
        items: sums.into_iter().take(limit).map(count).collect(),
        next_cursor,
        as_of,
    })
}

fn cursor(sum: &Sum) -> Cursor {
    let (project, key, outcome) = (sum.project_id, sum.key_id, sum.outcome.clone());
    Cursor { at: Micros(sum.at.timestamp_micros()), project, key, outcome }
}

fn count(sum: Sum) -> OutcomeCount {
    let Sum { at, public_id, project, outcome, events, requests, .. } = sum;
    let kind = Intake::from_word(&outcome).map(Intake::kind);
    let (id, key) = (public_id.map(PublicProjectId::from), KeyId::from_number(sum.key_id));
    OutcomeCount { at, project: id, project_name: project, key, outcome, kind, events, requests }
}
