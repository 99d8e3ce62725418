//! Plans.

use clap::Args;
use schemas::lock;
use serde::{Deserialize, Serialize};

use crate::check;
use crate::db::chain::{Chain, Note};
use crate::db::scope::{PlatformScope, Scope};
use crate::error::AccountError;
use crate::limit::{self, Limit};
use crate::page::{Listed, Page, PageRequest};

/// What a tenant may send, by the name under which it is sold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// Events a period; `None`: no cap.
    pub quota: Option<i64>,
    /// Events a second; `None`: no limit.
    pub rate: Option<i64>,
    /// For how many days events are kept, from their receipt; `None`: without limit.
    pub retention_days: Option<i32>,
}

service::from_row!(Plan { name, quota, rate, retention_days });

/// A plan's limits. Quota and rate are always named, so that none is dropped by leaving it out.
#[derive(Debug, Clone, Deserialize, Args, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[group(skip)]
pub struct PlanLimits {
    /// Events a month; `none` (in JSON `null`): no cap
    #[serde(deserialize_with = "Limit::deserialize")]
    #[schema(value_type = Option<i64>, required)]
    #[arg(long, value_name = "N|none", value_parser = limit::or_none::<i64>, allow_negative_numbers = true)]
    pub quota: Limit<i64>,
    /// Events a second; `none` (in JSON `null`): no limit
    #[serde(deserialize_with = "Limit::deserialize")]
    #[schema(value_type = Option<i64>, required)]
    #[arg(long, value_name = "R|none", value_parser = limit::or_none::<i64>, allow_negative_numbers = true)]
    pub rate: Limit<i64>,
    /// Days that events are kept; `none` (in JSON `null`): without limit. Without it, it stays as it is
    #[serde(default, deserialize_with = "limit::present")]
    #[schema(value_type = Option<i32>)]
    #[arg(long, value_name = "DAYS|none", value_parser = limit::or_none::<i32>, allow_negative_numbers = true)]
    pub retention_days: Option<Limit<i32>>,
}

/// Days that events are kept, if there is a limit: not less than the shortest dedup window, since ids of removed rows
/// are forgotten.
pub const RETENTION_DAYS: std::ops::RangeInclusive<i32> = 7..=36_500;

impl Listed for Plan {
    const LIST: &'static str = "plans";
    type Key = String;

    fn key(&self) -> Self::Key {
        self.name.clone()
    }
}

/// A page of all plans, by name.
///
/// # Errors
/// [`AccountError`].
pub async fn list<Of>(scope: &mut Scope<Of>, asked: &PageRequest) -> Result<Page<Plan>, AccountError> {
    let rows = sqlx::query_as(
        "SELECT name, quota, rate, retention_days FROM plan WHERE $1::text IS NULL OR name > $1 ORDER BY name LIMIT $2",
    )
    .bind(asked.after::<Plan>()?)
    .bind(asked.rows())
    .fetch_all(scope.connection())
    .await?;
    Ok(asked.page(rows))
}

/// Makes a plan, or changes the one of that name, for all its tenants at once.
///
/// # Errors
/// [`AccountError::Invalid`] for a negative quota, a rate below 1, or a retention below a week.
pub async fn put(scope: &mut PlatformScope, name: &str, limits: &PlanLimits) -> Result<Plan, AccountError> {
    let PlanLimits { quota: Limit(quota), rate: Limit(rate), retention_days } = *limits;
    check::name(name)?;
    check::limits(quota, rate)?;
    let days = retention_days.and_then(|days| days.0);
    check_retention(days)?;
    match locked(scope, name).await? {
        Some(before) => scope.check(&before)?,
        None => scope.check_absent()?,
    }
    let plan: Plan = sqlx::query_as(
        "INSERT INTO plan (name, quota, rate, retention_days) VALUES ($1, $2, $3, $5)
         ON CONFLICT (name) DO UPDATE SET quota = excluded.quota, rate = excluded.rate,
             retention_days = CASE WHEN $4 THEN excluded.retention_days ELSE plan.retention_days END
         RETURNING name, quota, rate, retention_days",
    )
    .bind(name)
    .bind(quota)
    .bind(rate)
    .bind(retention_days.is_some())
    .bind(days)
    .fetch_one(scope.connection())
    .await?;
    scope.note(Chain::OPERATORS, Note::new("plan.set", name).after(&plan));
    Ok(plan)
}

/// A plan that nobody else makes or changes before the transaction ends.
///
/// First the lock of all plans, then the row, and last the lock of change numbers, which the row's trigger takes. Who
/// put a tenant on a plan holds the last one, and then locks the plan's key: the row's lock here allows that.
async fn locked(scope: &mut PlatformScope, name: &str) -> Result<Option<Plan>, AccountError> {
    let plans = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock::PLANS);
    plans.execute(scope.connection()).await?;
    let query = sqlx::query_as(
        "SELECT name, quota, rate, retention_days FROM plan WHERE name = $1 FOR NO KEY UPDATE",
    );
    Ok(query.bind(name).fetch_optional(scope.connection()).await?)
}

/// The plan of that name.
///
/// # Errors
/// [`AccountError::NotFound`].
pub async fn find<Of>(scope: &mut Scope<Of>, name: &str) -> Result<Plan, AccountError> {
    let query = sqlx::query_as("SELECT name, quota, rate, retention_days FROM plan WHERE name = $1");
    let plan = query.bind(name).fetch_optional(scope.connection()).await?;
    plan.ok_or_else(|| AccountError::NotFound(format!("plan {name}")))
}

fn check_retention(days: Option<i32>) -> Result<(), AccountError> {
    if days.is_some_and(|days| !RETENTION_DAYS.contains(&days)) {
        let (least, most) = (RETENTION_DAYS.start(), RETENTION_DAYS.end());
        let rule = format!("retention_days is a number of days, {least} to {most}");
        return Err(AccountError::member("retention_days", rule));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_holds_at_its_ends_and_not_beyond() {
        for (days, good) in
            [(None, true), (Some(7), true), (Some(36_500), true), (Some(6), false), (Some(36_501), false)]
        {
            assert_eq!(check_retention(days).is_ok(), good, "{days:?}");
        }
    }
}
