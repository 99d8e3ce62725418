//! Usage step by step: by hour, day or month, and by project, meter or event.
//!
//! Steps in which nothing was counted are left out, as OpenMeter does it. Figures come from the ledger, as they are
//! billed; by event they come from the roll-up, which counts what is stored in hours that are over.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clickhouse::Client;
use schemas::id::{ProjectId, TenantId};
use schemas::public_id::PublicProjectId;
use schemas::time::Micros;
use serde::{Deserialize, Serialize};
use service::store::{CLICKHOUSE, StoreError, in_time};
use sqlx::PgConnection;

use crate::db::events_hourly::{self, NameSum};
use crate::db::tenant_rows::TenantRows;
use crate::db::usage_hour::{self, StepSums, Steps};
use crate::db::{tenant, timestamp};
use crate::period::Period;

/// Items in one answer.
pub const ITEMS_MAX: u32 = 10_000;
/// How long ClickHouse may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

/// The time for which figures are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Hours of UTC.
    Hour,
    /// Days in the time zone of the answer. An hour counts for the day in which it begins.
    #[default]
    Day,
    /// Months there; in the tenant's own zone, billing periods.
    Month,
}

impl Step {
    /// The word in requests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Days that one answer spans at most.
    #[must_use]
    pub fn days_max(self) -> i64 {
        match self {
            Self::Hour => 31,
            Self::Day => 400,
            Self::Month => 3_660,
        }
    }
}

/// What each figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// The project.
    Project,
    /// The meter.
    Meter,
    /// The event's name.
    Event,
}

/// What of a tenant's usage is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesQuery<'a> {
    /// The only projects that the caller may see; `None`: all.
    pub projects: Option<&'a [ProjectId]>,
    /// From the hour that holds this instant; without it, from the beginning of the period that holds `now`.
    pub from: Option<Micros>,
    /// Up to here; without it, to the end of that period.
    pub to: Option<Micros>,
    /// What time it is.
    pub now: Micros,
    /// In steps of this.
    pub by: Step,
    /// Apart for each of this.
    pub group: Option<Group>,
    /// Where days and months begin; without it, in the tenant's zone.
    pub zone: Option<Tz>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// There is no such tenant.
    #[error("there is no such tenant")]
    NoTenant,
    /// It is too much at once, or nothing: which parameter is to blame, and what it may be.
    #[error("{1}")]
    Range(&'static str, String),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for SeriesError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A tenant's usage, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = Usage)]
pub struct Series {
    /// First instant of the billing period that holds the present.
    pub period_start: DateTime<Utc>,
    /// First instant after it.
    pub period_end: DateTime<Utc>,
    /// Events a period; `None`: no cap.
    pub quota: Option<i64>,
    /// What ingest nodes have been granted of it: used, or held to be used. `None` for who sees some projects alone.
    pub granted: Option<i64>,
    /// The first instant of what is counted.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub to: DateTime<Utc>,
    /// Where days and months begin.
    pub time_zone: String,
    /// The steps.
    pub by: Step,
    /// What the items are apart for.
    pub group: Option<Group>,
    /// Stored and billed, from `from` to `to`.
    pub stored: i64,
    /// Accepted, but seen before: not billed.
    pub duplicate: i64,
    /// Accepted, but in the dead letters: not billed.
    pub dead: i64,
    /// By time and group. Steps in which nothing was counted are left out.
    pub items: Vec<UsageItem>,
    /// When these figures were read. They hold all that had been processed by then; by event, all of hours that were
    /// over some minutes before.
    pub as_of: DateTime<Utc>,
}

/// Figures of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct UsageItem {
    /// Start of the step.
    pub at: DateTime<Utc>,
    /// By project: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub project: Option<PublicProjectId>,
    /// By project: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub project_name: Option<String>,
    /// By meter: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub meter: Option<String>,
    /// By event: its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub event: Option<String>,
    /// Stored.
    pub stored: i64,
    /// Seen before; `None`: not known by event.
    pub duplicate: Option<i64>,
    /// In the dead letters; `None`: not known by event.
    pub dead: Option<i64>,
}

/// The range, once the tenant's zone is known.
struct Range {
    from: Micros,
    to: Micros,
    /// Nothing else was asked for: exactly the period, also where its beginning is within an hour.
    period: Option<Micros>,
}

impl SeriesQuery<'_> {
    fn range(&self, period: Period) -> Result<Range, SeriesError> {
        let is_default = self.from.is_none() && self.to.is_none();
        let (from, to) = (self.from.unwrap_or(period.start), self.to.unwrap_or(period.end));
        if from.0 < 0 || to >= Micros::RECEIVED_END || from >= to {
            let rule = "from must lie before to, and both between 1970 and 2200";
            return Err(SeriesError::Range("from", rule.to_owned()));
        }
        let days = self.by.days_max();
        if to.0 - from.0 > days.saturating_mul(Micros::DAY) {
            let rule = format!("by {} spans {days} days at most: ask for less at once", self.by.as_str());
            return Err(SeriesError::Range("by", rule));
        }
        Ok(Range { from: from.hour(), to, period: is_default.then_some(period.start) })
    }
}

/// What Postgres knows of a tenant's usage. By event the items are still missing: [`Counted::complete`] asks ClickHouse
/// for them, and the connection to Postgres is given back before that.
#[derive(Debug)]
#[must_use]
pub struct Counted {
    series: Series,
    by_event: Option<ByEvent>,
}

/// Which items ClickHouse is to be asked for.
#[derive(Debug)]
struct ByEvent {
    tenant: TenantId,
    projects: Option<Vec<ProjectId>>,
    range: (Micros, Micros),
    step: (&'static str, Tz),
}

/// The tenant's usage, as far as Postgres knows it.
///
/// # Errors
/// [`SeriesError`].
pub async fn of_tenant(
    connection: &mut PgConnection,
    tenant: TenantId,
    query: &SeriesQuery<'_>,
) -> Result<Counted, SeriesError> {
    let terms = tenant::terms(&mut *connection, tenant).await?;
    let (own_zone, quota) = terms.ok_or(SeriesError::NoTenant)?;
    let own_zone: Tz = own_zone.parse().unwrap_or(Tz::UTC);
    let period = Period::month_of(query.now, own_zone);
    let range = query.range(period)?;
    let zone = query.zone.unwrap_or(own_zone);
    let current = usage_hour::of_period(&mut *connection, tenant, period.start).await?;
    let steps = Steps {
        tenant,
        from: range.from,
        to: range.to,
        period: range.period,
        step: None,
        zone: zone.name(),
        by_period: false,
        by_project: false,
        by_meter: false,
        rows_max: i64::from(ITEMS_MAX) + 1,
    };
    let total = usage_hour::by_step(&mut *connection, steps).await?.into_iter().next();
    let items = match query.group {
        Some(Group::Event) => Vec::new(),
        group => {
            let steps = Steps {
                step: Some(query.by.as_str()),
                zone: if query.by == Step::Hour { Tz::UTC.name() } else { zone.name() },
                by_period: query.by == Step::Month && zone == own_zone,
                by_project: group == Some(Group::Project),
                by_meter: group == Some(Group::Meter),
                ..steps
            };
            usage_hour::by_step(connection, steps).await?.into_iter().map(item).collect()
        }
    };
    hold_to_limit(&items)?;
    let by_event = (query.group == Some(Group::Event)).then(|| ByEvent {
        tenant,
        projects: query.projects.map(<[_]>::to_vec),
        range: (range.from, range.to),
        step: (query.by.as_str(), if query.by == Step::Hour { Tz::UTC } else { zone }),
    });
    let of_total = |figure: fn(&StepSums) -> i64| total.as_ref().map_or(0, figure);
    let series = Series {
        period_start: timestamp(period.start),
        period_end: timestamp(period.end),
        quota,
        granted: query.projects.is_none().then_some(current.granted),
        from: timestamp(range.from),
        to: timestamp(range.to),
        time_zone: zone.name().to_owned(),
        by: query.by,
        group: query.group,
        stored: of_total(|sums| sums.stored),
        duplicate: of_total(|sums| sums.duplicate),
        dead: of_total(|sums| sums.dead),
        items,
        as_of: current.as_of,
    };
    Ok(Counted { series, by_event })
}

impl Counted {
    /// All of it.
    ///
    /// # Errors
    /// [`SeriesError`].
    pub async fn complete(self, clickhouse: &Client) -> Result<Series, SeriesError> {
        let Self { series, by_event } = self;
        let Some(by_event) = by_event else { return Ok(series) };
        let items = by_event.items(clickhouse).await?;
        hold_to_limit(&items)?;
        Ok(Series { items, ..series })
    }
}

fn hold_to_limit(items: &[UsageItem]) -> Result<(), SeriesError> {
    if items.len() > usize::try_from(ITEMS_MAX).unwrap_or(usize::MAX) {
        let rule = format!("that has more than {ITEMS_MAX} items: ask for less at once");
        return Err(SeriesError::Range("by", rule));
    }
    Ok(())
}

fn item(sums: StepSums) -> UsageItem {
    let StepSums { at, project, project_name, meter, stored, duplicate, dead } = sums;
    UsageItem {
        at: at.unwrap_or_default(),
        project: project.map(Into::into),
        project_name,
        meter,
        event: None,
        stored,
        duplicate: Some(duplicate),
        dead: Some(dead),
    }
}

impl ByEvent {
    async fn items(&self, clickhouse: &Client) -> Result<Vec<UsageItem>, SeriesError> {
        let rows = TenantRows { tenant: self.tenant, projects: self.projects.as_deref() };
        let step = (self.step.0, self.step.1.name());
        let sums = events_hourly::by_step(clickhouse, rows, self.range, step, u64::from(ITEMS_MAX) + 1);
        let sums = in_time(CLICKHOUSE, PATIENCE, sums).await?;
        let item = |NameSum { at, name, stored }: NameSum| UsageItem {
            at: DateTime::from_timestamp(at, 0).unwrap_or_default(),
            project: None,
            project_name: None,
            meter: None,
            event: Some(name),
            stored: i64::try_from(stored).unwrap_or(i64::MAX),
            duplicate: None,
            dead: None,
        };
        Ok(sums.into_iter().map(item).collect())
    }
}
